"""A test initiator on asyncio, for many sessions at once.

async with await connect_async("127.0.0.1:3260", target, initiator) as client:
    await client.write_10(0, b"x" * 512)
    result = await client.read_10(0, 1)
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

from typing_extensions import override

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.lun import encode_lun
from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    LogoutReason,
    LogoutResponse,
    NopIn,
    TaskManagementResponse,
)
from fairlead.testing.commands import ScsiCommands
from fairlead.testing.connection import (
    RECEIVE_BYTES,
    TIMEOUT_S,
    KeyValue,
    LoginOptions,
    Mailbox,
    Portal,
    expect_result,
    make_offer,
    parse_portal,
)
from fairlead.testing.initiator import Initiator, State
from fairlead.testing.negotiated import decode_keys, decode_pairs
from fairlead.testing.outcome import Result, TextResult
from fairlead.testing.task import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.proto.iscsi.pdu import InitiatorPdu, TargetPdu
    from fairlead.testing.login import LoginOffer
    from fairlead.testing.outcome import Outcome

_Kind = TypeVar("_Kind")


class AsyncClient(ScsiCommands[Coroutine[Any, Any, Result]]):
    """A logged-in initiator on the running event loop.

    Two jobs of its own send and receive, so a target that stops reading does not stop us reading.
    A violation by the target fails every request that waits, then and later.

    Attributes:
        initiator: the core, with its knobs for misbehaviour; call ``flush`` after using them.
        send_chunk_bytes: cut what is sent into pieces of at most so many bytes; None is uncut.
        timeout_s: how long to wait for an answer.
    """

    def __init__(self, sock: socket.socket, offer: LoginOffer, *, timeout_s: float) -> None:
        self.initiator = Initiator(offer)
        self.send_chunk_bytes: int | None = None
        self.timeout_s = timeout_s
        self._mailbox = Mailbox(self.initiator)
        self._sock = sock
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._must_send = asyncio.Event()
        self._waiters: dict[int, asyncio.Future[None]] = {}  # by task tag
        self._watchers: set[asyncio.Future[None]] = set()  # woken by everything that arrives
        self._failure: Exception | None = None
        self._jobs: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def notices(self) -> list[TargetPdu]:
        """PDUs of the target that answer none of our requests, oldest first."""
        return self._mailbox.notices

    async def log_in(self) -> None:
        """Start the two jobs and run the login to its end.

        Raises:
            LoginRefused: the target refuses it.
            TargetViolation: the target breaks a rule.
            ConnectionError: the target closes the connection instead of answering.
            TimeoutError: it does not answer.
        """
        self._jobs = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]
        self.flush()
        await self._watch(lambda: self.initiator.state is not State.LOGIN)
        if self.initiator.state is State.CLOSED:
            raise ConnectionResetError("the target closed the connection during login")

    @override
    async def execute(
        self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0
    ) -> Result:
        """Execute one command and wait for its end.

        Raises:
            TaskRejected, TaskAborted, ConnectionClosed: it has no result.
            TargetViolation: the target breaks a rule.
            TimeoutError: no answer.
        """
        return await self.wait(self.submit(lun, cdb, data_out, data_in_bytes))

    def submit(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> int:
        """Begin a command and return its task tag; many may be outstanding."""
        return self.submit_request(
            TaskRequest(
                lun_field=encode_lun(lun), cdb=cdb, data_out=data_out, data_in_bytes=data_in_bytes
            )
        )

    def submit_request(self, request: TaskRequest) -> int:
        """Begin a command with all the choices there are; return its task tag."""
        tag = self.initiator.execute(request)
        self.flush()
        return tag

    async def wait(self, task_tag: int) -> Result:
        """Wait for the end of a command; raises as ``execute``. Each end can be fetched once."""
        return expect_result(await self.wait_outcome(task_tag))

    async def wait_outcome(self, task_tag: int) -> Outcome:
        """Wait for the end of a request, whatever it is. Each end can be fetched once."""
        if task_tag not in self._mailbox.outcomes:
            self._raise_failure()
            waiter = self._waiters[task_tag] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self.timeout_s):
                    await waiter
            finally:
                self._waiters.pop(task_tag, None)
        return self._mailbox.outcomes.pop(task_tag)

    async def ping(self, data: bytes = b"", *, immediate: bool = True) -> NopIn:
        """Send a NOP-Out and wait for its NOP-In."""
        return await self._wait_for(NopIn, self.initiator.ping(data, immediate=immediate))

    async def text(self, **keys: str) -> dict[str, str]:
        """Send a Text Request and wait for the target's keys. Not for SendTargets."""
        return decode_keys((await self._wait_for(TextResult, self.initiator.text(keys))).data)

    async def send_targets(self, which: str = "All") -> list[tuple[str, str]]:
        """Ask for targets; keys repeat in the answer. Spec: RFC 7143 appendix C."""
        tag = self.initiator.text({"SendTargets": which})
        return decode_pairs((await self._wait_for(TextResult, tag)).data)

    async def manage(
        self, function: int, *, lun: int = 0, referenced_task_tag: int = RESERVED_TAG
    ) -> int:
        """Ask for a task management function; returns the response code."""
        tag = self.initiator.manage(function, lun=lun, referenced_task_tag=referenced_task_tag)
        return (await self._wait_for(TaskManagementResponse, tag)).response

    async def logout(self, reason: int = LogoutReason.CLOSE_SESSION) -> LogoutResponse:
        """Log out and wait for the answer. The connection stays open on our side."""
        return await self._wait_for(LogoutResponse, self.initiator.logout(reason))

    def send(self, pdu: InitiatorPdu) -> None:
        """Send any PDU as it is; its answer becomes a notice."""
        self.initiator.send(pdu)
        self.flush()

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self.initiator.send_bytes(data)
        self.flush()

    async def wait_notice(self) -> TargetPdu:
        """Wait for a PDU that answers none of our requests, and take it."""
        await self._watch(lambda: bool(self.notices))
        return self.notices.pop(0)

    async def wait_closed(self) -> None:
        """Wait until the target has closed the connection."""
        await self._watch(lambda: self.initiator.state is State.CLOSED)

    def pause_reading(self) -> None:
        """Read no more from the socket, once the read under way has ended."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Read again."""
        self._may_read.set()

    def flush(self) -> None:
        """Let the sending job look for what is due."""
        self._must_send.set()

    async def close(self) -> None:
        """Close the connection, without a logout; every request ends with ConnectionClosed."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._sock.close()
        if self.initiator.state is not State.CLOSED:
            self.initiator.receive_eof()
            self._deliver()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._must_send.wait()
            self._must_send.clear()
            data = self.initiator.data_to_send()
            step = self.send_chunk_bytes or max(len(data), 1)
            try:
                for offset in range(0, len(data), step):
                    await loop.sock_sendall(self._sock, data[offset : offset + step])
            except OSError:
                return  # What the target sent before its end is still to be read.

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        while self.initiator.state is not State.CLOSED:
            await self._may_read.wait()
            try:
                data = await loop.sock_recv(self._sock, RECEIVE_BYTES)
            except OSError:
                data = b""  # However it ended.
            try:
                if data:
                    self.initiator.receive_data(data)
                else:
                    self.initiator.receive_eof()
            except ProtocolError as error:
                self._failure = error
                self._deliver()
                return
            self._deliver()
            self.flush()

    def _deliver(self) -> None:
        """Wake whoever waits for what has arrived; everybody, where nothing more will."""
        for tag in self._mailbox.collect():
            if (waiter := self._waiters.pop(tag, None)) and not waiter.done():
                waiter.set_result(None)
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        if self._failure is not None:
            for waiter in self._waiters.values():
                if not waiter.done():
                    waiter.set_exception(self._failure)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _watch(self, until: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(self.timeout_s):
            while not until():
                self._raise_failure()
                watcher = asyncio.get_running_loop().create_future()
                self._watchers.add(watcher)
                try:
                    await watcher
                finally:
                    self._watchers.discard(watcher)

    async def _wait_for(self, kind: type[_Kind], task_tag: int) -> _Kind:
        self.flush()
        outcome = await self.wait_outcome(task_tag)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, kind)
        return outcome


async def connect_async(
    portal: Portal,
    target: str | None,
    initiator_name: str,
    *,
    options: LoginOptions | None = None,
    timeout_s: float = TIMEOUT_S,
    **keys: KeyValue,
) -> AsyncClient:
    """Connect and log in; arguments and errors are those of ``connect``."""
    loop = asyncio.get_running_loop()
    host, port = parse_portal(portal)
    family, kind, protocol, _, address = (
        await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )[0]
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    client = AsyncClient(
        sock, make_offer(target, initiator_name, options, keys), timeout_s=timeout_s
    )
    try:
        async with asyncio.timeout(timeout_s):
            await loop.sock_connect(sock, address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await client.log_in()
    except BaseException:
        await client.close()
        raise
    return client
