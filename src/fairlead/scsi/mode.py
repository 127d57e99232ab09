"""MODE SENSE data. Spec: SPC-4 r37, MODE SENSE (6), MODE SENSE (10); SBC-3 r36, mode parameters.

No mode parameter can be changed or saved: changeable values are zeros, default values are the
current ones, and saved values end with SAVING PARAMETERS NOT SUPPORTED. To add a page, add a row to
`PAGES`.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fairlead.scsi.sense import SAVING_PARAMETERS_NOT_SUPPORTED, Sense

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fairlead.scsi.logical_unit import LogicalUnit

OPCODE_6: Final = 0x1A
OPCODE_10: Final = 0x5A

READ_WRITE_ERROR_RECOVERY: Final = 0x01
CACHING: Final = 0x08
CONTROL: Final = 0x0A
INFORMATIONAL_EXCEPTIONS: Final = 0x1C
ALL_PAGES: Final = 0x3F

CONTROL_EXTENSION: Final = 0x01
ALL_SUBPAGES: Final = 0xFF

_DBD: Final = 0x08
_LLBAA: Final = 0x10
_LONGLBA: Final = 0x01

_WP: Final = 0x80
_DPOFUA: Final = 0x10

_SUBPAGE_FORMAT: Final = 0x40
_WCE: Final = 0x04
_GLTSD: Final = 0x02
_UNRESTRICTED_REORDERING: Final = 0x10
_DEXCPT: Final = 0x08


class PageControl(IntEnum):
    """PC field: which values are asked for. Spec: SPC-4 r37, MODE SENSE (6)."""

    CURRENT = 0
    CHANGEABLE = 1
    DEFAULT = 2
    SAVED = 3


def read_write_error_recovery(_lu: LogicalUnit) -> bytes:
    """All zeros: recovery below us is not ours to report. Spec: SBC-3 r36, mode page 01h."""
    return bytes(10)


def caching(lu: LogicalUnit) -> bytes:
    """WCE is the truth about when a write is safe. Spec: SBC-3 r36, mode page 08h."""
    page = bytearray(18)
    page[0] = _WCE if lu.write_cache else 0
    return bytes(page)


def control(_lu: LogicalUnit) -> bytes:
    """Fixed format sense, one task set, tasks may be reordered. Spec: SPC-4 r37, mode page 0Ah.

    GLTSD is set, as no log parameters are saved. TAS is 0: tasks aborted by another initiator's
    task management end without status. SWP is 0: write protection is the volume's.
    """
    page = bytearray(10)
    page[0] = _GLTSD
    page[1] = _UNRESTRICTED_REORDERING
    return bytes(page)


def control_extension(_lu: LogicalUnit) -> bytes:
    """All zeros: no timestamps, no priorities. Spec: SPC-4 r37, mode page 0Ah subpage 01h."""
    return bytes(28)


def informational_exceptions(_lu: LogicalUnit) -> bytes:
    """DEXCPT: no exceptions are predicted or reported. Spec: SBC-3 r36, mode page 1Ch."""
    page = bytearray(10)
    page[0] = _DEXCPT
    return bytes(page)


PAGES: Final[Mapping[tuple[int, int], Callable[[LogicalUnit], bytes]]] = MappingProxyType(
    {
        (READ_WRITE_ERROR_RECOVERY, 0): read_write_error_recovery,
        (CACHING, 0): caching,
        (CONTROL, 0): control,
        (CONTROL, CONTROL_EXTENSION): control_extension,
        (INFORMATIONAL_EXCEPTIONS, 0): informational_exceptions,
    }
)
"""(page code, subpage code) -> the page behind its header, in ascending order."""


def render(lu: LogicalUnit) -> dict[bytes, bytes | Sense]:
    """Return lookup key -> answer for every MODE SENSE served, untruncated.

    The keys are masked CDBs of both lengths: every page and subpage selection, page control, DBD
    and LLBAA.
    """
    answers: dict[bytes, bytes | Sense] = {}
    for page_code, subpage_code, selected in _selections():
        for page_control in PageControl:
            cdb_2 = page_control << 6 | page_code
            pages = _pages(lu, selected, page_control)
            for byte_1 in (0, _DBD, _LLBAA, _LLBAA | _DBD):
                selection = bytes((byte_1, cdb_2, subpage_code))
                answers[bytes((OPCODE_10,)) + selection] = _answer(
                    page_control, _data_10(lu, byte_1, pages)
                )
                if not byte_1 & _LLBAA:
                    answers[bytes((OPCODE_6,)) + selection] = _answer(
                        page_control, _data_6(lu, byte_1, pages)
                    )
    return answers


def _selections() -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield page code, subpage code and the pages they select."""
    for code, subpage in PAGES:
        yield code, subpage, [(code, subpage)]
    for code in sorted({code for code, _ in PAGES}):
        yield code, ALL_SUBPAGES, [page for page in PAGES if page[0] == code]
    yield ALL_PAGES, 0, [page for page in PAGES if page[1] == 0]
    yield ALL_PAGES, ALL_SUBPAGES, list(PAGES)


def _pages(lu: LogicalUnit, selected: list[tuple[int, int]], page_control: PageControl) -> bytes:
    return b"".join(_page(lu, code, subpage, page_control) for code, subpage in selected)


def _page(lu: LogicalUnit, code: int, subpage: int, page_control: PageControl) -> bytes:
    body = PAGES[code, subpage](lu)
    if page_control is PageControl.CHANGEABLE:
        body = bytes(len(body))
    if subpage:
        return bytes((_SUBPAGE_FORMAT | code, subpage)) + len(body).to_bytes(2) + body
    return bytes((code, len(body))) + body


def _answer(page_control: PageControl, data: bytes) -> bytes | Sense:
    return SAVING_PARAMETERS_NOT_SUPPORTED if page_control is PageControl.SAVED else data


def _data_6(lu: LogicalUnit, byte_1: int, pages: bytes) -> bytes:
    """Spec: SPC-4 r37, mode parameter header(6)."""
    descriptor = b"" if byte_1 & _DBD else _short_descriptor(lu)
    rest = bytes((0, _device_specific(lu), len(descriptor))) + descriptor + pages
    return len(rest).to_bytes(1) + rest


def _data_10(lu: LogicalUnit, byte_1: int, pages: bytes) -> bytes:
    """Spec: SPC-4 r37, mode parameter header(10)."""
    descriptor = b""
    long_lba = 0
    if not byte_1 & _DBD:
        long_lba = _LONGLBA if byte_1 & _LLBAA else 0
        descriptor = _long_descriptor(lu) if long_lba else _short_descriptor(lu)
    header = bytes((0, _device_specific(lu), long_lba, 0)) + len(descriptor).to_bytes(2)
    rest = header + descriptor + pages
    return len(rest).to_bytes(2) + rest


def _device_specific(lu: LogicalUnit) -> int:
    """WP, and DPOFUA: both bits are served. Spec: SBC-3 r36, device specific parameter."""
    return (_WP if lu.read_only else 0) | _DPOFUA


def _short_descriptor(lu: LogicalUnit) -> bytes:
    """Spec: SBC-3 r36, short LBA mode parameter block descriptor."""
    return min(lu.blocks, 0xFFFF_FFFF).to_bytes(4) + lu.logical_block_bytes.to_bytes(4)


def _long_descriptor(lu: LogicalUnit) -> bytes:
    """Spec: SBC-3 r36, long LBA mode parameter block descriptor."""
    return lu.blocks.to_bytes(8) + bytes(4) + lu.logical_block_bytes.to_bytes(4)
