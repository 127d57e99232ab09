"""PDUs that negotiate or probe in full-feature phase: Text and NOP.

Spec: RFC 7143 §11.10, §11.11, §11.18, §11.19.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.bhs import NO_LUN, RESERVED_TAG, Bhs
from fairlead.proto.iscsi.opcode import Opcode

_FINAL: Final = 0x80
_CONTINUE: Final = 0x40

_REQUEST: Final = struct.Struct(">III16x")
_RESPONSE: Final = struct.Struct(">IIII12x")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest:
    """Text Request. Spec: RFC 7143 §11.10."""

    OPCODE: ClassVar[Opcode] = Opcode.TEXT_REQUEST

    immediate: bool = False
    final: bool  # F: the initiator has nothing more to negotiate
    continue_: bool = False  # C: the text goes on in the next Text Request
    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    target_transfer_tag: int = RESERVED_TAG  # reserved: starts an exchange; else goes on with one
    cmd_sn: int
    exp_stat_sn: int
    data: bytes = b""  # text keys

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is TEXT_REQUEST, and its data segment."""
        transfer_tag, cmd_sn, exp_stat_sn = _REQUEST.unpack(bhs.specific_20)
        return cls(
            immediate=bhs.immediate,
            final=bool(bhs.flags & _FINAL),
            continue_=bool(bhs.flags & _CONTINUE),
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            immediate=self.immediate,
            flags=(_FINAL if self.final else 0) | (_CONTINUE if self.continue_ else 0),
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_REQUEST.pack(self.target_transfer_tag, self.cmd_sn, self.exp_stat_sn),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResponse:
    """Text Response. Spec: RFC 7143 §11.11."""

    OPCODE: ClassVar[Opcode] = Opcode.TEXT_RESPONSE

    final: bool  # F: the exchange is over
    continue_: bool = False  # C: the text goes on in the next Text Response
    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    target_transfer_tag: int = RESERVED_TAG  # reserved where `final`
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    data: bytes = b""  # text keys

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is TEXT_RESPONSE, and its data segment."""
        transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn = _RESPONSE.unpack(bhs.specific_20)
        return cls(
            final=bool(bhs.flags & _FINAL),
            continue_=bool(bhs.flags & _CONTINUE),
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            flags=(_FINAL if self.final else 0) | (_CONTINUE if self.continue_ else 0),
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_RESPONSE.pack(
                self.target_transfer_tag, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NopOut:
    """NOP-Out: a ping, or the answer to the target's. Spec: RFC 7143 §11.18."""

    OPCODE: ClassVar[Opcode] = Opcode.NOP_OUT

    immediate: bool = True
    lun_field: bytes = NO_LUN
    initiator_task_tag: int = RESERVED_TAG  # reserved: no answer is wanted
    target_transfer_tag: int = RESERVED_TAG  # else: this answers that NOP-In
    cmd_sn: int
    exp_stat_sn: int
    data: bytes = b""  # ping data

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is NOP_OUT, and its data segment."""
        transfer_tag, cmd_sn, exp_stat_sn = _REQUEST.unpack(bhs.specific_20)
        return cls(
            immediate=bhs.immediate,
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            immediate=self.immediate,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_REQUEST.pack(self.target_transfer_tag, self.cmd_sn, self.exp_stat_sn),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NopIn:
    """NOP-In: the answer to a ping, or the target's own. Spec: RFC 7143 §11.19."""

    OPCODE: ClassVar[Opcode] = Opcode.NOP_IN

    lun_field: bytes = NO_LUN
    initiator_task_tag: int = RESERVED_TAG  # else: this answers that NOP-Out
    target_transfer_tag: int = RESERVED_TAG  # else: the target wants an answer
    stat_sn: int  # used up only where this answers a NOP-Out
    exp_cmd_sn: int
    max_cmd_sn: int
    data: bytes = b""  # ping data, returned

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is NOP_IN, and its data segment."""
        transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn = _RESPONSE.unpack(bhs.specific_20)
        return cls(
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_RESPONSE.pack(
                self.target_transfer_tag, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn
            ),
        ).encode()
