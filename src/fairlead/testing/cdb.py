"""CDBs that a test initiator sends, by the commands' own names.

Written from the standards and apart from the target's command table, which they are there to test.
A field too wide for its place raises OverflowError.

Spec: SPC-4 and SBC-3, by command name.
"""

from __future__ import annotations

import struct
from typing import Final

_RW_10: Final = struct.Struct(">BBIBHB")
_RW_12: Final = struct.Struct(">BBIIBB")
_RW_16: Final = struct.Struct(">BBQIBB")

FUA: Final = 0x08
"""Byte 1 of reads and writes: force unit access."""

DPO: Final = 0x10
"""Byte 1 of reads and writes: disable page out."""

BYTCHK: Final = 0x02
"""Byte 1 of VERIFY: compare with the Data-Out buffer."""

UNMAP_BIT: Final = 0x08
"""Byte 1 of WRITE SAME: unmap instead of writing."""

NDOB: Final = 0x01
"""Byte 1 of WRITE SAME (16): no Data-Out buffer, write zeros."""

IMMED: Final = 0x02
"""Byte 1 of SYNCHRONIZE CACHE and PRE-FETCH: answer before it is done."""


def rw_6(opcode: int, lba: int, blocks: int) -> bytes:
    """READ (6), WRITE (6): LBA of 21 bits; 0 blocks means 256."""
    if not (0 <= lba < 1 << 21 and 0 <= blocks <= 0xFF):
        raise OverflowError(f"LBA {lba} of 21 bits, {blocks} blocks of 8 bits")
    return bytes((opcode,)) + lba.to_bytes(3) + bytes((blocks, 0))


def rw_10(opcode: int, lba: int, blocks: int, *, flags: int = 0) -> bytes:
    """READ, WRITE, VERIFY, SYNCHRONIZE CACHE, PRE-FETCH and WRITE SAME, all (10)."""
    return _pack(_RW_10, opcode, flags, lba, 0, blocks, 0)


def rw_12(opcode: int, lba: int, blocks: int, *, flags: int = 0) -> bytes:
    """READ (12), WRITE (12), VERIFY (12), WRITE AND VERIFY (12)."""
    return _pack(_RW_12, opcode, flags, lba, blocks, 0, 0)


def rw_16(opcode: int, lba: int, blocks: int, *, flags: int = 0) -> bytes:
    """READ, WRITE, VERIFY, SYNCHRONIZE CACHE, PRE-FETCH and WRITE SAME, all (16)."""
    return _pack(_RW_16, opcode, flags, lba, blocks, 0, 0)


def compare_and_write(lba: int, blocks: int, *, flags: int = 0) -> bytes:
    """COMPARE AND WRITE: up to 255 blocks; the data is the verify instance, then the write one."""
    return _pack(struct.Struct(">BBQ3xBBB"), 0x89, flags, lba, blocks, 0, 0)


def unmap(parameter_list_bytes: int, *, anchor: bool = False) -> bytes:
    """UNMAP."""
    return _pack(struct.Struct(">BB4xBHB"), 0x42, int(anchor), 0, parameter_list_bytes, 0)


def unmap_parameter_list(ranges: list[tuple[int, int]]) -> bytes:
    """The parameter list of UNMAP.

    Args:
        ranges: pairs of LBA and number of blocks.
    """
    descriptors = b"".join(_pack(struct.Struct(">QI4x"), lba, blocks) for lba, blocks in ranges)
    return _pack(struct.Struct(">HH4x"), 6 + len(descriptors), len(descriptors)) + descriptors


def inquiry(allocation_bytes: int, *, page: int | None = None) -> bytes:
    """INQUIRY: the standard data, or a vital product data page."""
    evpd = page is not None
    return _pack(struct.Struct(">BBBHB"), 0x12, int(evpd), page or 0, allocation_bytes, 0)


def mode_sense_6(page: int, *, subpage: int, control: int, dbd: bool, length: int) -> bytes:
    """MODE SENSE (6); ``control`` is the PC field (0 current, 1 changeable, 2 default, 3 saved)."""
    return bytes((0x1A, 0x08 if dbd else 0, control << 6 | page, subpage, length, 0))


def mode_sense_10(page: int, *, subpage: int, control: int, dbd: bool, length: int) -> bytes:
    """MODE SENSE (10); ``control`` is the PC field."""
    return _pack(
        struct.Struct(">BBBB3xHB"),
        0x5A,
        0x08 if dbd else 0,
        control << 6 | page,
        subpage,
        length,
        0,
    )


def reserve_6() -> bytes:
    """RESERVE (6) of the whole logical unit."""
    return bytes((0x16, 0, 0, 0, 0, 0))


def release_6() -> bytes:
    """RELEASE (6) of the whole logical unit."""
    return bytes((0x17, 0, 0, 0, 0, 0))


def persistent_reserve_in(service_action: int, allocation_bytes: int) -> bytes:
    """PERSISTENT RESERVE IN."""
    return bytes((0x5E, service_action, 0, 0, 0, 0, 0)) + allocation_bytes.to_bytes(2) + b"\0"


def persistent_reserve_out(service_action: int, *, scope_and_type: int = 0) -> bytes:
    """PERSISTENT RESERVE OUT with a parameter list of 24 bytes."""
    return bytes((0x5F, service_action, scope_and_type, 0, 0, 0, 0, 0, 24, 0))


def persistent_reserve_out_list(key: int, service_action_key: int) -> bytes:
    """The basic parameter list, with no bit set."""
    return key.to_bytes(8) + service_action_key.to_bytes(8) + bytes(8)


def report_luns(allocation_bytes: int, *, select: int = 0) -> bytes:
    """REPORT LUNS."""
    return _pack(struct.Struct(">BxB3xIxB"), 0xA0, select, allocation_bytes, 0)


def service_action_in_16(service_action: int, lba: int, allocation_bytes: int) -> bytes:
    """SERVICE ACTION IN (16): READ CAPACITY (16) is 0x10, GET LBA STATUS 0x12."""
    return _pack(_RW_16, 0x9E, service_action, lba, allocation_bytes, 0, 0)


def report_supported_operation_codes(
    allocation_bytes: int, *, options: int = 0, opcode: int = 0, service_action: int = 0
) -> bytes:
    """REPORT SUPPORTED OPERATION CODES; ``options`` is byte 2 (RCTD and reporting options)."""
    return _pack(
        struct.Struct(">BBBBHIxB"), 0xA3, 0x0C, options, opcode, service_action, allocation_bytes, 0
    )


def _pack(layout: struct.Struct, *values: int) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error as error:
        raise OverflowError(f"CDB field: {error}, values {values}") from None
