"""What a test initiator gets back: results, notices, and the errors it raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from fairlead.errors import ProtocolError

if TYPE_CHECKING:
    from fairlead.proto.iscsi.pdu import (
        LogoutResponse,
        NopIn,
        Reject,
        TargetPdu,
        TaskManagementResponse,
    )

GOOD: Final = 0x00
"""SCSI status GOOD. Spec: SAM-5, status codes."""

CHECK_CONDITION: Final = 0x02
"""SCSI status CHECK CONDITION. Spec: SAM-5, status codes."""

_DESCRIPTOR_FORMATS: Final = (0x72, 0x73)
_FIXED_FORMATS: Final = (0x70, 0x71)


class TargetViolation(ProtocolError):  # noqa: N818 - names whose error it is
    """The target broke a rule of RFC 7143. A test that meets one has found a bug in the target."""


class LoginRefused(ProtocolError):  # noqa: N818 - an answer of the target, often the expected one
    """The target refused the login.

    Attributes:
        status: Status-Class << 8 | Status-Detail. Spec: RFC 7143 §11.13.5.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"login refused with status {status:#06x}")
        self.status = status


class TaskRejected(ProtocolError):  # noqa: N818 - an answer of the target, often the expected one
    """The target answered with a Reject PDU instead of a response.

    Attributes:
        reject: that PDU.
    """

    def __init__(self, reject: Reject) -> None:
        super().__init__(f"rejected with reason {reject.reason:#04x}")
        self.reject = reject


class TaskAborted(ProtocolError):  # noqa: N818 - the end a task management function asked for
    """A task management function ended the task; it has no result."""


class ConnectionClosed(ProtocolError):  # noqa: N818 - as ConnectionResetError, but without errno
    """The connection ended before the answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a SCSI command ended. Spec: RFC 7143 §11.4; SAM-5, status codes.

    Attributes:
        status: SCSI status; meaningless where ``response`` is not 0.
        sense: sense data, empty where there is none.
        data: what the target sent; shorter than asked for where ``underflow``.
        residual_bytes: bytes not transferred (underflow) or not transferable (overflow).
        overflow: the command would have moved more than the initiator expected.
        underflow: the command moved less than the initiator expected.
        response: 0, or the target's failure code.
        bidirectional_residual_bytes: the same for the Data-In of a bidirectional command.
    """

    status: int
    sense: bytes = b""
    data: bytes = b""
    residual_bytes: int = 0
    overflow: bool = False
    underflow: bool = False
    response: int = 0
    bidirectional_residual_bytes: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the command ended with status GOOD."""
        return self.response == 0 and self.status == GOOD

    @property
    def sense_code(self) -> tuple[int, int, int] | None:
        """Sense key, additional sense code and its qualifier; None where there is no sense data.

        Spec: SPC-4, sense data (fixed and descriptor format).
        """
        form = self.sense[0] & 0x7F if self.sense else 0
        if form in _DESCRIPTOR_FORMATS and len(self.sense) >= 4:
            return self.sense[1] & 0x0F, self.sense[2], self.sense[3]
        if form in _FIXED_FORMATS and len(self.sense) >= 14:
            return self.sense[2] & 0x0F, self.sense[12], self.sense[13]
        return None


@dataclass(frozen=True, slots=True)
class TextResult:
    """How a text negotiation ended: the target's keys, all Text Responses joined."""

    data: bytes


Outcome: TypeAlias = (
    "Result | TextResult | NopIn | TaskManagementResponse | LogoutResponse"
    " | TaskRejected | TaskAborted | ConnectionClosed"
)
"""How a task of ours ended: an answer, or the error that a waiting caller gets to see."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A task of ours is over."""

    task_tag: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Notice:
    """A PDU that answers none of our tasks.

    The target's own NOP-In, an Asynchronous Message, a Reject, or the answer to a PDU that
    ``Initiator.send`` sent.
    """

    pdu: TargetPdu


Event = Completed | Notice
"""What ``Initiator.next_event`` returns."""
