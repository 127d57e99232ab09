"""Serial numbers around their end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.serial import advance, distance

SERIALS = st.integers(0, 0xFFFF_FFFF)
STEPS = st.integers(-(2**31) + 1, 2**31)


@given(serial=SERIALS, steps=STEPS)
def test_distance_undoes_advance(serial: int, steps: int) -> None:
    assert distance(serial, advance(serial, steps)) == steps


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [(0xFFFF_FFFF, 0, 1), (0, 0xFFFF_FFFF, -1), (5, 5, 0), (0, 0x8000_0000, 0x8000_0000)],
)
def test_distance(first: int, second: int, steps: int) -> None:
    assert distance(first, second) == steps
