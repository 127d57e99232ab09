"""Rows of the command table: fields, usage maps and refused bits derived from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.scsi.cdb import Bits, Command, Execution, Field


def row(**fields: object) -> Command:
    base: dict[str, object] = {
        "name": "A COMMAND",
        "opcode": 0x5F,
        "cdb_bytes": 10,
        "execution": Execution.VERIFY,
    }
    return Command(**(base | fields))  # type: ignore[arg-type]


def test_field_of_21_bits_keeps_its_neighbours_out() -> None:
    lba = Field(1, 21)
    assert lba.width_bytes == 3
    assert lba.mask == 0x1FFFFF
    assert lba.mask_bytes() == bytes.fromhex("1F FF FF")
    assert lba.read(bytes.fromhex("08 FF 00 01 00 00")) == 0x1F0001


@given(offset=st.integers(0, 8), width=st.sampled_from((8, 16, 32, 64)), data=st.data())
def test_field_reads_back_what_lies_in_the_cdb(
    offset: int, width: int, data: st.DataObject
) -> None:
    value = data.draw(st.integers(0, 2**width - 1))
    cdb = bytes(offset) + value.to_bytes(width // 8) + b"\xff"
    assert Field(offset, width).read(cdb) == value


def test_usage_is_the_union_of_fields_options_and_flags() -> None:
    command = row(
        lba=Field(2, 32),
        length=Field(7, 16),
        options=(Bits(6, 0x3F),),
        has_dpo=True,
        has_fua=True,
        protect_mask=0xE0,
    )
    assert command.usage == bytes.fromhex("5F 18 FF FF FF FF 3F FF FF 00")


def test_usage_holds_the_service_action() -> None:
    command = row(service_action=0x1A, allocation=Field(7, 16))
    assert command.usage == bytes.fromhex("5F 1A 00 00 00 00 00 FF FF 00")


def test_thin_bits_are_only_in_the_usage_of_a_thin_logical_unit() -> None:
    command = row(options=(Bits(1, 0x0A),), thin_mask=0x08)
    assert command.usage_for(thin=True)[1] == 0x0A
    assert command.usage_for(thin=False)[1] == 0x02
    assert command.usage == command.usage_for(thin=True)


def test_refused_bits_hold_protect_naca_and_the_rest() -> None:
    command = row(protect_mask=0xE0, refused=(Bits(1, 0x01), Bits(8, 0x80)))
    assert command.refused_bits == bytes.fromhex("00 E1 00 00 00 00 00 00 80 04")


@pytest.mark.parametrize(
    ("accepted", "used", "refused"),
    [(0b0001, 0x00, 0x06), (0b0011, 0x02, 0x04), (0b1011, 0x06, 0x00), (0b1111, 0x06, 0x00)],
)
def test_bytchk_bits_are_used_or_refused(accepted: int, used: int, refused: int) -> None:
    command = row(bytchk=accepted)
    assert command.usage[1] == used
    assert command.refused_bits[1] == refused


def test_a_command_without_bytchk_ignores_its_bits() -> None:
    assert row().refused_bits[1] == 0


def test_ndob_is_bit_0() -> None:
    assert row(has_ndob=True).usage[1] == 0x01
