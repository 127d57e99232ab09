"""MODE SENSE data, taken apart by a parser of the test's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given

from fairlead.scsi import mode
from fairlead.scsi.sense import SAVING_PARAMETERS_NOT_SUPPORTED
from tests.support.logical_unit import logical_unit, logical_units

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit

CURRENT, CHANGEABLE, DEFAULT, SAVED = range(4)
DBD: Final = 0x08
LLBAA: Final = 0x10
ALL: Final = [(0x01, 0), (0x08, 0), (0x0A, 0), (0x0A, 1), (0x1C, 0)]


@dataclass(frozen=True)
class ModeData:
    device_specific: int
    long_lba: bool
    descriptor: bytes
    pages: dict[tuple[int, int], bytes]


def ask_6(
    lu: LogicalUnit, page: int, subpage: int = 0, *, pc: int = CURRENT, byte_1: int = 0
) -> ModeData:
    data = mode.render(lu)[bytes((0x1A, byte_1, pc << 6 | page, subpage))]
    assert isinstance(data, bytes)
    assert data[0] == len(data) - 1
    assert data[1] == 0  # medium type
    return ModeData(data[2], False, data[4 : 4 + data[3]], split(data[4 + data[3] :]))


def ask_10(
    lu: LogicalUnit, page: int, subpage: int = 0, *, pc: int = CURRENT, byte_1: int = 0
) -> ModeData:
    data = mode.render(lu)[bytes((0x5A, byte_1, pc << 6 | page, subpage))]
    assert isinstance(data, bytes)
    assert int.from_bytes(data[:2]) == len(data) - 2
    assert data[2] == data[5] == 0
    assert data[4] & ~1 == 0
    length = int.from_bytes(data[6:8])
    return ModeData(data[3], bool(data[4] & 1), data[8 : 8 + length], split(data[8 + length :]))


def split(data: bytes) -> dict[tuple[int, int], bytes]:
    pages = {}
    while data:
        assert not data[0] & 0x80  # PS: nothing is saved
        if data[0] & 0x40:
            end = 4 + int.from_bytes(data[2:4])
            pages[data[0] & 0x3F, data[1]] = data[4:end]
        else:
            end = 2 + data[1]
            pages[data[0] & 0x3F, 0] = data[2:end]
        assert end <= len(data)
        data = data[end:]
    return pages


@pytest.mark.parametrize(
    ("page", "subpage", "expected"),
    [
        (0x01, 0x00, [(0x01, 0)]),
        (0x08, 0x00, [(0x08, 0)]),
        (0x0A, 0x00, [(0x0A, 0)]),
        (0x0A, 0x01, [(0x0A, 1)]),
        (0x0A, 0xFF, [(0x0A, 0), (0x0A, 1)]),
        (0x08, 0xFF, [(0x08, 0)]),
        (0x1C, 0x00, [(0x1C, 0)]),
        (0x3F, 0x00, [(0x01, 0), (0x08, 0), (0x0A, 0), (0x1C, 0)]),
        (0x3F, 0xFF, ALL),
    ],
)
def test_selection(page: int, subpage: int, expected: list[tuple[int, int]]) -> None:
    for ask in (ask_6, ask_10):
        assert list(ask(logical_unit(), page, subpage).pages) == expected


@pytest.mark.parametrize(
    ("page", "subpage"), [(0x00, 0), (0x02, 0), (0x08, 1), (0x0A, 2), (0x3F, 1), (0x3E, 0)]
)
def test_other_selections_have_no_answer(page: int, subpage: int) -> None:
    answers = mode.render(logical_unit())
    for pc in range(4):
        assert bytes((0x1A, 0, pc << 6 | page, subpage)) not in answers
        assert bytes((0x5A, 0, pc << 6 | page, subpage)) not in answers


def test_page_contents() -> None:
    pages = ask_6(logical_unit(), 0x3F, 0xFF).pages
    assert pages[0x01, 0] == bytes(10)
    assert pages[0x08, 0] == bytes.fromhex("04") + bytes(17)
    assert pages[0x0A, 0] == bytes.fromhex("02 10") + bytes(8)
    assert pages[0x0A, 1] == bytes(28)
    assert pages[0x1C, 0] == bytes.fromhex("08") + bytes(9)


@pytest.mark.parametrize(("write_cache", "wce"), [(True, 0x04), (False, 0x00)])
def test_wce_is_the_truth(write_cache: bool, wce: int) -> None:
    assert ask_6(logical_unit(write_cache=write_cache), 0x08).pages[0x08, 0][0] == wce


def test_sense_is_in_fixed_format() -> None:
    """D_SENSE (bit 2) agrees with what the target sends."""
    assert not ask_6(logical_unit(), 0x0A).pages[0x0A, 0][0] & 0x04


def test_nothing_is_changeable() -> None:
    changeable = ask_10(logical_unit(), 0x3F, 0xFF, pc=CHANGEABLE).pages
    current = ask_10(logical_unit(), 0x3F, 0xFF).pages
    assert list(changeable) == ALL
    assert {key: len(page) for key, page in changeable.items()} == {
        key: len(page) for key, page in current.items()
    }
    assert not any(any(page) for page in changeable.values())


@given(logical_units())
def test_default_values_are_the_current_ones(lu: LogicalUnit) -> None:
    assert ask_6(lu, 0x3F, 0xFF, pc=DEFAULT) == ask_6(lu, 0x3F, 0xFF)
    assert ask_10(lu, 0x3F, 0xFF, pc=DEFAULT) == ask_10(lu, 0x3F, 0xFF)


def test_saved_values_are_not_supported_for_every_selection() -> None:
    for key, answer in mode.render(logical_unit()).items():
        saved = key[2] >> 6 == SAVED
        assert (answer is SAVING_PARAMETERS_NOT_SUPPORTED) == saved
        assert isinstance(answer, bytes) != saved


@pytest.mark.parametrize(("read_only", "expected"), [(False, 0x10), (True, 0x90)])
def test_device_specific_parameter_has_wp_and_dpofua(read_only: bool, expected: int) -> None:
    lu = logical_unit(read_only=read_only)
    assert ask_6(lu, 0x3F).device_specific == expected
    assert ask_10(lu, 0x3F).device_specific == expected


@given(logical_units())
def test_short_block_descriptor(lu: LogicalUnit) -> None:
    descriptor = ask_6(lu, 0x08).descriptor
    assert len(descriptor) == 8
    assert int.from_bytes(descriptor[:4]) == min(lu.blocks, 2**32 - 1)
    assert descriptor[4] == 0
    assert int.from_bytes(descriptor[5:]) == lu.logical_block_bytes
    ten = ask_10(lu, 0x08)
    assert (ten.descriptor, ten.long_lba) == (descriptor, False)


@given(logical_units())
def test_long_block_descriptor(lu: LogicalUnit) -> None:
    ten = ask_10(lu, 0x08, byte_1=LLBAA)
    assert ten.long_lba
    assert len(ten.descriptor) == 16
    assert int.from_bytes(ten.descriptor[:8]) == lu.blocks
    assert ten.descriptor[8:12] == bytes(4)
    assert int.from_bytes(ten.descriptor[12:]) == lu.logical_block_bytes


def test_dbd_leaves_the_block_descriptor_out() -> None:
    lu = logical_unit()
    assert ask_6(lu, 0x3F, byte_1=DBD).descriptor == b""
    for byte_1 in (DBD, DBD | LLBAA):
        ten = ask_10(lu, 0x3F, byte_1=byte_1)
        assert (ten.descriptor, ten.long_lba) == (b"", False)


def test_mode_sense_6_has_no_llbaa() -> None:
    assert {key[1] for key in mode.render(logical_unit()) if key[0] == 0x1A} == {0, DBD}


def test_longest_answer_fits_the_one_byte_length() -> None:
    answers = mode.render(logical_unit())
    assert max(len(data) for data in answers.values() if isinstance(data, bytes)) <= 256
