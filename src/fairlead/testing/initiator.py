"""A test initiator without I/O: one session of one connection, at ErrorRecoveryLevel 0.

It follows the standard, checks that the target does, and can be told to misbehave. Drive it like
every core here: give it what arrives (``receive_data``, ``receive_eof``), send ``data_to_send``,
take ``next_event``. ``fairlead.testing.client`` does that over sockets.

Checked of the target: StatSN in sequence, ExpCmdSN and MaxCmdSN never going back, DataSN and R2TSN
in order, offsets and lengths within the task, the negotiated limits, the residual count, transfer
tags, the number of R2Ts outstanding, that answers match a request, digests, the login's stages and
the results of its negotiation. The first breach raises TargetViolation; the session is then of no
more use.

Spec: RFC 7143.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping

from fairlead.proto.iscsi.lun import encode_lun
from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    InitiatorPdu,
    LoginResponse,
    LogoutReason,
    LogoutRequest,
    NopOut,
    PduError,
    PduReader,
    ScsiCommand,
    TargetPdu,
    TaskManagementRequest,
    TextRequest,
)
from fairlead.testing.login import LOGIN_DATA_SEGMENT_BYTES_MAX, InitiatorLogin, LoginOffer
from fairlead.testing.negotiated import Parameters, encode_keys
from fairlead.testing.outcome import ConnectionClosed, Event, TargetViolation
from fairlead.testing.receive import Receiver
from fairlead.testing.sequence import Sequence
from fairlead.testing.session import Burst, Exchange, Session
from fairlead.testing.task import Task, TaskRequest

Ordered = NopOut | ScsiCommand | TaskManagementRequest | TextRequest | LogoutRequest
"""The PDUs that use up a CmdSN unless they are immediate."""

TAG_MAX = RESERVED_TAG - 1
"""The largest Initiator Task Tag; ours begin at 1 and go round."""

Build = Callable[[int, int, int], InitiatorPdu]
"""Task tag, CmdSN and ExpStatSN to the request."""

Send = Callable[[int], None]
"""Sends a request that has waited for the command window, under this CmdSN."""


class State(enum.Enum):
    """Where a session stands."""

    LOGIN = enum.auto()
    FULL_FEATURE = enum.auto()
    LOGGED_OUT = enum.auto()
    CLOSED = enum.auto()


class Initiator:
    """One session. The first Login Request is in ``data_to_send`` from the start.

    Commands beyond the target's window wait here until it opens. Requests are named by their
    Initiator Task Tag; the end of each is one ``Completed`` event.

    Attributes:
        state: where the session stands.
        hold_data_out: keep Data-Out back, solicited or not, until ``release_data_out``.
        login: the login, with the target's keys and the TSIH.
    """

    def __init__(self, offer: LoginOffer) -> None:
        self.state = State.LOGIN
        self.hold_data_out = False
        self._session = Session(Sequence(cmd_sn=offer.cmd_sn))
        self.login = InitiatorLogin(offer, self._session.sequence)
        self._receiver = Receiver(self._session)
        self._reader = PduReader(LOGIN_DATA_SEGMENT_BYTES_MAX)
        self._waiting: deque[Send] = deque()
        self._next_tag = 1
        self._session.emit(self.login.start())

    @property
    def parameters(self) -> Parameters:
        """What the login has negotiated; the standard's defaults before its end."""
        return self._session.parameters

    @property
    def sequence(self) -> Sequence:
        """CmdSN, StatSN and the command window, to be read by tests."""
        return self._session.sequence

    @property
    def outstanding(self) -> int:
        """Number of requests that are not over, those waiting for the window included."""
        return len(self._session.tasks) + len(self._session.exchanges)

    @property
    def answers_pings(self) -> bool:
        """Whether a NOP-In that wants an answer gets one."""
        return self._receiver.answers_pings

    @answers_pings.setter
    def answers_pings(self, value: bool) -> None:
        self._receiver.answers_pings = value

    # What arrives and what leaves.

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the target.

        Raises:
            LoginRefused: the target refuses the login.
            TargetViolation: the target breaks a rule.
        """
        self._reader.receive_data(data)
        while (pdu := self._next_pdu()) is not None:
            if self.state is State.LOGIN:
                self._receive_login(pdu)
            else:
                self._receiver.receive(pdu)
                self._send_waiting()
        if self._receiver.logged_out and self.state is State.FULL_FEATURE:
            self.state = State.LOGGED_OUT

    def receive_eof(self) -> None:
        """Take the end of the stream: every outstanding request ends with ConnectionClosed."""
        self.state = State.CLOSED
        self._waiting.clear()
        self._session.complete_all(ConnectionClosed("the target closed the connection"))

    def data_to_send(self) -> bytes:
        """Return the bytes to send now; R2Ts are answered here, unless ``hold_data_out``."""
        if not self.hold_data_out:
            self.release_data_out()
        data = bytes(self._session.outbox)
        self._session.outbox.clear()
        return data

    def next_event(self) -> Event | None:
        """Return what has happened next, or None."""
        return self._session.events.popleft() if self._session.events else None

    # Requests. Each returns its Initiator Task Tag, or raises ConnectionClosed after the end.

    def execute(self, request: TaskRequest) -> int:
        """Send a SCSI command, now or when the command window opens."""
        tag = self._take_tag()
        task = Task(tag, request, self._session.parameters)
        self._session.tasks[tag] = task

        def send(cmd_sn: int) -> None:
            exp_stat_sn = self._session.sequence.acknowledged_stat_sn
            self._session.emit(task.command(cmd_sn=cmd_sn, exp_stat_sn=exp_stat_sn))
            if task.has_unsolicited_data:
                self._session.due_bursts.append(
                    Burst(tag, lambda: task.unsolicited_data(exp_stat_sn=exp_stat_sn))
                )

        if request.cmd_sn is not None:
            send(request.cmd_sn)
        else:
            self._send_or_wait(send, immediate=request.immediate)
        return tag

    def ping(self, data: bytes = b"", *, lun: int = 0, immediate: bool = True) -> int:
        """Send a NOP-Out that wants an answer. Spec: RFC 7143 §11.18."""
        return self._exchange(
            lambda tag, cmd_sn, exp_stat_sn: NopOut(
                immediate=immediate,
                lun_field=encode_lun(lun),
                initiator_task_tag=tag,
                cmd_sn=cmd_sn,
                exp_stat_sn=exp_stat_sn,
                data=data,
            ),
            immediate=immediate,
        )

    def text(self, keys: Mapping[str, str], *, immediate: bool = False) -> int:
        """Send a Text Request; longer answers are fetched to their end. Spec: RFC 7143 §11.10."""
        return self._exchange(
            lambda tag, cmd_sn, exp_stat_sn: TextRequest(
                immediate=immediate,
                final=True,
                initiator_task_tag=tag,
                cmd_sn=cmd_sn,
                exp_stat_sn=exp_stat_sn,
                data=encode_keys(keys),
            ),
            immediate=immediate,
        )

    def manage(
        self,
        function: int,
        *,
        lun: int = 0,
        referenced_task_tag: int = RESERVED_TAG,
        immediate: bool = True,
    ) -> int:
        """Ask for a task management function. Spec: RFC 7143 §11.5.

        Args:
            function: a ``TaskManagementFunction``; other numbers to see them refused.
            lun: the logical unit it is for.
            referenced_task_tag: of ABORT TASK; its RefCmdSN is looked up.
            immediate: I bit.
        """
        task = self._session.tasks.get(referenced_task_tag)
        return self._exchange(
            lambda tag, cmd_sn, exp_stat_sn: TaskManagementRequest(
                immediate=immediate,
                function=function,
                lun_field=encode_lun(lun),
                initiator_task_tag=tag,
                referenced_task_tag=referenced_task_tag,
                cmd_sn=cmd_sn,
                exp_stat_sn=exp_stat_sn,
                ref_cmd_sn=(task.cmd_sn if task else None) or 0,
            ),
            immediate=immediate,
        )

    def logout(self, reason: int = LogoutReason.CLOSE_SESSION, *, immediate: bool = True) -> int:
        """Ask for the end of the session. Spec: RFC 7143 §11.14."""
        return self._exchange(
            lambda tag, cmd_sn, exp_stat_sn: LogoutRequest(
                immediate=immediate,
                reason=reason,
                initiator_task_tag=tag,
                cid=self.login.cid,
                cmd_sn=cmd_sn,
                exp_stat_sn=exp_stat_sn,
            ),
            immediate=immediate,
        )

    # Misbehaviour.

    def send(self, pdu: InitiatorPdu) -> None:
        """Send any PDU as it is. Whatever answers its task tag becomes a ``Notice``.

        Where it carries the next CmdSN and is not immediate, that CmdSN counts as used.
        """
        self.send_bytes(self.frame(pdu))
        self._session.raw_tags.add(pdu.initiator_task_tag)
        if isinstance(pdu, Ordered) and not pdu.immediate:
            self.sequence.skip_cmd_sn(pdu.cmd_sn)

    def frame(self, pdu: InitiatorPdu) -> bytes:
        """Encode a PDU with the digests negotiated, for tests that damage it before sending."""
        return self._session.frame(pdu)

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self._session.outbox += data

    def release_data_out(self, count: int | None = None) -> int:
        """Let Data-Out bursts go that are due.

        Args:
            count: at most so many bursts (one answers one R2T); None is all.

        Returns:
            How many have gone.
        """
        gone = 0
        due = self._session.due_bursts
        while due and (count is None or gone < count):
            burst = due.popleft()
            if burst.task_tag not in self._session.tasks:
                continue  # Ended meanwhile, by its response or a task management function.
            for pdu in burst.build():
                self._session.emit(pdu)
            gone += 1
        return gone

    # Inside.

    def _next_pdu(self) -> TargetPdu | None:
        try:
            pdu = self._reader.next_pdu()
        except PduError as error:
            raise TargetViolation(str(error)) from error
        if pdu is None or isinstance(pdu, TargetPdu):
            return pdu
        raise TargetViolation(f"{type(pdu).__name__} from a target")

    def _receive_login(self, pdu: TargetPdu) -> None:
        if not isinstance(pdu, LoginResponse):
            raise TargetViolation(f"{type(pdu).__name__} before the end of the login")
        request = self.login.receive(pdu)
        if request is not None:
            self._session.emit(request)
            return
        self.state = State.FULL_FEATURE
        parameters = self.login.parameters
        self._session.parameters = parameters
        self._reader.max_data_segment_bytes = parameters.max_recv_data_segment_bytes
        self._reader.header_digest = parameters.header_digest
        self._reader.data_digest = parameters.data_digest

    def _take_tag(self) -> int:
        assert self.state is not State.LOGIN, "a request before the end of the login"
        if self.state is not State.FULL_FEATURE:
            raise ConnectionClosed(f"a request on a session that is {self.state.name}")
        session = self._session
        while self._next_tag in session.tasks or self._next_tag in session.exchanges:
            self._next_tag = self._next_tag % TAG_MAX + 1
        tag = self._next_tag
        self._next_tag = tag % TAG_MAX + 1
        return tag

    def _exchange(self, build: Build, *, immediate: bool) -> int:
        tag = self._take_tag()
        exchange = self._session.exchanges[tag] = Exchange()

        def send(cmd_sn: int) -> None:
            exchange.sent = build(tag, cmd_sn, self.sequence.acknowledged_stat_sn)
            exchange.covered = frozenset(self._session.tasks)
            self._session.emit(exchange.sent)

        self._send_or_wait(send, immediate=immediate)
        return tag

    def _send_or_wait(self, send: Send, *, immediate: bool) -> None:
        if immediate:
            send(self.sequence.next_cmd_sn)
        else:
            self._waiting.append(send)
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self.sequence.window_is_open:
            self._waiting.popleft()(self.sequence.take_cmd_sn())
