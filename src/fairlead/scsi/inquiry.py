"""Standard INQUIRY data. Spec: SPC-4 r37, INQUIRY, standard INQUIRY data format."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from fairlead.scsi.identity import VENDOR_ID

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit

OPCODE: Final = 0x12
STANDARD_BYTES: Final = 96

DIRECT_ACCESS_BLOCK_DEVICE: Final = 0x00
"""Byte 0: peripheral qualifier 000b (connected), device type 00h."""

NO_LOGICAL_UNIT: Final = 0x7F
"""Byte 0 for a LUN without logical unit: qualifier 011b, device type 1Fh."""

_VERSION_SPC_4: Final = 0x06
_HISUP: Final = 0x10  # LUNs are assigned by the hierarchical model (SAM-5)
_RESPONSE_DATA_FORMAT: Final = 0x02
_CMDQUE: Final = 0x02

# Version descriptors, "no version claimed" of each.
_SAM_5: Final = 0x00A0
_SPC_4: Final = 0x0460
_SBC_3: Final = 0x04C0
_ISCSI: Final = 0x0960

# peripheral | RMB | version | HISUP, format | additional length | bytes 5-7 | vendor | product |
# revision | 22 bytes | version descriptors
_STANDARD = struct.Struct(">BBBBB3B8s16s4s22x4H30x")


def standard(lu: LogicalUnit) -> bytes:
    """Return the 96 bytes of standard INQUIRY data of a logical unit."""
    return _standard(DIRECT_ACCESS_BLOCK_DEVICE, lu.product, lu.revision)


def standard_without_logical_unit() -> bytes:
    """Return standard INQUIRY data for a LUN that no logical unit is mapped to.

    INQUIRY is served there with GOOD, so that an initiator may probe. Spec: SPC-4 r37, INQUIRY,
    peripheral qualifier 011b.
    """
    return _standard(NO_LOGICAL_UNIT, "", "")


def key(page_code: int | None = None) -> bytes:
    """Return the lookup key of a VPD page, or of the standard data (None)."""
    if page_code is None:
        return bytes((OPCODE, 0, 0))
    return bytes((OPCODE, 1, page_code))


def _standard(peripheral: int, product: str, revision: str) -> bytes:
    return _STANDARD.pack(
        peripheral,
        0,
        _VERSION_SPC_4,
        _HISUP | _RESPONSE_DATA_FORMAT,
        STANDARD_BYTES - 5,
        0,
        0,
        _CMDQUE,
        VENDOR_ID,
        product.ljust(16).encode("ascii"),
        revision.ljust(4).encode("ascii"),
        _SAM_5,
        _SPC_4,
        _SBC_3,
        _ISCSI,
    )
