"""READ CAPACITY data. Spec: SBC-3 r36, READ CAPACITY (10) and READ CAPACITY (16)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit

KEY_10: Final = bytes((0x25,))
KEY_16: Final = bytes((0x9E, 0x10))

_LBPME: Final = 0x80
_LBPRZ: Final = 0x40

# last LBA | block bytes | protection | exponents | LBPME, LBPRZ and lowest aligned LBA
_CAPACITY_16 = struct.Struct(">QIBBH16x")


def read_capacity_10(lu: LogicalUnit) -> bytes:
    """Return 8 bytes; FFFFFFFFh for a last LBA above 32 bits means "use READ CAPACITY (16)"."""
    return min(lu.last_lba, 0xFFFF_FFFF).to_bytes(4) + lu.logical_block_bytes.to_bytes(4)


def read_capacity_16(lu: LogicalUnit) -> bytes:
    """Return 32 bytes: no protection information, the first logical block is aligned."""
    provisioning = (_LBPME if lu.thin else 0) | (_LBPRZ if lu.lbprz else 0)
    return _CAPACITY_16.pack(
        lu.last_lba, lu.logical_block_bytes, 0, lu.physical_exponent, provisioning << 8
    )


def render(lu: LogicalUnit) -> dict[bytes, bytes]:
    """Return lookup key -> answer of both commands."""
    return {KEY_10: read_capacity_10(lu), KEY_16: read_capacity_16(lu)}
