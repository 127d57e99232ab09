"""Task Management Function Request and Response. Spec: RFC 7143 §11.5 and §11.6."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.bhs import NO_LUN, RESERVED_TAG, Bhs
from fairlead.proto.iscsi.opcode import Opcode

_FINAL: Final = 0x80

_REQUEST: Final = struct.Struct(">5I8x")
_RESPONSE: Final = struct.Struct(">4xIII12x")


class TaskManagementFunction(enum.IntEnum):
    """What a Task Management Function Request asks for. Spec: RFC 7143 §11.5.1."""

    ABORT_TASK = 1
    ABORT_TASK_SET = 2
    CLEAR_ACA = 3
    CLEAR_TASK_SET = 4
    LOGICAL_UNIT_RESET = 5
    TARGET_WARM_RESET = 6
    TARGET_COLD_RESET = 7
    TASK_REASSIGN = 8


class TaskManagementResult(enum.IntEnum):
    """Response field of a Task Management Function Response. Spec: RFC 7143 §11.6.1."""

    FUNCTION_COMPLETE = 0
    TASK_DOES_NOT_EXIST = 1
    LUN_DOES_NOT_EXIST = 2
    TASK_STILL_ALLEGIANT = 3
    TASK_REASSIGN_NOT_SUPPORTED = 4
    FUNCTION_NOT_SUPPORTED = 5
    AUTHORIZATION_FAILED = 6
    FUNCTION_REJECTED = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskManagementRequest:
    """Task Management Function Request. Spec: RFC 7143 §11.5."""

    OPCODE: ClassVar[Opcode] = Opcode.TASK_MANAGEMENT_REQUEST

    immediate: bool = True
    function: int  # TaskManagementFunction, 0 to 127
    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    referenced_task_tag: int = RESERVED_TAG  # of ABORT TASK and TASK REASSIGN
    cmd_sn: int
    exp_stat_sn: int
    ref_cmd_sn: int = 0  # CmdSN of the task to abort
    exp_data_sn: int = 0  # of TASK REASSIGN
    data: bytes = b""  # the standard allows none

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is TASK_MANAGEMENT_REQUEST, and its data segment."""
        task_tag, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn = _REQUEST.unpack(bhs.specific_20)
        return cls(
            immediate=bhs.immediate,
            function=bhs.flags & ~_FINAL,
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            referenced_task_tag=task_tag,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            ref_cmd_sn=ref_cmd_sn,
            exp_data_sn=exp_data_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            immediate=self.immediate,
            flags=_FINAL | self.function,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_REQUEST.pack(
                self.referenced_task_tag,
                self.cmd_sn,
                self.exp_stat_sn,
                self.ref_cmd_sn,
                self.exp_data_sn,
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskManagementResponse:
    """Task Management Function Response. Spec: RFC 7143 §11.6."""

    OPCODE: ClassVar[Opcode] = Opcode.TASK_MANAGEMENT_RESPONSE

    response: int  # TaskManagementResult
    initiator_task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    data: bytes = b""  # the standard allows none

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is TASK_MANAGEMENT_RESPONSE, and its data segment."""
        stat_sn, exp_cmd_sn, max_cmd_sn = _RESPONSE.unpack(bhs.specific_20)
        return cls(
            response=bhs.specific_2[0],
            initiator_task_tag=bhs.initiator_task_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            specific_2=bytes((self.response, 0)),
            data_segment_bytes=len(self.data),
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_RESPONSE.pack(self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn),
        ).encode()
