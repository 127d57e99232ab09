"""Percentiles of latencies, by nearest rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Latencies of a run, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @override
    def __str__(self) -> str:
        """One line for the test's output."""
        return (
            f"{self.count} commands, p50 {self.p50_ms:.2f} ms, "
            f"p99 {self.p99_ms:.2f} ms, max {self.max_ms:.2f} ms"
        )


def summarise(latencies_ms: Sequence[float]) -> LatencySummary:
    """Summarise at least one latency.

    Raises:
        ValueError: there is none; then nothing was measured.
    """
    if not latencies_ms:
        raise ValueError("no command was answered, so there is no latency to tell")
    ordered = sorted(latencies_ms)

    def percentile(share: float) -> float:
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]

    return LatencySummary(len(ordered), percentile(0.50), percentile(0.99), ordered[-1])
