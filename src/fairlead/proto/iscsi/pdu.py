"""Every iSCSI PDU type, framing and the reader, from one place. Spec: RFC 7143 §11.

The families live in ``pdu_session`` (Login, Logout), ``pdu_scsi`` (SCSI Command and Response),
``pdu_task`` (task management), ``pdu_data`` (Data-Out, Data-In, R2T, SNACK), ``pdu_text`` (Text,
NOP) and ``pdu_notice`` (Asynchronous Message, Reject).

Each type has the same parts in the same order: its fields as the standard names them,
``decode(bhs, data)`` and ``encode()``, which gives the 48 bytes of the BHS. Reserved bits are
ignored when decoding and zero when encoding.
"""

from fairlead.proto.iscsi.bhs import BHS_BYTES, NO_LUN, RESERVED_TAG, Bhs, padded
from fairlead.proto.iscsi.framing import InitiatorPdu, Pdu, TargetPdu, decode_pdu, frame
from fairlead.proto.iscsi.pdu_data import DataIn, DataOut, R2t, SnackRequest, SnackType
from fairlead.proto.iscsi.pdu_notice import AsyncEvent, AsyncMessage, Reject
from fairlead.proto.iscsi.pdu_scsi import (
    ScsiCommand,
    ScsiResponse,
    ServiceResponse,
    TaskAttribute,
    encode_sense_segment,
)
from fairlead.proto.iscsi.pdu_session import (
    LoginRequest,
    LoginResponse,
    LogoutReason,
    LogoutRequest,
    LogoutResponse,
    LogoutResult,
)
from fairlead.proto.iscsi.pdu_task import (
    TaskManagementFunction,
    TaskManagementRequest,
    TaskManagementResponse,
    TaskManagementResult,
)
from fairlead.proto.iscsi.pdu_text import NopIn, NopOut, TextRequest, TextResponse
from fairlead.proto.iscsi.reader import PduReader
from fairlead.proto.iscsi.reject import (
    DataDigestError,
    HeaderDigestError,
    PduError,
    RejectReason,
)

__all__ = [
    "BHS_BYTES",
    "NO_LUN",
    "RESERVED_TAG",
    "AsyncEvent",
    "AsyncMessage",
    "Bhs",
    "DataDigestError",
    "DataIn",
    "DataOut",
    "HeaderDigestError",
    "InitiatorPdu",
    "LoginRequest",
    "LoginResponse",
    "LogoutReason",
    "LogoutRequest",
    "LogoutResponse",
    "LogoutResult",
    "NopIn",
    "NopOut",
    "Pdu",
    "PduError",
    "PduReader",
    "R2t",
    "Reject",
    "RejectReason",
    "ScsiCommand",
    "ScsiResponse",
    "ServiceResponse",
    "SnackRequest",
    "SnackType",
    "TargetPdu",
    "TaskAttribute",
    "TaskManagementFunction",
    "TaskManagementRequest",
    "TaskManagementResponse",
    "TaskManagementResult",
    "TextRequest",
    "TextResponse",
    "decode_pdu",
    "encode_sense_segment",
    "frame",
    "padded",
]
