"""PDUs by which a target tells of trouble: Asynchronous Message and Reject.

Spec: RFC 7143 §11.9 and §11.17.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.bhs import BHS_BYTES, NO_LUN, RESERVED_TAG, Bhs
from fairlead.proto.iscsi.opcode import Opcode

_ASYNC_MESSAGE: Final = struct.Struct(">4xIIIBBHHH4x")
_REJECT: Final = struct.Struct(">4xIIII8x")


class AsyncEvent(enum.IntEnum):
    """AsyncEvent field. Spec: RFC 7143 §11.9.1."""

    SCSI_EVENT = 0
    LOGOUT_REQUEST = 1
    CONNECTION_DROP = 2
    SESSION_DROP = 3
    NEGOTIATION_REQUEST = 4
    VENDOR_SPECIFIC = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncMessage:
    """Asynchronous Message. Spec: RFC 7143 §11.9."""

    OPCODE: ClassVar[Opcode] = Opcode.ASYNC_MESSAGE

    lun_field: bytes = NO_LUN
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    event: int  # AsyncEvent
    vendor_code: int = 0
    parameter_1: int = 0
    parameter_2: int = 0  # Time2Wait where the event announces a drop
    parameter_3: int = 0  # Time2Retain, or the time limit of a logout request
    data: bytes = b""  # of a SCSI event: SenseLength, sense data, event data

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is ASYNC_MESSAGE, and its data segment."""
        stat_sn, exp_cmd_sn, max_cmd_sn, event, vendor_code, *parameters = _ASYNC_MESSAGE.unpack(
            bhs.specific_20
        )
        return cls(
            lun_field=bhs.lun_field,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            event=event,
            vendor_code=vendor_code,
            parameter_1=parameters[0],
            parameter_2=parameters[1],
            parameter_3=parameters[2],
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=RESERVED_TAG,
            specific_20=_ASYNC_MESSAGE.pack(
                self.stat_sn,
                self.exp_cmd_sn,
                self.max_cmd_sn,
                self.event,
                self.vendor_code,
                self.parameter_1,
                self.parameter_2,
                self.parameter_3,
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Reject: a PDU was not accepted; its header comes back. Spec: RFC 7143 §11.17."""

    OPCODE: ClassVar[Opcode] = Opcode.REJECT

    reason: int  # RejectReason
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    data_sn: int = 0  # DataSN or R2TSN; of a rejected data SNACK
    data: bytes = b""  # the header of the PDU in error, complete

    @property
    def rejected_header(self) -> bytes:
        """The BHS of the PDU in error: 48 bytes, fewer where the target sent fewer."""
        return self.data[:BHS_BYTES]

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is REJECT, and its data segment."""
        stat_sn, exp_cmd_sn, max_cmd_sn, data_sn = _REJECT.unpack(bhs.specific_20)
        return cls(
            reason=bhs.specific_2[0],
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            data_sn=data_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            specific_2=bytes((self.reason, 0)),
            data_segment_bytes=len(self.data),
            initiator_task_tag=RESERVED_TAG,
            specific_20=_REJECT.pack(self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, self.data_sn),
        ).encode()
