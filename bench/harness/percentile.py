"""Percentiles over the latency bins that the load programs print.

The bins of several programs are added and percentiles are taken from the sum: percentiles of
percentiles mean nothing. The rule (nearest rank, upper edge of the bin) is that of
``load/histogram.c``; a test holds the two together.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def merge_bins(runs: Iterable[Iterable[tuple[int, int]]]) -> dict[int, int]:
    """Add up ``(upper edge in ns, count)`` bins of several runs, by edge."""
    merged: Counter[int] = Counter()
    for bins in runs:
        for upper_ns, count in bins:
            merged[upper_ns] += count
    return dict(merged)


def percentile_ns(bins: Mapping[int, int], fraction: float, *, max_ns: int) -> int:
    """Return the latency at or below which ``fraction`` (0..1) of all commands lie.

    Rounded up to its bin's edge (at most 1.6 %), never above ``max_ns``, the largest latency seen.
    0 where nothing was recorded.
    """
    total = sum(bins.values())
    if total == 0:
        return 0
    rank = max(1, math.ceil(fraction * total))
    seen = 0
    for upper_ns in sorted(bins):
        seen += bins[upper_ns]
        if seen >= rank:
            return min(upper_ns, max_ns)
    return max_ns
