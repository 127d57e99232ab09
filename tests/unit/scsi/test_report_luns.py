"""REPORT LUNS data and LUN addressing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.scsi import report_luns
from fairlead.scsi.report_luns import SelectReport


@pytest.mark.parametrize(
    ("lun", "field"),
    [
        (0, "0000"),
        (1, "0001"),
        (255, "00FF"),  # peripheral device addressing ends
        (256, "4100"),  # flat space addressing
        (16383, "7FFF"),
    ],
)
def test_addressing(lun: int, field: str) -> None:
    assert report_luns.encode_lun(lun) == bytes.fromhex(field) + bytes(6)


@pytest.mark.parametrize("lun", [-1, 16384])
def test_a_lun_out_of_range_is_refused(lun: int) -> None:
    with pytest.raises(ValueError, match=f"LUN {lun}"):
        report_luns.encode_lun(lun)


def test_list() -> None:
    assert report_luns.render([300, 0]) == bytes.fromhex(
        "00000010 00000000  0000000000000000  412C000000000000"
    )


@given(st.sets(st.integers(0, 16383), max_size=50))
def test_list_holds_every_lun_in_order(luns: set[int]) -> None:
    data = report_luns.render(luns)
    assert int.from_bytes(data[:4]) == len(data) - 8 == 8 * len(luns)
    fields = [int.from_bytes(data[at : at + 2]) for at in range(8, len(data), 8)]
    assert [field & 0x3FFF for field in fields] == sorted(luns)
    assert all(field >> 14 == (1 if field & 0x3FFF > 255 else 0) for field in fields)


def test_select_report() -> None:
    whole = report_luns.render([0, 1])
    assert report_luns.render([0, 1], SelectReport.ORDINARY) == whole
    assert report_luns.render([0, 1], SelectReport.ALL) == whole
    assert report_luns.render([0, 1], SelectReport.WELL_KNOWN) == bytes(8)


def test_no_luns() -> None:
    assert report_luns.render([]) == bytes(8)


def test_a_lun_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        report_luns.render([1, 1])
