"""LUN fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.lun import FLAT_SPACE_MAX, decode_lun, encode_lun
from fairlead.proto.iscsi.reject import PduError, RejectReason


@pytest.mark.parametrize(
    ("lun", "field"),
    [
        (0, "0000 0000 0000 0000"),
        (255, "00ff 0000 0000 0000"),
        (256, "4100 0000 0000 0000"),
        (16383, "7fff 0000 0000 0000"),
    ],
)
def test_example(lun: int, field: str) -> None:
    assert encode_lun(lun) == bytes.fromhex(field)
    assert decode_lun(bytes.fromhex(field)) == lun


@given(lun=st.integers(0, FLAT_SPACE_MAX))
def test_round_trip(lun: int) -> None:
    assert decode_lun(encode_lun(lun)) == lun


def test_flat_space_addressing_of_a_small_number() -> None:
    assert decode_lun(bytes.fromhex("4005 0000 0000 0000")) == 5


@pytest.mark.parametrize(
    "field",
    [
        "0100 0000 0000 0000",  # bus 1
        "0001 0001 0000 0000",  # two levels
        "8001 0000 0000 0000",  # logical unit addressing
        "c101 0000 0000 0000",  # well known logical unit
        "0000 0000 0000 0001",
        "0000",
    ],
)
def test_other_structures_are_refused(field: str) -> None:
    with pytest.raises(PduError, match="not a single level LUN") as caught:
        decode_lun(bytes.fromhex(field))
    assert caught.value.reason is RejectReason.INVALID_PDU_FIELD


@pytest.mark.parametrize("lun", [-1, FLAT_SPACE_MAX + 1])
def test_number_out_of_range(lun: int) -> None:
    with pytest.raises(ValueError, match=f"LUN {lun}"):
        encode_lun(lun)
