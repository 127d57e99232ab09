from __future__ import annotations

import pytest

from fairlead.sim.fairness import jain_index, min_max_ratio, percentile


def test_jains_index() -> None:
    assert jain_index([3.0] * 7) == pytest.approx(1)
    assert jain_index([1.0, 0, 0, 0]) == pytest.approx(0.25)
    assert jain_index([]) is None
    assert jain_index([0.0, 0.0]) is None


def test_min_max_ratio() -> None:
    assert min_max_ratio([2.0, 4.0, 3.0]) == 0.5
    assert min_max_ratio([]) is None


def test_percentiles_are_by_nearest_rank() -> None:
    values = list(range(1, 101))
    assert [percentile(values, part) for part in (0, 0.5, 0.99, 0.995, 1)] == [1, 50, 99, 100, 100]
    assert percentile([7], 0.01) == 7
    assert percentile([], 0.5) is None
