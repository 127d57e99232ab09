"""REPORT LUNS data, and how a LUN is written. Spec: SPC-4 r37, REPORT LUNS; SAM-5, LUN formats.

The list is one initiator's view (its LUN mappings), not the target's.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ALLOCATION_BYTES_MIN: Final = 16
"""A smaller allocation length ends with INVALID FIELD IN CDB."""

PERIPHERAL_LUN_MAX: Final = 0xFF
LUN_MAX: Final = 0x3FFF
"""Flat space addressing has 14 bits."""

_FLAT: Final = 0x4000


class SelectReport(IntEnum):
    """Which logical units are listed: the values served."""

    ORDINARY = 0
    WELL_KNOWN = 1
    ALL = 2


def encode_lun(lun: int) -> bytes:
    """Return the 8 byte LUN field: peripheral device addressing up to 255, flat space above.

    Raises:
        ValueError: not 0..16383.
    """
    if not 0 <= lun <= LUN_MAX:
        raise ValueError(f"LUN {lun}: must be 0..{LUN_MAX}")
    return (lun if lun <= PERIPHERAL_LUN_MAX else _FLAT | lun).to_bytes(2) + bytes(6)


def render(luns: Iterable[int], select: SelectReport = SelectReport.ALL) -> bytes:
    """Return the parameter data, untruncated, in ascending order of LUNs.

    There are no well known logical units, so WELL_KNOWN is an empty list and ORDINARY is ALL.

    Raises:
        ValueError: a LUN is not 0..16383 or is there twice.
    """
    numbers = sorted(luns)
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"a LUN is there twice: {numbers}")
    entries = b"".join(map(encode_lun, numbers))
    if select is SelectReport.WELL_KNOWN:
        entries = b""
    return len(entries).to_bytes(4) + bytes(4) + entries
