"""PDUs that carry SCSI commands and their status. Spec: RFC 7143 §11.3 and §11.4."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.ahs import (
    CDB_BYTES_IN_BHS,
    Ahs,
    BidirectionalReadLength,
    ExtendedCdb,
    decode_ahs,
    encode_ahs,
)
from fairlead.proto.iscsi.bhs import NO_LUN, Bhs
from fairlead.proto.iscsi.opcode import Opcode

_FINAL: Final = 0x80
_READ: Final = 0x40
_WRITE: Final = 0x20
_ATTRIBUTE_MASK: Final = 0x07

_BIDI_OVERFLOW: Final = 0x10
_BIDI_UNDERFLOW: Final = 0x08
_OVERFLOW: Final = 0x04
_UNDERFLOW: Final = 0x02

_SCSI_COMMAND: Final = struct.Struct(">III16s")
_SCSI_RESPONSE: Final = struct.Struct(">7I")


class TaskAttribute(enum.IntEnum):
    """ATTR field of a SCSI Command. Spec: RFC 7143 §11.3.1.2."""

    UNTAGGED = 0
    SIMPLE = 1
    ORDERED = 2
    HEAD_OF_QUEUE = 3
    ACA = 4


class ServiceResponse(enum.IntEnum):
    """Response field of a SCSI Response. Spec: RFC 7143 §11.4.3."""

    COMPLETED_AT_TARGET = 0x00
    TARGET_FAILURE = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class ScsiCommand:
    """SCSI Command. Spec: RFC 7143 §11.3.

    A CDB longer than 16 bytes travels in an extended CDB segment; ``cdb`` is the whole of it.
    """

    OPCODE: ClassVar[Opcode] = Opcode.SCSI_COMMAND

    immediate: bool = False
    final: bool = True  # F: no unsolicited Data-Out follows
    read: bool = False  # R: the initiator expects Data-In
    write: bool = False  # W: the initiator has data to send
    attribute: int = TaskAttribute.SIMPLE  # 0 to 7
    lun_field: bytes = NO_LUN
    initiator_task_tag: int
    expected_data_bytes: int = 0  # Expected Data Transfer Length
    cmd_sn: int
    exp_stat_sn: int
    cdb: bytes  # 16 to 260 bytes after decoding; encoding pads a shorter one with zeros
    bidirectional_read_bytes: int | None = None  # only where `read` and `write` are both set
    data: bytes = b""  # immediate data

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes, ahs: bytes = b"") -> Self:
        """Decode from a BHS whose opcode is SCSI_COMMAND, its data segment and its AHS.

        Raises:
            PduError: the AHS is malformed.
        """
        expected_bytes, cmd_sn, exp_stat_sn, cdb = _SCSI_COMMAND.unpack(bhs.specific_20)
        bidirectional_read_bytes: int | None = None
        for segment in decode_ahs(ahs):
            match segment:
                case ExtendedCdb():
                    cdb += segment.cdb
                case BidirectionalReadLength():
                    bidirectional_read_bytes = segment.expected_bytes
        return cls(
            immediate=bhs.immediate,
            final=bool(bhs.flags & _FINAL),
            read=bool(bhs.flags & _READ),
            write=bool(bhs.flags & _WRITE),
            attribute=bhs.flags & _ATTRIBUTE_MASK,
            lun_field=bhs.lun_field,
            initiator_task_tag=bhs.initiator_task_tag,
            expected_data_bytes=expected_bytes,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            cdb=cdb,
            bidirectional_read_bytes=bidirectional_read_bytes,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS; ``encode_ahs`` gives what follows it."""
        flags = (
            (_FINAL if self.final else 0)
            | (_READ if self.read else 0)
            | (_WRITE if self.write else 0)
            | (self.attribute & _ATTRIBUTE_MASK)
        )
        return Bhs(
            opcode=self.OPCODE,
            immediate=self.immediate,
            flags=flags,
            ahs_words=len(self.encode_ahs()) // 4,
            data_segment_bytes=len(self.data),
            lun_field=self.lun_field,
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_SCSI_COMMAND.pack(
                self.expected_data_bytes,
                self.cmd_sn,
                self.exp_stat_sn,
                self.cdb[:CDB_BYTES_IN_BHS],
            ),
        ).encode()

    def encode_ahs(self) -> bytes:
        """Encode the additional header segments, 0 to 1,020 bytes."""
        segments: list[Ahs] = []
        if len(self.cdb) > CDB_BYTES_IN_BHS:
            segments.append(ExtendedCdb(self.cdb[CDB_BYTES_IN_BHS:]))
        if self.bidirectional_read_bytes is not None:
            segments.append(BidirectionalReadLength(self.bidirectional_read_bytes))
        return encode_ahs(tuple(segments))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScsiResponse:
    """SCSI Response. Spec: RFC 7143 §11.4."""

    OPCODE: ClassVar[Opcode] = Opcode.SCSI_RESPONSE

    bidirectional_overflow: bool = False  # o
    bidirectional_underflow: bool = False  # u
    overflow: bool = False  # O
    underflow: bool = False  # U
    response: int = ServiceResponse.COMPLETED_AT_TARGET
    status: int = 0  # SCSI status; meaningless where `response` says target failure
    initiator_task_tag: int
    snack_tag: int = 0
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    exp_data_sn: int = 0  # Data-In and R2T PDUs sent for the command; 0 without any Data-In
    bidirectional_residual_bytes: int = 0
    residual_bytes: int = 0
    data: bytes = b""  # SenseLength (2 bytes), sense data, response data

    @property
    def sense(self) -> bytes:
        """Sense data, cut to what is there; empty where the data segment holds none.

        Spec: RFC 7143 §11.4.7.
        """
        sense_bytes = int.from_bytes(self.data[:2])
        return self.data[2 : 2 + sense_bytes]

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is SCSI_RESPONSE, and its data segment."""
        (
            snack_tag,
            stat_sn,
            exp_cmd_sn,
            max_cmd_sn,
            exp_data_sn,
            bidirectional_residual_bytes,
            residual_bytes,
        ) = _SCSI_RESPONSE.unpack(bhs.specific_20)
        return cls(
            bidirectional_overflow=bool(bhs.flags & _BIDI_OVERFLOW),
            bidirectional_underflow=bool(bhs.flags & _BIDI_UNDERFLOW),
            overflow=bool(bhs.flags & _OVERFLOW),
            underflow=bool(bhs.flags & _UNDERFLOW),
            response=bhs.specific_2[0],
            status=bhs.specific_2[1],
            initiator_task_tag=bhs.initiator_task_tag,
            snack_tag=snack_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            exp_data_sn=exp_data_sn,
            bidirectional_residual_bytes=bidirectional_residual_bytes,
            residual_bytes=residual_bytes,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        flags = (
            _FINAL
            | (_BIDI_OVERFLOW if self.bidirectional_overflow else 0)
            | (_BIDI_UNDERFLOW if self.bidirectional_underflow else 0)
            | (_OVERFLOW if self.overflow else 0)
            | (_UNDERFLOW if self.underflow else 0)
        )
        return Bhs(
            opcode=self.OPCODE,
            flags=flags,
            specific_2=bytes((self.response, self.status)),
            data_segment_bytes=len(self.data),
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_SCSI_RESPONSE.pack(
                self.snack_tag,
                self.stat_sn,
                self.exp_cmd_sn,
                self.max_cmd_sn,
                self.exp_data_sn,
                self.bidirectional_residual_bytes,
                self.residual_bytes,
            ),
        ).encode()


def encode_sense_segment(sense: bytes) -> bytes:
    """Put sense data into the data segment of a SCSI Response. Spec: RFC 7143 §11.4.7."""
    return len(sense).to_bytes(2) + sense if sense else b""
