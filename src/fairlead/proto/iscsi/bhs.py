"""iSCSI basic header segment (BHS). Spec: RFC 7143 §11.2.1."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

from fairlead.proto.iscsi.opcode import IMMEDIATE_BIT, OPCODE_MASK, Opcode
from fairlead.proto.iscsi.reject import PduError, RejectReason

BHS_BYTES: Final = 48

AHS_WORDS_MAX: Final = 0xFF
"""TotalAHSLength is one byte that counts 4-byte words. Spec: RFC 7143 §11.2.1.5."""

DATA_SEGMENT_BYTES_MAX: Final = 0xFF_FFFF
"""DataSegmentLength has three bytes. Spec: RFC 7143 §11.2.1.6."""

RESERVED_TAG: Final = 0xFFFF_FFFF
"""Initiator or Target Transfer Tag that names no task. Spec: RFC 7143 §11.2.1.8."""

NO_LUN: Final = bytes(8)
"""The LUN field of a PDU that addresses no logical unit, and of LUN 0."""

# opcode | flags | specific | AHS words:data bytes | LUN | ITT | specific
_BHS: Final = struct.Struct(">BB2sI8sI28s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bhs:
    """One decoded BHS. Opcode-specific bytes stay raw; the PDU classes name them.

    Spec: RFC 7143 §11.2.1.
    """

    opcode: Opcode
    immediate: bool = False
    flags: int = 0x80  # byte 1
    specific_2: bytes = bytes(2)  # bytes 2-3
    ahs_words: int = 0  # TotalAHSLength, in 4-byte words
    data_segment_bytes: int = 0  # DataSegmentLength, padding excluded
    lun_field: bytes = NO_LUN  # bytes 8-15: LUN, or ISID + TSIH in a login PDU
    initiator_task_tag: int = RESERVED_TAG
    specific_20: bytes = bytes(28)  # bytes 20-47

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Self:
        """Decode exactly 48 bytes. The reserved bit of byte 0 is ignored.

        Raises:
            PduError: fewer or more than 48 bytes, or an opcode that the standard does not define.
        """
        if len(data) != BHS_BYTES:
            raise PduError(
                RejectReason.PROTOCOL_ERROR, f"header of {len(data)} bytes, want {BHS_BYTES}"
            )
        first, flags, specific_2, lengths, lun, task_tag, specific_20 = _BHS.unpack(data)
        try:
            opcode = Opcode(first & OPCODE_MASK)
        except ValueError:
            raise PduError(
                RejectReason.COMMAND_NOT_SUPPORTED,
                f"unknown opcode {first & OPCODE_MASK:#04x}",
                bytes(data),
            ) from None
        return cls(
            opcode=opcode,
            immediate=bool(first & IMMEDIATE_BIT),
            flags=flags,
            specific_2=specific_2,
            ahs_words=lengths >> 24,
            data_segment_bytes=lengths & 0xFF_FFFF,
            lun_field=lun,
            initiator_task_tag=task_tag,
            specific_20=specific_20,
        )

    def encode(self) -> bytes:
        """Encode to 48 bytes; ``decode(x.encode()) == x`` for every valid x.

        Raises:
            ValueError: a field does not fit its place. Some would else be cut or spill silently.
        """
        lengths = (len(self.specific_2), len(self.lun_field), len(self.specific_20))
        if lengths != (2, 8, 28) or not (
            0 <= self.ahs_words <= AHS_WORDS_MAX
            and 0 <= self.data_segment_bytes <= DATA_SEGMENT_BYTES_MAX
        ):
            raise ValueError(f"a field does not fit its place: {self}")
        return _BHS.pack(
            (IMMEDIATE_BIT if self.immediate else 0) | self.opcode,
            self.flags,
            self.specific_2,
            self.ahs_words << 24 | self.data_segment_bytes,
            self.lun_field,
            self.initiator_task_tag,
            self.specific_20,
        )

    @property
    def ahs_bytes(self) -> int:
        """Length of all additional header segments, 0 to 1,020 bytes."""
        return 4 * self.ahs_words

    @property
    def pdu_bytes(self) -> int:
        """Length of the whole PDU on the wire, data padding included, digests excluded."""
        return BHS_BYTES + self.ahs_bytes + padded(self.data_segment_bytes)


def padded(length_bytes: int) -> int:
    """Round up to the next multiple of four. Spec: RFC 7143 §11.1."""
    return (length_bytes + 3) & ~3
