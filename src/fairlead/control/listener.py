"""Listens on portals and bounds what connections that have not logged in can cost.

Every accepted connection takes a place among the pending ones. When all are taken, the oldest
that has not yet had an answer gives way: a flood of silent connections then keeps nobody out, as
a real initiator has its first answer within a round trip.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.control.log import logger
from fairlead.errors import ConfigError
from fairlead.model.portal import Portal, format_portal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# The kernel cuts it to net.core.somaxconn, 4096 by default.
_BACKLOG: Final = 4096
# After accept has failed for want of descriptors or memory: long enough to let logins end.
_ACCEPT_PAUSE_S: Final = 0.1
_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logger(__name__)


@dataclass(slots=True, eq=False)
class Connection:
    """One accepted connection before full-feature phase.

    Attributes:
        sock: non-blocking; whoever detaches it takes it over.
        portal: the configured portal it came to.
        peer: ``ADDRESS:PORT``.
        peer_address: without the port.
        local_address: our end.
        is_answered: it has had a first answer, and does not give way any more.
        why_cancelled: set before its job is cancelled.
    """

    sock: socket.socket
    portal: Portal
    peer: str
    peer_address: str
    local_address: str
    is_answered: bool = False
    why_cancelled: str = "the target stops"
    job: asyncio.Task[None] | None = field(default=None, repr=False)


def bind(portal: Portal) -> socket.socket:
    """Return a listening, non-blocking socket.

    Raises:
        ConfigError: the address is not ours, is in use, or the port needs privileges.
    """
    family = socket.AF_INET6 if ":" in portal.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" and "0.0.0.0" are two portals; neither takes the other's connections.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((portal.address, portal.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        remedies = {
            errno.EADDRINUSE: "stop who listens there, or choose another port with --portal",
            errno.EADDRNOTAVAIL: "choose an address of this machine: ip address",
            errno.EACCES: "ports below 1024 need privileges; choose another",
        }
        raise ConfigError(
            f"cannot listen on {portal}: {(error.strerror or str(error)).lower()}",
            remedy=remedies.get(error.errno or 0),
        ) from error
    return sock


class Listener:
    """Accepts connections and runs one job for each.

    Args:
        serve: logs a connection in. It may detach the socket; otherwise it is closed afterwards.
        pending_max: connections served at the same time.
    """

    def __init__(self, serve: Callable[[Connection], Awaitable[None]], *, pending_max: int) -> None:
        self._serve = serve
        self._pending_max = pending_max
        self._pending: dict[Connection, None] = {}  # Oldest first.
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    def listen(self, portal: Portal) -> int:
        """Begin to accept; return the port, which the kernel chose if the portal's is 0.

        Raises:
            ConfigError: see `bind`.
        """
        sock = bind(portal)
        self._sockets.append(sock)
        self._accepting.append(asyncio.create_task(self._accept(sock, portal)))
        return int(sock.getsockname()[1])

    async def close(self) -> None:
        """Stop accepting and end what is pending. Returns when every job has ended."""
        for job in self._accepting:
            job.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        jobs = [connection.job for connection in self._pending if connection.job]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _accept(self, listening: socket.socket, portal: Portal) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    log.error("iscsi.accept.failed", portal=portal, reason=error.strerror)  # noqa: TRY400  no bug of ours
                    await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue  # The peer had gone again.
            self._admit(sock, portal, (str(address[0]), int(address[1])))
            # A flood never lets sock_accept wait; the others need their turn.
            await asyncio.sleep(0)

    def _admit(self, sock: socket.socket, portal: Portal, peer: tuple[str, int]) -> None:
        text = format_portal(*peer)
        if len(self._pending) >= self._pending_max and not self._give_way():
            log.info(
                "iscsi.login.refused",
                peer=text,
                reason=f"{self._pending_max} logins are pending, the limit",
            )
            sock.close()
            return
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            local_address = str(sock.getsockname()[0])
        except OSError:
            sock.close()  # It had gone again.
            return
        connection = Connection(sock, portal, text, peer[0], local_address)
        self._pending[connection] = None
        connection.job = asyncio.create_task(self._run(connection))
        # Also for a job that is cancelled before its first step.
        connection.job.add_done_callback(lambda _job: self._forget(connection))

    def _give_way(self) -> bool:
        """Take the place of the oldest connection that has had no answer."""
        for connection in self._pending:
            if not connection.is_answered and connection.job is not None:
                connection.why_cancelled = (
                    f"gave way to a newer connection: {self._pending_max} logins are pending"
                )
                connection.job.cancel()
                # Its job may run on for a moment; its place is free now.
                del self._pending[connection]
                return True
        return False

    async def _run(self, connection: Connection) -> None:
        await self._serve(connection)

    def _forget(self, connection: Connection) -> None:
        self._pending.pop(connection, None)
        connection.sock.close()  # Nothing happens after detach().
