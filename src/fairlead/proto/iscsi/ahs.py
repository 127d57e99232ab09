"""Additional header segments (AHS) of a SCSI Command. Spec: RFC 7143 §11.2.2."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.bhs import AHS_WORDS_MAX, padded
from fairlead.proto.iscsi.reject import PduError, RejectReason

AHS_BYTES_MAX: Final = 4 * AHS_WORDS_MAX

CDB_BYTES_IN_BHS: Final = 16
"""A longer CDB continues in an extended CDB segment."""

CDB_BYTES_MAX: Final = 260
"""The longest CDB that SPC-4 defines (variable length: 8 + 252 bytes)."""

# AHSLength, AHSType, AHS-specific byte 3. The length counts byte 3 but neither itself nor the type.
_HEAD: Final = struct.Struct(">HBx")
_UNCOUNTED_BYTES: Final = 3
_TYPE_MASK: Final = 0x3F


def _invalid(message: str) -> PduError:
    return PduError(RejectReason.INVALID_PDU_FIELD, message)


@dataclass(frozen=True, slots=True)
class ExtendedCdb:
    """The bytes of a CDB beyond the sixteenth. Spec: RFC 7143 §11.2.2.3."""

    TYPE: ClassVar[int] = 1

    cdb: bytes  # CDB bytes 16 and up

    @classmethod
    def decode_body(cls, body: bytes) -> Self:
        """Decode what follows the segment's fourth byte, padding removed.

        Raises:
            PduError: no byte at all, or a CDB longer than 260 bytes.
        """
        if not 1 <= len(body) <= CDB_BYTES_MAX - CDB_BYTES_IN_BHS:
            raise _invalid(
                f"extended CDB of {len(body)} bytes, range 1 to {CDB_BYTES_MAX - CDB_BYTES_IN_BHS}"
            )
        return cls(body)

    def encode_body(self) -> bytes:
        """Encode what follows the segment's fourth byte, without padding."""
        return self.cdb


@dataclass(frozen=True, slots=True)
class BidirectionalReadLength:
    """Expected length of the data a bidirectional command reads. Spec: RFC 7143 §11.2.2.4."""

    TYPE: ClassVar[int] = 2

    expected_bytes: int

    @classmethod
    def decode_body(cls, body: bytes) -> Self:
        """Decode what follows the segment's fourth byte, padding removed.

        Raises:
            PduError: the length is not 4 bytes.
        """
        if len(body) != 4:
            raise _invalid(f"expected bidirectional read length of {len(body)} bytes, want 4")
        return cls(int.from_bytes(body))

    def encode_body(self) -> bytes:
        """Encode what follows the segment's fourth byte, without padding."""
        return self.expected_bytes.to_bytes(4)


_SEGMENT_TYPES: Final[dict[int, type[ExtendedCdb] | type[BidirectionalReadLength]]] = {
    segment.TYPE: segment for segment in (ExtendedCdb, BidirectionalReadLength)
}
Ahs = ExtendedCdb | BidirectionalReadLength
"""One additional header segment."""


def decode_ahs(data: bytes) -> tuple[Ahs, ...]:
    """Decode all segments of one PDU, in their order.

    Args:
        data: TotalAHSLength words, 0 to 1,020 bytes.

    Raises:
        PduError: an unknown type, a type that appears twice, or a length that does not fit.
    """
    segments: dict[int, Ahs] = {}
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEAD.size:
            raise _invalid(f"AHS of {len(data)} bytes ends inside a segment's header")
        counted, type_ = _HEAD.unpack_from(data, offset)
        type_ &= _TYPE_MASK
        end = offset + _UNCOUNTED_BYTES + counted
        if counted < 1 or end > len(data):
            raise _invalid(
                f"AHS segment at byte {offset}: length {counted}, AHS ends at {len(data)}"
            )
        if type_ not in _SEGMENT_TYPES or type_ in segments:
            raise _invalid(f"AHS segment at byte {offset}: type {type_} unknown or repeated")
        body = bytes(data[offset + _HEAD.size : end])
        segments[type_] = _SEGMENT_TYPES[type_].decode_body(body)
        offset = padded(end)
    return tuple(segments.values())


def encode_ahs(segments: tuple[Ahs, ...]) -> bytes:
    """Encode segments in the given order, each padded to a multiple of four bytes."""
    encoded = bytearray()
    for segment in segments:
        body = segment.encode_body()
        encoded += _HEAD.pack(len(body) + 1, segment.TYPE) + body
        encoded += bytes(padded(len(encoded)) - len(encoded))
    return bytes(encoded)
