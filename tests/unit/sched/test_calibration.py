from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import ConfigError
from fairlead.sched.calibration import (
    LARGE_BYTES,
    SMALL_BYTES,
    Curve,
    Load,
    Point,
    fit,
    floor_of,
    is_saturated,
)
from fairlead.sched.device_cost import LinearCost


def point(depth: int, iops: float) -> Point:
    return Point(depth=depth, iops=iops, p50_us=1.0, p99_us=1.0, mean_us=1.0)


def curve(*rates: float, length_bytes: int = SMALL_BYTES) -> Curve:
    load = Load(operation="read", is_sequential=False, length_bytes=length_bytes)
    return Curve(load=load, points=tuple(point(2**i, rate) for i, rate in enumerate(rates)))


def test_the_knee_is_the_smallest_depth_with_nearly_the_best_rate() -> None:
    found = curve(10, 20, 38, 39.9, 40, 39)
    assert found.knee.depth == 4
    assert found.bytes_per_s == 38 * 4096
    assert curve(5).knee.depth == 1


def test_two_doublings_without_a_gain_are_enough() -> None:
    def points(*rates: float) -> tuple[Point, ...]:
        return curve(*rates).points

    assert not is_saturated(points(10, 10))
    assert is_saturated(points(10, 10, 10.4))
    assert not is_saturated(points(10, 10, 11))
    assert not is_saturated(points(10, 20, 20, 21.5))


@given(base_ns=st.integers(1_000, 10**7), per_kib_ns=st.integers(100, 10**5))
def test_a_line_is_found_again(base_ns: int, per_kib_ns: int) -> None:
    line = LinearCost(base_ns=base_ns, per_kib_ns=per_kib_ns)
    small, large = (
        curve(1e9 / line.of(length), length_bytes=length) for length in (SMALL_BYTES, LARGE_BYTES)
    )
    found = fit(small, large)
    for length in (SMALL_BYTES, LARGE_BYTES):
        assert found.of(length) == pytest.approx(line.of(length), rel=0.02)


@pytest.mark.parametrize(
    ("small_ns", "large_ns", "base_ns", "per_kib_ns"),
    [
        (10_000, 9_000, 10_000, 0),  # large ones cost nothing more
        (10_000, 640_000, 1, 5_000),  # more than their length says
        (0.5, 0.5, 1, 0),
        (5e12, 5e12, 1_000_000_000, 0),
    ],
)
def test_no_cost_is_below_nothing_or_beyond_reason(
    small_ns: float, large_ns: float, base_ns: int, per_kib_ns: int
) -> None:
    found = fit(curve(1e9 / small_ns), curve(1e9 / large_ns, length_bytes=LARGE_BYTES))
    assert found == LinearCost(base_ns=base_ns, per_kib_ns=per_kib_ns)


@pytest.mark.parametrize(
    ("values", "floor"), [([48_999, 51_000], 48_000), ([99.9], 99), ([7.2], 7), ([0.3, 5], 1)]
)
def test_what_may_be_relied_upon_is_rounded_down(values: list[float], floor: int) -> None:
    assert floor_of(values) == floor


def test_costs_have_ranges() -> None:
    line = LinearCost(base_ns=500_000_000, per_kib_ns=4)
    assert line.times(3) == LinearCost(base_ns=1_000_000_000, per_kib_ns=12)
    assert line.times(1e-12) == LinearCost(base_ns=1, per_kib_ns=0)
    for base_ns, per_kib_ns in ((0, 0), (10**9 + 1, 0), (1, -1), (1, 10**7 + 1)):
        with pytest.raises(ConfigError, match="is out of range"):
            LinearCost(base_ns=base_ns, per_kib_ns=per_kib_ns)
