from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import ConfigError
from fairlead.model.shares import (
    FIELDS,
    RateChange,
    ShareChange,
    ShareRule,
    build_settings,
    matches,
    merge,
    show_settings,
)
from fairlead.sched.settings import (
    BYTES_PER_S_MAX,
    BYTES_PER_S_MIN,
    IOPS_MAX,
    QUEUED_MAX,
    WEIGHT_MAX,
    Priority,
    Rate,
    Settings,
)


def test_a_change_says_what_is_written_and_nothing_else() -> None:
    change = ShareChange.model_validate(
        {"weight": 1, "limit": {"bytes_per_s": "100M"}, "guarantee": {"iops": "none"}}
    )
    # A weight of 1 is the default, and is said all the same.
    assert change.said() == {
        "weight": 1,
        "limit.bytes_per_s": 100 << 20,
        "guarantee.iops": None,
    }


@pytest.mark.parametrize("nothing", ["none", None])
def test_a_whole_limit_is_taken_away_in_a_word(nothing: object) -> None:
    change = ShareChange.model_validate({"limit": nothing})
    assert change.said() == {"limit.iops": None, "limit.bytes_per_s": None}


@pytest.mark.parametrize("document", [{}, {"limit": {}}])
def test_a_change_that_says_nothing_is_a_mistake(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"says nothing; there are: weight, priority, limit\.iops"):
        ShareChange.model_validate(document)


def test_changes_are_made_in_python_too() -> None:
    change = ShareChange(weight=4, limit=RateChange(iops=2000))
    assert change.said() == {"weight": 4, "limit.iops": 2000}


def test_later_layers_override_field_by_field() -> None:
    first = ShareRule.model_validate(
        {"contexts": "*", "weight": 2, "limit": {"iops": 10, "bytes_per_s": "1M"}}
    )
    second = ShareRule.model_validate({"contexts": "a", "limit": {"iops": "none"}})
    merged = merge([(0, first.said()), (1, second.said())])
    assert merged == {"weight": (2, 0), "limit.iops": (None, 1), "limit.bytes_per_s": (1 << 20, 0)}


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("iqn.2026-01.example:db-1", "*:db-*", True),
        ("iqn.2026-01.example:db-1", "IQN.2026-01.example:DB-?", True),
        ("group:Backup", "group:backup", True),
        ("iqn.2026-01.example:db-1", "db-*", False),
        ("a", "[bc]", False),
        ("10.0.0.7", "10.0.0.*", True),
        ("a\nb", "a*", True),
    ],
)
def test_names_match_as_a_whole_and_without_case(name: str, pattern: str, expected: bool) -> None:
    assert matches(name, pattern) is expected


def test_settings_of_nothing_are_the_defaults() -> None:
    assert build_settings({}) == Settings()


def test_a_guarantee_above_its_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"guarantee.iops 20 is above limit.iops 10 \(lower"):
        build_settings({"limit.iops": 10, "guarantee.iops": 20})


rates = st.builds(
    Rate,
    iops=st.none() | st.integers(1, IOPS_MAX),
    bytes_per_s=st.none() | st.integers(BYTES_PER_S_MIN, BYTES_PER_S_MAX),
)


@given(
    st.integers(1, WEIGHT_MAX),
    st.sampled_from(Priority),
    rates,
    st.floats(0, 10),
    st.integers(1, QUEUED_MAX),
)
def test_settings_that_are_shown_read_back(
    weight: int, priority: Priority, limit: Rate, burst_s: float, queued_max: int
) -> None:
    settings = Settings(
        weight=weight,
        priority=priority,
        limit=limit,
        burst_s=burst_s,
        guarantee=limit,
        queued_max=queued_max,
    )
    shown = show_settings(settings)
    assert tuple(shown) == FIELDS
    assert build_settings(shown) == settings
