"""Test initiators over sockets: a synchronous one here, and the one for asyncio beside it.

with connect("127.0.0.1:3260", target, initiator) as client:
    client.write_10(0, b"x" * 512)
    result = client.read_10(0, 1)
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING, Self, TypeVar

from typing_extensions import override

from fairlead.proto.iscsi.lun import encode_lun
from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    LogoutReason,
    LogoutResponse,
    NopIn,
    TaskManagementResponse,
)
from fairlead.testing.async_client import AsyncClient, connect_async
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

__all__ = ["AsyncClient", "Client", "connect", "connect_async"]


class Client(ScsiCommands[Result]):
    """A logged-in initiator on a blocking interface. Not for use by several threads.

    Bytes move only while a method waits; sending never blocks reading, so no two full socket
    buffers can hold each other up.

    Attributes:
        initiator: the core, with its knobs for misbehaviour.
        reading: whether waiting reads from the socket; a test that stops reading sets it to False.
        send_chunk_bytes: cut what is sent into pieces of at most so many bytes; None is uncut.
        timeout_s: how long to wait for an answer.
    """

    def __init__(self, sock: socket.socket, offer: LoginOffer, *, timeout_s: float) -> None:
        self.initiator = Initiator(offer)
        self.reading = True
        self.send_chunk_bytes: int | None = None
        self.timeout_s = timeout_s
        self._mailbox = Mailbox(self.initiator)
        self._sock = sock
        self._unsent = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def notices(self) -> list[TargetPdu]:
        """PDUs of the target that answer none of our requests, oldest first."""
        return self._mailbox.notices

    def log_in(self) -> None:
        """Run the login to its end.

        Raises:
            LoginRefused: the target refuses it.
            TargetViolation: the target breaks a rule.
            ConnectionError: the target closes the connection instead of answering.
            TimeoutError: it does not answer.
        """
        self.pump(lambda: self.initiator.state is not State.LOGIN)
        if self.initiator.state is State.CLOSED:
            raise ConnectionResetError("the target closed the connection during login")

    @override
    def execute(
        self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0
    ) -> Result:
        """Execute one command and wait for its end.

        Raises:
            TaskRejected, TaskAborted, ConnectionClosed: it has no result.
            TargetViolation: the target breaks a rule.
            TimeoutError: no answer.
        """
        return self.wait(self.submit(lun, cdb, data_out, data_in_bytes))

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

    def wait(self, task_tag: int) -> Result:
        """Wait for the end of a command; raises as ``execute``. Each end can be fetched once."""
        return expect_result(self.wait_outcome(task_tag))

    def wait_outcome(self, task_tag: int) -> Outcome:
        """Wait for the end of a request, whatever it is. Each end can be fetched once."""
        self.pump(lambda: task_tag in self._mailbox.outcomes)
        return self._mailbox.outcomes.pop(task_tag)

    def ping(self, data: bytes = b"", *, immediate: bool = True) -> NopIn:
        """Send a NOP-Out and wait for its NOP-In."""
        return self._wait_for(NopIn, self.initiator.ping(data, immediate=immediate))

    def text(self, **keys: str) -> dict[str, str]:
        """Send a Text Request and wait for the target's keys. Not for SendTargets."""
        return decode_keys(self._wait_for(TextResult, self.initiator.text(keys)).data)

    def send_targets(self, which: str = "All") -> list[tuple[str, str]]:
        """Ask for targets; keys repeat in the answer. Spec: RFC 7143 appendix C."""
        tag = self.initiator.text({"SendTargets": which})
        return decode_pairs(self._wait_for(TextResult, tag).data)

    def manage(
        self, function: int, *, lun: int = 0, referenced_task_tag: int = RESERVED_TAG
    ) -> int:
        """Ask for a task management function; returns the response code."""
        tag = self.initiator.manage(function, lun=lun, referenced_task_tag=referenced_task_tag)
        return self._wait_for(TaskManagementResponse, tag).response

    def logout(self, reason: int = LogoutReason.CLOSE_SESSION) -> LogoutResponse:
        """Log out and wait for the answer. The connection stays open on our side."""
        return self._wait_for(LogoutResponse, self.initiator.logout(reason))

    def send(self, pdu: InitiatorPdu) -> None:
        """Send any PDU as it is; its answer becomes a notice."""
        self.initiator.send(pdu)
        self.flush()

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self.initiator.send_bytes(data)
        self.flush()

    def wait_notice(self) -> TargetPdu:
        """Wait for a PDU that answers none of our requests, and take it."""
        self.pump(lambda: bool(self.notices))
        return self.notices.pop(0)

    def wait_closed(self) -> None:
        """Wait until the target has closed the connection."""
        self.pump(lambda: self.initiator.state is State.CLOSED)

    def flush(self) -> None:
        """Send what can be sent without waiting."""
        self._unsent += self.initiator.data_to_send()
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent[: self.send_chunk_bytes])]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()  # What the target sent before its end is still to be read.

    def pump(self, until: Callable[[], bool]) -> None:
        """Send and receive until a condition holds.

        Raises:
            TimeoutError: it does not within ``timeout_s``.
        """
        deadline = time.monotonic() + self.timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            self.flush()
            self._mailbox.collect()
            while not until():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError(f"no answer within {self.timeout_s} s")
                self._wait_ready(selector, left_s)
                self._mailbox.collect()

    def close(self) -> None:
        """Close the connection, without a logout."""
        self._sock.close()

    def _wait_ready(self, selector: selectors.BaseSelector, timeout_s: float) -> None:
        can_read = self.reading and self.initiator.state is not State.CLOSED
        events = (selectors.EVENT_READ if can_read else 0) | (
            selectors.EVENT_WRITE if self._unsent else 0
        )
        if not events:
            raise TimeoutError("nothing to send, and nothing will be read")
        selector.modify(self._sock, events)
        for _, ready in selector.select(timeout_s):
            if ready & selectors.EVENT_READ:
                self._receive()
        self.flush()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # However it ended.
        if data:
            self.initiator.receive_data(data)
        else:
            self.initiator.receive_eof()

    def _wait_for(self, kind: type[_Kind], task_tag: int) -> _Kind:
        outcome = self.wait_outcome(task_tag)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, kind)
        return outcome


def connect(
    portal: Portal,
    target: str | None,
    initiator_name: str,
    *,
    options: LoginOptions | None = None,
    timeout_s: float = TIMEOUT_S,
    **keys: KeyValue,
) -> Client:
    """Connect and log in.

    Args:
        portal: ``"host:port"`` or a pair.
        target: its name; None opens a discovery session.
        initiator_name: ours.
        options: CHAP, ISID, TSIH and the like.
        timeout_s: how long to wait for each answer.
        keys: operational keys that replace or extend the usual offer, as in
            ``MaxBurstLength=65536, InitialR2T="No"``; None takes a key out of it.

    Raises:
        OSError: no connection.
        LoginRefused, TargetViolation, TimeoutError: as ``Client.log_in``.
    """
    sock = socket.create_connection(parse_portal(portal), timeout_s)
    client = Client(sock, make_offer(target, initiator_name, options, keys), timeout_s=timeout_s)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.log_in()
    except BaseException:
        client.close()
        raise
    return client
