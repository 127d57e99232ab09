"""Sense data: both formats byte by byte, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import CheckCondition, ProtocolError
from fairlead.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    Asc,
    FieldPointer,
    Sense,
    SenseKey,
    invalid_cdb_field,
)

MISCOMPARE = Sense(SenseKey.MISCOMPARE, Asc.MISCOMPARE_DURING_VERIFY_OPERATION, information=0x1234)


@st.composite
def senses(draw: st.DrawFn) -> Sense:
    key = draw(st.sampled_from(SenseKey))
    pointers = st.builds(
        FieldPointer, st.integers(0, 0xFFFF), st.none() | st.integers(0, 7), st.booleans()
    )
    return Sense(
        key,
        draw(st.sampled_from(Asc)),
        draw(st.none() | st.integers(0, 2**64 - 1)),
        draw(st.none() | pointers) if key is SenseKey.ILLEGAL_REQUEST else None,
    )


def test_fixed_format() -> None:
    assert MISCOMPARE.encode_fixed() == bytes.fromhex(
        "F0 00 0E 00001234 0A 00000000 1D 00 00 000000"
    )


def test_fixed_format_without_information_is_not_valid() -> None:
    assert INVALID_FIELD_IN_CDB.encode_fixed() == bytes.fromhex(
        "70 00 05 00000000 0A 00000000 24 00 00 000000"
    )


def test_fixed_format_leaves_out_information_above_32_bits() -> None:
    far = Sense(SenseKey.MEDIUM_ERROR, Asc.UNRECOVERED_READ_ERROR, information=2**32)
    assert far.encode_fixed()[:7] == bytes.fromhex("70 00 03 00000000")


def test_descriptor_format() -> None:
    assert MISCOMPARE.encode_descriptor() == bytes.fromhex(
        "72 0E 1D 00 000000 0C  00 0A 80 00 0000000000001234"
    )


def test_descriptor_format_without_descriptors() -> None:
    sense = Sense(SenseKey.NO_SENSE, Asc.NO_ADDITIONAL_SENSE_INFORMATION)
    assert sense.encode_descriptor() == bytes.fromhex("72 00 00 00 000000 00")


def test_field_pointer() -> None:
    sense = invalid_cdb_field(2, 5)
    assert sense.encode_fixed()[15:] == bytes.fromhex("CD 0002")
    assert sense.encode_descriptor()[8:] == bytes.fromhex("02 06 0000 CD 0002 00")


def test_field_pointer_into_parameter_data() -> None:
    assert FieldPointer(258, in_cdb=False).encode() == bytes.fromhex("80 0102")


@pytest.mark.parametrize(("offset_bytes", "bit"), [(-1, None), (65536, None), (0, 8), (0, -1)])
def test_field_pointer_out_of_range(offset_bytes: int, bit: int | None) -> None:
    with pytest.raises(ValueError, match="must be 0"):
        FieldPointer(offset_bytes, bit)


@given(senses())
def test_descriptor_format_round_trip(sense: Sense) -> None:
    assert Sense.decode(sense.encode_descriptor()) == sense


@given(senses())
def test_fixed_format_round_trip_but_for_large_information(sense: Sense) -> None:
    back = Sense.decode(sense.encode_fixed())
    small = sense.information is None or sense.information < 2**32
    assert back.information == (sense.information if small else None)
    assert (back.key, back.asc, back.field) == (sense.key, sense.asc, sense.field)


def test_decode_of_sense_cut_behind_the_asc() -> None:
    assert Sense.decode(INVALID_FIELD_IN_CDB.encode_fixed()[:14]) == INVALID_FIELD_IN_CDB


def test_decode_skips_unknown_and_cut_descriptors() -> None:
    data = bytes.fromhex("72 05 24 00 000000 0A  80 02 AA BB  02 06 0000 C0")
    assert Sense.decode(data) == INVALID_FIELD_IN_CDB


@given(st.binary(max_size=32))
def test_decode_of_anything_decodes_or_is_a_protocol_error(data: bytes) -> None:
    try:
        sense = Sense.decode(data)
    except ProtocolError:
        return
    assert isinstance(sense.key, SenseKey)


@pytest.mark.parametrize(
    "data",
    ["", "70", "70 00 05 00000000 0A 00000000 24", "72 05 24 00 0000 00", "71" + "00" * 17],
)
def test_decode_refuses_what_is_not_current_sense(data: str) -> None:
    with pytest.raises(ProtocolError, match="response code"):
        Sense.decode(bytes.fromhex(data))


def test_decode_names_an_unknown_code() -> None:
    with pytest.raises(ProtocolError, match="unknown sense 5/FF/01"):
        Sense.decode(bytes.fromhex("72 05 FF 01 000000 00"))


def test_codes_are_unique_and_bytes() -> None:
    assert len({asc.value for asc in Asc}) == len(Asc.__members__)
    assert all(0 <= number <= 0xFF for asc in Asc for number in asc.value)


def test_check_condition_tells_its_sense() -> None:
    error = CheckCondition(INVALID_FIELD_IN_CDB)
    assert str(error) == "ILLEGAL_REQUEST, INVALID_FIELD_IN_CDB (5/24/00)"
    assert error.sense is INVALID_FIELD_IN_CDB
