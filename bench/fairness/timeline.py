"""What load programs counted by interval (``--interval``), put together. Pure.

Intervals begin at multiples of their length on the machine's monotonic clock, so those of several
programs are the same stretches of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fairlead.sched.cost import CostModel, OperationCost

SECOND_NS = 1_000_000_000
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One program's counts.

    ``first`` is the number of the first interval: the time of its beginning divided by
    ``interval_ns``. ``start_ns`` is when the program began to send. The four lists have one entry
    for each interval; lists of intervals before ``first`` or after the last one are empty.
    """

    interval_ns: int
    start_ns: int
    first: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    read_bytes: tuple[int, ...]
    written_bytes: tuple[int, ...]

    @classmethod
    def from_json(cls, intervals: Mapping[str, Any]) -> Timeline:
        """Take what the load program prints as ``intervals``."""
        return cls(
            interval_ns=intervals["interval_ns"],
            start_ns=intervals["start_ns"],
            first=intervals["first"],
            reads=tuple(intervals["reads"]),
            writes=tuple(intervals["writes"]),
            read_bytes=tuple(intervals["read_bytes"]),
            written_bytes=tuple(intervals["written_bytes"]),
        )

    @property
    def start_interval(self) -> int:
        """The number of the interval in which the program began."""
        return self.start_ns // self.interval_ns

    def requests(self, numbers: range) -> list[float]:
        """Return how many requests were answered in each of these intervals."""
        return [
            float(self._at(self.reads, number) + self._at(self.writes, number))
            for number in numbers
        ]

    def costs_ns(
        self, numbers: range, costs: CostModel, *, piece_bytes: int | None = None
    ) -> list[float]:
        """Return what was answered in each of these intervals, by a device's costs.

        Args:
            numbers: of the intervals.
            costs: of random requests.
            piece_bytes: longer requests went in pieces of this length, and each had its own fixed
                cost. Exact where a program's requests are of one size, and that shorter than a
                piece or some whole pieces.
        """

        def of(cost: OperationCost, requests: int, length_bytes: int) -> float:
            pieces = length_bytes / piece_bytes if piece_bytes else 0
            return (
                max(requests, pieces) * cost.random_ns + length_bytes * cost.page_ns / _PAGE_BYTES
            )

        return [
            of(costs.read, self._at(self.reads, number), self._at(self.read_bytes, number))
            + of(costs.write, self._at(self.writes, number), self._at(self.written_bytes, number))
            for number in numbers
        ]

    def _at(self, counts: Sequence[int], number: int) -> int:
        place = number - self.first
        return counts[place] if 0 <= place < len(counts) else 0


def whole_intervals(timelines: Iterable[Timeline], *, run_s: float) -> range:
    """Return the numbers of those intervals in which all programs were at work all the time.

    Args:
        timelines: of programs that sent for so long, with intervals of one length.
        run_s: how long.
    """
    known = list(timelines)
    interval_ns = known[0].interval_ns
    starts = max(-(-timeline.start_ns // interval_ns) for timeline in known)
    ends = min((timeline.start_ns + round(run_s * SECOND_NS)) // interval_ns for timeline in known)
    return range(starts, max(starts, ends))
