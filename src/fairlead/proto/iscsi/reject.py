"""Why a PDU is refused, in the words of the Reject PDU. Spec: RFC 7143 §11.17.1."""

from __future__ import annotations

import enum

from fairlead.errors import ProtocolError


class RejectReason(enum.IntEnum):
    """Reason codes of the Reject PDU. Spec: RFC 7143 §11.17.1."""

    DATA_DIGEST_ERROR = 0x02
    SNACK_REJECT = 0x03
    PROTOCOL_ERROR = 0x04
    COMMAND_NOT_SUPPORTED = 0x05
    TOO_MANY_IMMEDIATE_COMMANDS = 0x06
    TASK_IN_PROGRESS = 0x07
    INVALID_DATA_ACK = 0x08
    INVALID_PDU_FIELD = 0x09
    LONG_OPERATION_REJECT = 0x0A
    WAITING_FOR_LOGOUT = 0x0C


class PduError(ProtocolError):
    """A PDU that cannot be accepted.

    Attributes:
        reason: what goes into a Reject PDU.
        header: the 48 bytes of the refused PDU's BHS, which the Reject PDU carries back; empty
            where the error is older than the header.
    """

    def __init__(self, reason: RejectReason, message: str, header: bytes = b"") -> None:
        super().__init__(message)
        self.reason = reason
        self.header = header


class HeaderDigestError(PduError):
    """The header digest does not match: the lengths cannot be trusted, no next PDU can be found.

    At ErrorRecoveryLevel 0 the connection is closed without an answer. Spec: RFC 7143 §7.7.
    """


class DataDigestError(PduError):
    """The data digest does not match. The PDU has been taken off the stream; the next one follows.

    Spec: RFC 7143 §7.8.
    """
