"""What the data plane is given: pages by key, and answers to the commands that come up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import CheckCondition
from fairlead.scsi import inquiry, mode, pages, reservation_commands, vpd
from fairlead.scsi.cdb import Execution
from fairlead.scsi.commands import COMMANDS, data_plane_rows
from fairlead.scsi.sense import Asc, Sense, SenseKey
from tests.support.logical_unit import logical_unit, logical_units, thin_logical_unit

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit

UPCALL_NAMES = {row.name for row in COMMANDS if row.execution is Execution.UPCALL}


def look_up(lu: LogicalUnit, cdb: str) -> bytes | Sense | None:
    """Answer as the data plane does: mask the CDB by the row's page key, then look it up."""
    raw = bytes.fromhex(cdb)
    row = next(
        row
        for row in data_plane_rows()
        if row["opcode"] == raw[0] and row["service_action"] in {None, raw[1] & 0x1F}
    )
    mask = row["page_key"]
    assert isinstance(mask, bytes)
    key = bytes(raw[at] & mask[at] for at in range(len(mask)))
    assert key == pages.key(raw)
    return pages.render(lu).get(key)


@pytest.mark.parametrize(
    ("cdb", "length"),
    [
        ("12 00 00 00 FF 00", 96),
        ("12 01 00 00 FF 00", 12),
        ("12 01 80 00 FF 00", 8),
        ("12 01 B0 00 FF 00", 64),
        ("1A 00 3F 00 FF 00", 4 + 8 + 12 + 20 + 12 + 12),
        ("1A 08 08 00 04 00", 4 + 20),
        ("5A 10 3F FF 00 00 00 00 FF 00", 8 + 16 + 12 + 20 + 12 + 32 + 12),
        ("25 00 00 00 00 00 00 00 00 00", 8),
        ("25 00 00 00 00 07 00 00 01 00", 8),
        ("9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32),
    ],
)
def test_pages_are_found_by_their_cdb(cdb: str, length: int) -> None:
    data = look_up(logical_unit(), cdb)
    assert isinstance(data, bytes)
    assert len(data) == length


@pytest.mark.parametrize(
    "cdb",
    [
        "12 00 01 00 FF 00",  # a page code without EVPD
        "12 02 00 00 FF 00",  # CMDDT
        "12 03 00 00 FF 00",
        "12 01 84 00 FF 00",  # a page there is not
        "1A 00 02 00 FF 00",
        "5A 00 3F 01 00 00 00 00 FF 00",
    ],
)
def test_other_cdbs_have_no_page(cdb: str) -> None:
    assert look_up(logical_unit(), cdb) is None


def test_a_page_may_be_a_check_condition() -> None:
    answer = look_up(logical_unit(), "1A 00 C8 00 FF 00")
    assert isinstance(answer, Sense)
    assert answer.asc is Asc.SAVING_PARAMETERS_NOT_SUPPORTED


@given(logical_units())
def test_every_key_has_the_shape_of_its_command(lu: LogicalUnit) -> None:
    for key, answer in pages.render(lu).items():
        row = next(row for row in COMMANDS if row.opcode == key[0] and row.page_key)
        assert row.page_key is not None
        assert len(key) == len(row.page_key)
        assert bytes(byte & mask for byte, mask in zip(key, row.page_key, strict=True)) == key
        assert isinstance(answer, bytes | Sense)


def test_render_is_deterministic_and_whole() -> None:
    rendered = pages.render(logical_unit())
    assert rendered == pages.render(logical_unit())
    assert vpd.render(logical_unit()).items() <= rendered.items()
    assert mode.render(logical_unit()).items() <= rendered.items()


def test_key_of_other_commands() -> None:
    assert pages.key(bytes.fromhex("28 00") + bytes(8)) is None
    assert pages.key(bytes.fromhex("FF 00") + bytes(8)) is None


def test_pages_without_logical_unit() -> None:
    rendered = pages.render_without_logical_unit()
    assert rendered.keys() == {inquiry.key(), inquiry.key(0)}
    assert all(data[0] == 0x7F for data in rendered.values())


def test_every_upcall_command_is_answered_and_no_other() -> None:
    assert pages.UPCALLS.keys() | reservation_commands.COMMANDS.keys() == UPCALL_NAMES
    assert not pages.UPCALLS.keys() & reservation_commands.COMMANDS.keys()


@given(st.integers(0, 600))
def test_upcall_answer_is_cut_to_the_allocation_length(allocation_bytes: int) -> None:
    cdb = bytes.fromhex("A3 0C 00 00 0000") + allocation_bytes.to_bytes(4) + bytes(2)
    whole = pages.upcall(thin_logical_unit(), bytes.fromhex("A3 0C 000000000000FFFF0000"), b"")
    answer = pages.upcall(thin_logical_unit(), cdb, b"")
    assert answer == whole[:allocation_bytes]


@pytest.mark.parametrize(
    ("cdb", "asc"),
    [
        ("28 00 00 00 00 00 00 00 01 00", Asc.INVALID_COMMAND_OPERATION_CODE),
        ("C0 00 00 00 00 00 00 00 00 00", Asc.INVALID_COMMAND_OPERATION_CODE),
        ("A3 0A 00 00 00 00 00 00 00 00 00 00", Asc.INVALID_FIELD_IN_CDB),
    ],
)
def test_upcall_of_another_command_is_refused(cdb: str, asc: Asc) -> None:
    with pytest.raises(CheckCondition) as caught:
        pages.upcall(logical_unit(), bytes.fromhex(cdb), b"")
    assert caught.value.sense == Sense(SenseKey.ILLEGAL_REQUEST, asc)
