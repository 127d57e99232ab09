"""Measures of how evenly something was given, and percentiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def jain_index(values: Collection[float]) -> float | None:
    """Return Jain's index: 1 when all are equal, 1/n when one has all; None without any."""
    squares = sum(value * value for value in values)
    if not values or squares == 0:
        return None
    return sum(values) ** 2 / (len(values) * squares)


def min_max_ratio(values: Collection[float]) -> float | None:
    """Return the smallest divided by the largest; None without any."""
    largest = max(values, default=0.0)
    return min(values) / largest if largest else None


def percentile(ordered: Sequence[int], fraction: float) -> int | None:
    """Return the value at or below which a fraction (0..1) lies: the nearest rank.

    Args:
        ordered: the values, smallest first.
        fraction: 0.99 for the 99th percentile.
    """
    if not ordered:
        return None
    return ordered[max(1, math.ceil(fraction * len(ordered))) - 1]
