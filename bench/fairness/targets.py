"""What this project wants of fairness: a table of bars, each computed from a run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.fairness.experiment import FAIR, FIFO, Unit, simulated
from bench.harness.bars import Bar

if TYPE_CHECKING:
    from bench.fairness.rows import Results

_SYMBOLS = {
    Unit.PERCENT: "%",
    Unit.TIMES: "times",
    Unit.COUNT: "",
    Unit.MICROSECONDS: "us",
    Unit.MILLISECONDS: "ms",
    Unit.NANOSECONDS: "ns",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One bar.

    Attributes:
        name: what is wanted of what.
        experiment, case, figure: where the figure is.
        line: whose it is.
        at_most, at_least: the bar, one of them; percents as 0..1.
        unit: of bar and figure.
        against: the figure is divided by this line's, round by round.
        why: said where the bar is missed, as far as it is known beforehand.
        program: what measures it.
    """

    name: str
    experiment: str
    case: str
    figure: str
    unit: Unit
    line: str = FAIR
    at_most: float | None = None
    at_least: float | None = None
    against: str | None = None
    why: str = ""
    program: str = "bench/fairness/run.py"

    @property
    def command(self) -> str:
        """What to type for the figure."""
        return f"{self.program} --only {self.experiment}"

    def values(self, results: Results) -> list[float]:
        """Return the figure of every round."""
        if self.against is not None:
            lines = (self.line, self.against)
            return results.ratios(self.experiment, self.case, lines, self.figure)
        return results.values(self.experiment, self.case, self.line, self.figure)

    def measured(self, results: Results) -> float | None:
        """Return the median over the rounds; None: not measured."""
        values = self.values(results)
        return statistics.median(values) if values else None

    def bar(self, results: Results) -> Bar:
        """Return it with its figure and whether it is met."""
        scale = 100.0 if self.unit is Unit.PERCENT else 1.0
        value = self.measured(results)
        if self.at_most is not None:
            is_met = value is not None and value <= self.at_most
            wanted = f"at most {self.at_most * scale:,.10g} {_SYMBOLS[self.unit]}"
        else:
            least = self.at_least or 0.0
            is_met = value is not None and value >= least
            wanted = f"at least {least * scale:,.10g} {_SYMBOLS[self.unit]}"
        measured = None if value is None else value * scale
        remark = self.why if measured is not None and not is_met else ""
        return Bar(self.name, wanted.strip(), measured, is_met, remark)


_MILLISECOND_NS = 1_000_000

TARGETS = (
    Target(
        name="weights 1 and 4: a share off by",
        experiment="shares",
        case="one-to-four",
        figure="error",
        unit=Unit.PERCENT,
        at_most=0.01,
    ),
    Target(
        name="1 session beside 16: share off a half by",
        experiment="shares",
        case="sessions",
        figure="points_off",
        unit=Unit.PERCENT,
        at_most=0.01,
    ),
    Target(
        name="weights 1..16: share error over 1 s",
        experiment="shares",
        case="weights",
        figure="error_1s",
        unit=Unit.PERCENT,
        at_most=0.01,
        why="counted in whole requests, of which weight 3 has seven a second",
    ),
    Target(
        name="the six with 4 KiB among themselves, over 1 s",
        experiment="shares",
        case="weights",
        figure="small_1s",
        unit=Unit.PERCENT,
        at_most=0.01,
    ),
    Target(
        name="weights 1..16: smallest by largest, by weight",
        experiment="shares",
        case="weights",
        figure="min_max",
        unit=Unit.TIMES,
        at_least=0.995,
    ),
    *(
        Target(
            name=f"p99 at depth 1 beside {size} at depth 256, of alone",
            experiment="victim",
            case=f"victim-{size.lower()}",
            figure="slower",
            unit=Unit.TIMES,
            at_most=most,
        )
        for size, most in (("4K", 1.6), ("64K", 2.5))
    ),
    *(
        Target(
            name=f"device used beside {size}, of what the neighbour alone uses",
            experiment="victim",
            case=f"victim-{size.lower()}",
            figure="of_most",
            unit=Unit.PERCENT,
            at_least=0.99,
        )
        for size in ("4K", "64K")
    ),
    Target(
        name="real disk: IOPS kept at depth 1 beside depth 128",
        experiment="disk",
        case="4k-d1-beside-d128",
        figure="kept",
        unit=Unit.PERCENT,
        at_least=0.5,
    ),
    *(
        Target(
            name=f"IOPS kept beside 1,000 idle, {case}",
            experiment="idle",
            case=case,
            figure="kept",
            unit=Unit.PERCENT,
            at_least=0.99,
        )
        for case in ("null", "ssd-20k")
    ),
    Target(
        name="null volume, depth 32: IOPS of fair by those of fifo",
        experiment="overhead",
        case="depth 32",
        figure="iops",
        unit=Unit.TIMES,
        against=FIFO,
        at_least=0.98,
    ),
    Target(
        name="null volume, depth 256: p99 of fair by that of fifo",
        experiment="overhead",
        case="depth 256",
        figure="p99_us",
        unit=Unit.TIMES,
        against=FIFO,
        at_most=1.05,
    ),
    *(
        Target(
            name=f"limit: {what}",
            experiment="promises",
            case="limit",
            figure=figure,
            unit=Unit.PERCENT,
            at_most=1.02,
        )
        for figure, what in (
            ("first_second", "the first second, of it"),
            ("busiest_second", "the busiest second, of it"),
            ("whole", "all of 10 s, of it"),
        )
    ),
    Target(
        name="guarantee: windows of 100 ms in which it was met",
        experiment="promises",
        case="guarantee",
        figure="met",
        unit=Unit.PERCENT,
        at_least=0.999,
    ),
    *(
        Target(
            name=f"share within 5 % after {what}{', virtual time' if line != FAIR else ''}",
            experiment="arrival",
            case="come-and-go",
            figure=figure,
            line=line,
            unit=Unit.MILLISECONDS,
            at_most=20,
        )
        for line in (FAIR, simulated(FAIR))
        for figure, what in (("arrive_ms", "an arrival"), ("leave_ms", "a departure"))
    ),
    *(
        Target(
            name=f"longest call of the scheduler: {call}",
            experiment="decisions",
            case=call,
            line="scheduler",
            figure="longest_ns",
            unit=Unit.NANOSECONDS,
            at_most=_MILLISECOND_NS,
        )
        for call in ("arrive", "set", "push", "next", "complete", "close", "close all")
    ),
    *(
        Target(
            name=f"virtual time, 100,000 reads/s: {what}",
            experiment="virtual",
            case=case,
            line=simulated(FAIR),
            figure=figure,
            unit=unit,
            at_most=most,
            at_least=least,
        )
        for what, case, figure, unit, most, least in (
            ("p99 beside 4K, of alone", "victim-4k", "slower", Unit.TIMES, 1.6, None),
            ("device busy", "victim-4k", "busy", Unit.PERCENT, None, 0.99),
            ("p99 beside 64K, of alone", "victim-64k", "slower", Unit.TIMES, 2.5, None),
            ("device busy, 64K", "victim-64k", "busy", Unit.PERCENT, None, 0.99),
            (
                "weights 1..16, share error over 1 s",
                "weights",
                "error_1s",
                Unit.PERCENT,
                0.01,
                None,
            ),
            ("weights 1..16, smallest by largest", "weights", "min_max", Unit.TIMES, None, 0.995),
        )
    ),
)
