"""PDUs that move data: Data-Out, Data-In, R2T and SNACK. Spec: RFC 7143 §11.7, §11.8, §11.16."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.bhs import NO_LUN, RESERVED_TAG, Bhs
from fairlead.proto.iscsi.opcode import Opcode

_FINAL: Final = 0x80
_ACKNOWLEDGE: Final = 0x40
_OVERFLOW: Final = 0x04
_UNDERFLOW: Final = 0x02
_STATUS: Final = 0x01
_SNACK_TYPE_MASK: Final = 0x0F

_DATA_OUT: Final = struct.Struct(">I4xI4xII4x")
_DATA_IN: Final = struct.Struct(">7I")
_R2T: Final = struct.Struct(">7I")
_SNACK: Final = struct.Struct(">I4xI8xII")


class SnackType(enum.IntEnum):
    """What a SNACK Request asks for. Spec: RFC 7143 §11.16.1."""

    DATA_OR_R2T = 0
    STATUS = 1
    DATA_ACK = 2
    R_DATA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOut:
    """SCSI Data-Out. Spec: RFC 7143 §11.7."""

    OPCODE: ClassVar[Opcode] = Opcode.DATA_OUT

    final: bool  # F: last PDU of the unsolicited burst, or of the answer to one R2T
    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    target_transfer_tag: int = RESERVED_TAG  # reserved: unsolicited; else from the R2T
    exp_stat_sn: int
    data_sn: int  # counts from 0 in each burst
    buffer_offset_bytes: int
    data: bytes = b""

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is DATA_OUT, and its data segment."""
        transfer_tag, exp_stat_sn, data_sn, offset_bytes = _DATA_OUT.unpack(bhs.specific_20)
        return cls(
            final=bool(bhs.flags & _FINAL),
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            exp_stat_sn=exp_stat_sn,
            data_sn=data_sn,
            buffer_offset_bytes=offset_bytes,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            flags=_FINAL if self.final else 0,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_DATA_OUT.pack(
                self.target_transfer_tag, self.exp_stat_sn, self.data_sn, self.buffer_offset_bytes
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataIn:
    """SCSI Data-In, with the status folded in where ``has_status``. Spec: RFC 7143 §11.7."""

    OPCODE: ClassVar[Opcode] = Opcode.DATA_IN

    final: bool  # F: last PDU of a sequence
    acknowledge: bool = False  # A: wants a data acknowledgement (ErrorRecoveryLevel > 0)
    overflow: bool = False  # O
    underflow: bool = False  # U
    has_status: bool = False  # S: `status`, `stat_sn` and the residual are meaningful
    status: int = 0
    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    target_transfer_tag: int = RESERVED_TAG
    stat_sn: int = 0
    exp_cmd_sn: int
    max_cmd_sn: int
    data_sn: int
    buffer_offset_bytes: int
    residual_bytes: int = 0
    data: bytes = b""

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is DATA_IN, and its data segment."""
        (
            transfer_tag,
            stat_sn,
            exp_cmd_sn,
            max_cmd_sn,
            data_sn,
            offset_bytes,
            residual_bytes,
        ) = _DATA_IN.unpack(bhs.specific_20)
        return cls(
            final=bool(bhs.flags & _FINAL),
            acknowledge=bool(bhs.flags & _ACKNOWLEDGE),
            overflow=bool(bhs.flags & _OVERFLOW),
            underflow=bool(bhs.flags & _UNDERFLOW),
            has_status=bool(bhs.flags & _STATUS),
            status=bhs.specific_2[1],
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            data_sn=data_sn,
            buffer_offset_bytes=offset_bytes,
            residual_bytes=residual_bytes,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        flags = (
            (_FINAL if self.final else 0)
            | (_ACKNOWLEDGE if self.acknowledge else 0)
            | (_OVERFLOW if self.overflow else 0)
            | (_UNDERFLOW if self.underflow else 0)
            | (_STATUS if self.has_status else 0)
        )
        return Bhs(
            opcode=self.OPCODE,
            flags=flags,
            specific_2=bytes((0, self.status)),
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_DATA_IN.pack(
                self.target_transfer_tag,
                self.stat_sn,
                self.exp_cmd_sn,
                self.max_cmd_sn,
                self.data_sn,
                self.buffer_offset_bytes,
                self.residual_bytes,
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class R2t:
    """Ready To Transfer: the target asks for a burst of Data-Out. Spec: RFC 7143 §11.8."""

    OPCODE: ClassVar[Opcode] = Opcode.R2T

    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    target_transfer_tag: int
    stat_sn: int  # the next StatSN; an R2T does not use one up
    exp_cmd_sn: int
    max_cmd_sn: int
    r2t_sn: int  # counts from 0 in each command
    buffer_offset_bytes: int
    desired_bytes: int  # Desired Data Transfer Length, 1 to MaxBurstLength
    data: bytes = b""  # the standard allows none

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is R2T, and its data segment."""
        (
            transfer_tag,
            stat_sn,
            exp_cmd_sn,
            max_cmd_sn,
            r2t_sn,
            offset_bytes,
            desired_bytes,
        ) = _R2T.unpack(bhs.specific_20)
        return cls(
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            r2t_sn=r2t_sn,
            buffer_offset_bytes=offset_bytes,
            desired_bytes=desired_bytes,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_R2T.pack(
                self.target_transfer_tag,
                self.stat_sn,
                self.exp_cmd_sn,
                self.max_cmd_sn,
                self.r2t_sn,
                self.buffer_offset_bytes,
                self.desired_bytes,
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnackRequest:
    """SNACK Request; used above ErrorRecoveryLevel 0 only. Spec: RFC 7143 §11.16."""

    OPCODE: ClassVar[Opcode] = Opcode.SNACK_REQUEST

    type_: int  # SnackType, 0 to 15
    lun_field: bytes = NO_LUN
    initiator_task_tag: int = RESERVED_TAG
    target_transfer_tag: int = RESERVED_TAG  # or the SNACK Tag of R-Data SNACK
    exp_stat_sn: int
    beg_run: int
    run_length: int  # 0: everything from `beg_run` on
    data: bytes = b""  # the standard allows none

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is SNACK_REQUEST, and its data segment."""
        transfer_tag, exp_stat_sn, beg_run, run_length = _SNACK.unpack(bhs.specific_20)
        return cls(
            type_=bhs.flags & _SNACK_TYPE_MASK,
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            exp_stat_sn=exp_stat_sn,
            beg_run=beg_run,
            run_length=run_length,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            flags=_FINAL | self.type_,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_SNACK.pack(
                self.target_transfer_tag, self.exp_stat_sn, self.beg_run, self.run_length
            ),
        ).encode()
