"""Puts target cores without I/O behind a loopback socket, for tests of the socket clients."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECEIVE_BYTES = 65536


class TargetCore(Protocol):
    """What is served. ``closed``: close the connection once everything is sent."""

    closed: bool

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the initiator."""

    def data_to_send(self) -> bytes:
        """Return the bytes to send."""
        ...


class Mute:
    """Takes everything and never says a word.

    Args:
        closes: close the connection at the first byte.
    """

    def __init__(self, *, closes: bool = False) -> None:
        self.closed = False
        self._closes = closes

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the initiator."""
        del data
        self.closed = self._closes

    def data_to_send(self) -> bytes:
        """Say nothing."""
        return b""


@contextlib.contextmanager
def serving(*cores: TargetCore) -> Iterator[str]:
    """Serve each core to one connection, in their order; gives the portal."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=_accept, args=(listener, cores))
        thread.start()
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, cores: tuple[TargetCore, ...]) -> None:
    with contextlib.ExitStack() as stack:
        for core in cores:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_serve, args=(connection, core))
            thread.start()
            stack.callback(thread.join)


def _serve(connection: socket.socket, core: TargetCore) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(10)
        while not core.closed and (data := connection.recv(_RECEIVE_BYTES)):
            core.receive_data(data)
            connection.sendall(core.data_to_send())
