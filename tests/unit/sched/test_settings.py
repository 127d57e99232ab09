"""What a context may be due, and what is refused with a remedy."""

from __future__ import annotations

import math

import pytest

from fairlead.errors import ConfigError
from fairlead.sched.settings import Priority, Rate, Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", 0),
        ("weight", 1001),
        ("burst_s", -0.001),
        ("burst_s", 10.001),
        ("burst_s", math.nan),
        ("queued_max", 0),
        ("queued_max", 8193),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Settings(**{name: value})  # type: ignore[arg-type]
    assert str(value) in caught.value.reason
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "value"),
    [("weight", 1), ("weight", 1000), ("burst_s", 0), ("burst_s", 10), ("queued_max", 8192)],
)
def test_ranges_include_their_ends(name: str, value: int) -> None:
    assert getattr(Settings(**{name: value}), name) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iops", 0),
        ("iops", 1_000_000_001),
        ("bytes_per_s", (1 << 20) - 1),
        ("bytes_per_s", (1 << 40) + 1),
    ],
)
def test_rates_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Rate(**{name: value})
    assert str(value) in caught.value.reason


@pytest.mark.parametrize("name", ["iops", "bytes_per_s"])
def test_a_guarantee_above_its_limit_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"guarantee.{name} 2000001 is above limit.{name} 2000000"
    ):
        Settings(guarantee=Rate(**{name: 2_000_001}), limit=Rate(**{name: 2_000_000}))


def test_a_guarantee_may_equal_its_limit_or_be_of_another_kind() -> None:
    Settings(guarantee=Rate(iops=100), limit=Rate(iops=100))
    Settings(guarantee=Rate(iops=1_000_000), limit=Rate(bytes_per_s=1 << 20))


def test_higher_classes_come_first() -> None:
    assert sorted(Priority) == [Priority.URGENT, Priority.NORMAL, Priority.IDLE]
