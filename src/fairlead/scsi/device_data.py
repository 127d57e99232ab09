"""What a SCSI device says of itself, decoded. A device may say anything: nothing here trusts it.

Spec: SPC-4 r37, INQUIRY, VPD parameters; SBC-3 r36, READ CAPACITY, Block Limits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

TYPE_NAMES: Final = {
    0x00: "disk",
    0x01: "tape",
    0x03: "processor",
    0x04: "write-once disk",
    0x05: "CD or DVD",
    0x07: "optical disk",
    0x08: "changer",
    0x0C: "array controller",
    0x0D: "enclosure",
    0x0E: "simple disk",
    0x11: "object store",
    0x14: "zoned disk",
    0x1E: "well-known unit",
}
"""Peripheral device types, in words."""

BLOCK_TYPES: Final = frozenset({0x00, 0x04, 0x07, 0x0E, 0x14})
"""Types whose page B0h is Block Limits; that of a tape says other things."""

STANDARD_BYTES_MIN: Final = 36
BLOCK_LIMITS_BYTES: Final = 60
"""Behind the header."""

_NO_UNIT: Final = 0b011
_U32_MAX: Final = 0xFFFF_FFFF
_U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
# Fields of Block Limits that speak of transferred blocks, by their place in the page.
_MAX_COMPARE_AND_WRITE: Final = 5
_OPTIMAL_GRANULARITY: Final = slice(6, 8)
_MAX_TRANSFER: Final = slice(8, 12)
_OPTIMAL_TRANSFER: Final = slice(12, 16)
_MAX_ATOMIC_TRANSFERS: Final = (slice(44, 48), slice(56, 60))
_HEADER_BYTES: Final = 4

# Designators of a logical unit, by type: the better first. Spec: SPC-4 r37, designator types.
_NAA, _EUI_64, _SCSI_NAME, _T10_VENDOR_ID = 3, 2, 8, 1
_PREFIXES: Final = {_NAA: "naa.", _EUI_64: "eui.", _SCSI_NAME: "", _T10_VENDOR_ID: "t10."}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardInquiry:
    """Standard INQUIRY data.

    Attributes:
        peripheral: byte 0, as every page of the unit has it.
        version: byte 2; 3 SPC, 4 SPC-2, 5 SPC-3 and so on.
    """

    peripheral: int
    version: int
    vendor: str
    product: str
    revision: str

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return what it says; None where it is too short to say anything."""
        if len(data) < STANDARD_BYTES_MIN:
            return None
        return cls(
            peripheral=data[0],
            version=data[2],
            vendor=_text(data[8:16]),
            product=_text(data[16:32]),
            revision=_text(data[32:36]),
        )

    @property
    def has_unit(self) -> bool:
        """Whether there is a logical unit at this LUN."""
        return self.peripheral >> 5 != _NO_UNIT

    @property
    def type_name(self) -> str:
        """The peripheral device type, in a word."""
        number = self.peripheral & 0x1F
        return TYPE_NAMES.get(number, f"device of type {number:02X}h")

    @property
    def has_blocks(self) -> bool:
        """Whether SBC is its command set."""
        return self.peripheral & 0x1F in BLOCK_TYPES


@dataclass(frozen=True, slots=True)
class Capacity:
    """How large a medium is."""

    blocks: int
    block_bytes: int

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return self.blocks * self.block_bytes


def decode_capacity_10(data: bytes) -> Capacity | None:
    """Return what READ CAPACITY (10) says; None where READ CAPACITY (16) has to be asked."""
    if len(data) < 8:
        return None
    last, block_bytes = struct.unpack_from(">II", data)
    return None if last == _U32_MAX else Capacity(last + 1, block_bytes)


def decode_capacity_16(data: bytes) -> Capacity | None:
    """Return what READ CAPACITY (16) says; None where it says nothing."""
    if len(data) < 12:
        return None
    last, block_bytes = struct.unpack_from(">QI", data)
    return None if last == _U64_MAX else Capacity(last + 1, block_bytes)


def decode_page(data: bytes, code: int) -> bytes | None:
    """Return a VPD page without its header; None where the device gave something else."""
    if len(data) < _HEADER_BYTES or data[1] != code:
        return None
    return data[_HEADER_BYTES:][: int.from_bytes(data[2:4])]


def decode_serial(body: bytes) -> str:
    """Return the serial number on page 80h."""
    return _text(body)


def decode_designator(body: bytes) -> str | None:
    """Return the best name of the logical unit on page 83h, as the kernel's wwid writes it."""
    found: dict[int, str] = {}
    while len(body) >= _HEADER_BYTES:
        code_set, kind = body[0] & 0x0F, body[1] & 0x0F
        is_units, value = not body[1] & 0x30, body[_HEADER_BYTES:][: body[3]]
        if is_units and kind in _PREFIXES and value:
            is_binary = code_set == 1
            text = value.hex() if is_binary else _text(value)
            if text:
                found.setdefault(kind, _PREFIXES[kind] + text)
        body = body[_HEADER_BYTES + body[3] :]
    return next((found[kind] for kind in _PREFIXES if kind in found), None)


def clamp_block_limits(body: bytes | None, *, block_bytes: int, transfer_bytes_max: int) -> bytes:
    """Return the Block Limits page for initiators that come through us, without its header.

    Everything is as the device says, except that no command transfers more than passes.

    Args:
        body: the device's; None where it has none.
        block_bytes: its logical block.
        transfer_bytes_max: what passes at a time.
    """
    page = bytearray(bytes(_HEADER_BYTES) + (body or b"").ljust(BLOCK_LIMITS_BYTES, b"\0"))
    blocks_max = max(1, transfer_bytes_max // max(1, block_bytes))
    most = _number(page, _MAX_TRANSFER) or _U32_MAX
    page[_MAX_TRANSFER] = min(most, blocks_max, _U32_MAX).to_bytes(4)
    # 0 stands for "not reported" in all of these, and is smaller than every limit.
    for place in (_OPTIMAL_GRANULARITY, _OPTIMAL_TRANSFER, *_MAX_ATOMIC_TRANSFERS):
        if _number(page, place) > blocks_max:
            page[place] = blocks_max.to_bytes(place.stop - place.start)
    # COMPARE AND WRITE transfers its blocks twice.
    page[_MAX_COMPARE_AND_WRITE] = min(page[_MAX_COMPARE_AND_WRITE], max(1, blocks_max // 2))
    return bytes(page[_HEADER_BYTES:])


def _number(page: bytearray, place: slice) -> int:
    return int.from_bytes(page[place])


def _text(data: bytes) -> str:
    """ASCII without what pads it; what is not printable becomes a question mark."""
    shown = (chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in data.replace(b"\0", b" "))
    return "".join(shown).strip()
