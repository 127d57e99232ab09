"""From PDU to bytes, and from a cut-out header and data segment to a PDU.

Spec: RFC 7143 §11.1 (length and padding) and §11.2 (template).
"""

from __future__ import annotations

from typing import Final

from fairlead.proto.iscsi.bhs import Bhs, padded
from fairlead.proto.iscsi.digest import crc32c
from fairlead.proto.iscsi.opcode import Opcode
from fairlead.proto.iscsi.pdu_data import DataIn, DataOut, R2t, SnackRequest
from fairlead.proto.iscsi.pdu_notice import AsyncMessage, Reject
from fairlead.proto.iscsi.pdu_scsi import ScsiCommand, ScsiResponse
from fairlead.proto.iscsi.pdu_session import (
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
)
from fairlead.proto.iscsi.pdu_task import TaskManagementRequest, TaskManagementResponse
from fairlead.proto.iscsi.pdu_text import NopIn, NopOut, TextRequest, TextResponse
from fairlead.proto.iscsi.reject import PduError, RejectReason

InitiatorPdu = (
    NopOut
    | ScsiCommand
    | TaskManagementRequest
    | LoginRequest
    | TextRequest
    | DataOut
    | LogoutRequest
    | SnackRequest
)
"""Every PDU an initiator may send."""

TargetPdu = (
    NopIn
    | ScsiResponse
    | TaskManagementResponse
    | LoginResponse
    | TextResponse
    | DataIn
    | LogoutResponse
    | R2t
    | AsyncMessage
    | Reject
)
"""Every PDU a target may send."""

Pdu = InitiatorPdu | TargetPdu

# SCSI Command is missing: it alone may have an AHS, and `decode_pdu` gives it one.
_WITHOUT_AHS: Final[dict[Opcode, type[Pdu]]] = {
    pdu.OPCODE: pdu
    for pdu in (
        NopOut,
        TaskManagementRequest,
        LoginRequest,
        TextRequest,
        DataOut,
        LogoutRequest,
        SnackRequest,
        NopIn,
        ScsiResponse,
        TaskManagementResponse,
        LoginResponse,
        TextResponse,
        DataIn,
        LogoutResponse,
        R2t,
        AsyncMessage,
        Reject,
    )
}


def decode_pdu(bhs: Bhs, data: bytes, ahs: bytes = b"") -> Pdu:
    """Decode the PDU that ``bhs`` announces.

    Args:
        bhs: its header.
        data: its data segment without padding, ``bhs.data_segment_bytes`` long.
        ahs: its additional header segments, ``bhs.ahs_bytes`` long.

    Raises:
        PduError: a malformed AHS, or one on a PDU that has none by the standard.
    """
    if bhs.opcode is Opcode.SCSI_COMMAND:
        return ScsiCommand.decode(bhs, data, ahs)
    if ahs:
        raise PduError(
            RejectReason.INVALID_PDU_FIELD,
            f"{bhs.opcode.name} with an AHS of {len(ahs)} bytes; only SCSI_COMMAND may have one",
        )
    return _WITHOUT_AHS[bhs.opcode].decode(bhs, data)


def frame(pdu: Pdu, header_digest: bool = False, data_digest: bool = False) -> bytes:
    """Encode one PDU as it goes onto the wire: headers, data, padding and digests.

    An empty data segment has no data digest. Spec: RFC 7143 §11.2.3.
    """
    header = pdu.encode()
    if isinstance(pdu, ScsiCommand):
        header += pdu.encode_ahs()
    parts = [header]
    if header_digest:
        parts.append(crc32c(header))
    if pdu.data:
        segment = pdu.data + bytes(padded(len(pdu.data)) - len(pdu.data))
        parts.append(segment)
        if data_digest:
            parts.append(crc32c(segment))
    return b"".join(parts)
