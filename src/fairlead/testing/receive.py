"""The receiving half of a test initiator in full-feature phase: one handler for each PDU type.

Spec: RFC 7143 §11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from fairlead.proto.iscsi.opcode import OPCODE_MASK, Opcode
from fairlead.proto.iscsi.pdu import (
    BHS_BYTES,
    RESERVED_TAG,
    AsyncMessage,
    DataIn,
    LogoutRequest,
    LogoutResponse,
    LogoutResult,
    NopIn,
    NopOut,
    R2t,
    Reject,
    ScsiResponse,
    TargetPdu,
    TaskManagementFunction,
    TaskManagementRequest,
    TaskManagementResponse,
    TaskManagementResult,
    TextRequest,
    TextResponse,
)
from fairlead.testing.outcome import (
    ConnectionClosed,
    Notice,
    TargetViolation,
    TaskAborted,
    TaskRejected,
    TextResult,
)
from fairlead.testing.session import Burst, Exchange, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.testing.task import Task

# Functions that end the tasks they covered, where they complete. TARGET COLD RESET is missing: it
# ends the connection. Spec: RFC 7143 §11.5.1.
_ENDS_ALL: Final = frozenset({TaskManagementFunction.TARGET_WARM_RESET})
_ENDS_LUN: Final = frozenset(
    {
        TaskManagementFunction.ABORT_TASK_SET,
        TaskManagementFunction.CLEAR_TASK_SET,
        TaskManagementFunction.LOGICAL_UNIT_RESET,
    }
)

_TASK_TAG_AT: Final = slice(16, 20)

_TEXT_BYTES_MAX: Final = 1 << 20
"""Joined text of one negotiation. A SendTargets answer of ten thousand targets fits."""

_Request = TypeVar("_Request")


class Receiver:
    """Takes the PDUs of a target in full-feature phase and checks them against the session.

    Attributes:
        answers_pings: whether a NOP-In that wants an answer gets one.
        logged_out: a Logout Response has closed the session or the connection.
    """

    def __init__(self, session: Session) -> None:
        self.answers_pings = True
        self.logged_out = False
        self._session = session

    def receive(self, pdu: TargetPdu) -> None:
        """Take one PDU.

        Raises:
            TargetViolation: it breaks a rule.
        """
        if self.logged_out:
            raise TargetViolation(f"{type(pdu).__name__} after the Logout Response")
        handler = _HANDLERS.get(type(pdu))
        if handler is None:
            raise TargetViolation(f"{type(pdu).__name__} in full-feature phase")
        self._check_numbers(pdu)
        handler(self, pdu)

    def _check_numbers(self, pdu: TargetPdu) -> None:
        sequence = self._session.sequence
        if isinstance(pdu, R2t) or (
            isinstance(pdu, NopIn) and pdu.initiator_task_tag == RESERVED_TAG
        ):
            sequence.receive_next_status(pdu.stat_sn)
        elif not isinstance(pdu, DataIn) or pdu.has_status:  # Else its StatSN is reserved.
            sequence.receive_status(pdu.stat_sn)
        sequence.receive_window(pdu)

    def on_scsi_response(self, pdu: ScsiResponse) -> None:
        """End a SCSI task. Spec: RFC 7143 §11.4."""
        if task := self._task(pdu):
            self._session.complete(task.tag, task.receive_response(pdu))

    def on_data_in(self, pdu: DataIn) -> None:
        """Collect data, and end the task where the status comes along. Spec: RFC 7143 §11.7."""
        task = self._task(pdu)
        if task and (result := task.receive_data_in(pdu)):
            self._session.complete(task.tag, result)

    def on_r2t(self, pdu: R2t) -> None:
        """Let the data asked for become due. Spec: RFC 7143 §11.8."""
        task = self._task(pdu)
        if task is None:
            return
        task.receive_r2t(pdu)
        session = self._session
        session.due_bursts.append(
            Burst(
                task.tag,
                lambda: task.answer_r2t(pdu, exp_stat_sn=session.sequence.acknowledged_stat_sn),
            )
        )

    def on_nop_in(self, pdu: NopIn) -> None:
        """Take the answer to our ping, or answer the target's. Spec: RFC 7143 §11.19."""
        if pdu.initiator_task_tag == RESERVED_TAG:
            self._on_target_ping(pdu)
            return
        found = self._exchange(pdu, pdu.initiator_task_tag, NopOut)
        if found is None:
            return
        sent = found[1].data[: self._session.parameters.max_recv_data_segment_bytes]
        if pdu.data != sent or pdu.target_transfer_tag != RESERVED_TAG:
            raise TargetViolation(
                f"NOP-In with {len(pdu.data)} bytes and transfer tag {pdu.target_transfer_tag:#x} "
                f"in answer to a ping of {len(sent)} bytes"
            )
        self._session.complete(pdu.initiator_task_tag, pdu)

    def _on_target_ping(self, pdu: NopIn) -> None:
        self._session.events.append(Notice(pdu))
        if pdu.target_transfer_tag == RESERVED_TAG or not self.answers_pings:
            return
        sequence = self._session.sequence
        self._session.emit(
            NopOut(
                lun_field=pdu.lun_field,
                target_transfer_tag=pdu.target_transfer_tag,
                cmd_sn=sequence.next_cmd_sn,
                exp_stat_sn=sequence.acknowledged_stat_sn,
            )
        )

    def on_text_response(self, pdu: TextResponse) -> None:
        """Join the text; ask for the rest of it. Spec: RFC 7143 §11.11."""
        found = self._exchange(pdu, pdu.initiator_task_tag, TextRequest)
        if found is None:
            return
        exchange, sent = found
        exchange.text += pdu.data
        if len(exchange.text) > _TEXT_BYTES_MAX:
            raise TargetViolation(f"text of more than {_TEXT_BYTES_MAX} bytes")
        if pdu.final == (pdu.target_transfer_tag != RESERVED_TAG):
            raise TargetViolation(
                f"Text Response with F {pdu.final} and transfer tag {pdu.target_transfer_tag:#x}"
            )
        if pdu.final and pdu.continue_:
            raise TargetViolation("Text Response with both the F and the C bit")
        if pdu.final:
            self._session.complete(pdu.initiator_task_tag, TextResult(bytes(exchange.text)))
            return
        sequence = self._session.sequence
        exchange.sent = TextRequest(
            immediate=True,
            final=True,
            lun_field=pdu.lun_field,
            initiator_task_tag=sent.initiator_task_tag,
            target_transfer_tag=pdu.target_transfer_tag,
            cmd_sn=sequence.next_cmd_sn,
            exp_stat_sn=sequence.acknowledged_stat_sn,
        )
        self._session.emit(exchange.sent)

    def on_task_management_response(self, pdu: TaskManagementResponse) -> None:
        """End the function, and the tasks it has ended. Spec: RFC 7143 §11.6."""
        found = self._exchange(pdu, pdu.initiator_task_tag, TaskManagementRequest)
        if found is None:
            return
        exchange, sent = found
        if pdu.response == TaskManagementResult.FUNCTION_COMPLETE:
            for tag in self._ended_by(sent, exchange.covered):
                name = TaskManagementFunction(sent.function).name
                self._session.complete(tag, TaskAborted(f"task {tag:#x} ended by {name}"))
        self._session.complete(pdu.initiator_task_tag, pdu)

    def _ended_by(self, sent: TaskManagementRequest, covered: frozenset[int]) -> list[int]:
        if sent.function == TaskManagementFunction.ABORT_TASK:
            covered &= {sent.referenced_task_tag}
        elif sent.function not in _ENDS_ALL | _ENDS_LUN:
            covered = frozenset()
        tasks = self._session.tasks
        return [
            tag
            for tag in sorted(covered & tasks.keys())
            if sent.function not in _ENDS_LUN or tasks[tag].request.lun_field == sent.lun_field
        ]

    def on_logout_response(self, pdu: LogoutResponse) -> None:
        """End the session, or hear why not. Spec: RFC 7143 §11.15."""
        if self._exchange(pdu, pdu.initiator_task_tag, LogoutRequest) is None:
            return
        self._session.complete(pdu.initiator_task_tag, pdu)
        if pdu.response == LogoutResult.CLOSED:
            self.logged_out = True
            self._session.complete_all(ConnectionClosed("logged out"))

    def on_reject(self, pdu: Reject) -> None:
        """End the request that was rejected. Spec: RFC 7143 §11.17.

        A rejected Data-Out ends nothing: the target still has to answer the command.
        """
        header = pdu.rejected_header
        if len(header) < BHS_BYTES:
            raise TargetViolation(f"Reject with {len(header)} bytes of the rejected header")
        self._session.events.append(Notice(pdu))
        task_tag = int.from_bytes(header[_TASK_TAG_AT])
        is_data = header[0] & OPCODE_MASK == Opcode.DATA_OUT
        if not is_data and (task_tag in self._session.tasks or task_tag in self._session.exchanges):
            self._session.complete(task_tag, TaskRejected(pdu))

    def on_async_message(self, pdu: AsyncMessage) -> None:
        """Pass it on. Spec: RFC 7143 §11.9."""
        self._session.events.append(Notice(pdu))

    def _task(self, pdu: ScsiResponse | DataIn | R2t) -> Task | None:
        """Return the task a PDU is for; None, and a notice, where a test sent the command itself.

        Raises:
            TargetViolation: there is no such task, or it is over.
        """
        task = self._session.tasks.get(pdu.initiator_task_tag)
        if task is None or task.cmd_sn is None:
            self._take_raw(pdu, pdu.initiator_task_tag)
            return None
        return task

    def _exchange(
        self, pdu: TargetPdu, task_tag: int, kind: type[_Request]
    ) -> tuple[Exchange, _Request] | None:
        """Return the request that a PDU answers and its state, in the manner of ``_task``."""
        exchange = self._session.exchanges.get(task_tag)
        if exchange is None or not isinstance(exchange.sent, kind):
            self._take_raw(pdu, task_tag)
            return None
        return exchange, exchange.sent

    def _take_raw(self, pdu: TargetPdu, task_tag: int) -> None:
        if task_tag not in self._session.raw_tags:
            raise TargetViolation(
                f"{type(pdu).__name__} for task {task_tag:#x}, which is not outstanding"
            )
        self._session.events.append(Notice(pdu))


_HANDLERS: Final[dict[type[TargetPdu], Callable[[Receiver, Any], None]]] = {
    ScsiResponse: Receiver.on_scsi_response,
    DataIn: Receiver.on_data_in,
    R2t: Receiver.on_r2t,
    NopIn: Receiver.on_nop_in,
    TextResponse: Receiver.on_text_response,
    TaskManagementResponse: Receiver.on_task_management_response,
    LogoutResponse: Receiver.on_logout_response,
    Reject: Receiver.on_reject,
    AsyncMessage: Receiver.on_async_message,
}
