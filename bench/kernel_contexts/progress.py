"""Tells the person who waits how far the run is, and how much longer it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.harness.rotation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.kernel_contexts.experiment import Cell, Measured


class Progress:
    """What is done of what is planned, in seconds.

    Args:
        experiments: all that will be run.
        clock_s: seconds that never go back.
    """

    def __init__(self, experiments: Sequence[Measured], clock_s: Callable[[], float]) -> None:
        self._planned_s = {
            one.name: one.round_s * one.rounds * len(one.lines) for one in experiments
        }
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._done_s = 0.0
        self._current = ""

    def begin(self, experiment: Measured, *, lines: int) -> None:
        """Begin the next one, with so many of its lines; the one before is over."""
        self._planned_s.pop(self._current, None)
        self._current = experiment.name
        self._planned_s[experiment.name] = experiment.round_s * experiment.rounds * lines

    def step(self, cell: Cell, line: str) -> None:
        """Say that a line is measured now."""
        say(f"  {cell.case}, {line}; about {format_s(self.left_s)} left")
        self._done_s += cell.turn_s
        self._planned_s[self._current] = max(0.0, self._planned_s[self._current] - cell.turn_s)

    @property
    def left_s(self) -> float:
        """How much longer, if it goes on as it went."""
        planned_s = sum(self._planned_s.values())
        passed_s = self._clock_s() - self._began_s
        # What the first turns take says nothing yet.
        pace = passed_s / self._done_s if self._done_s > 10 else 1.0
        return planned_s * pace


def format_s(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
