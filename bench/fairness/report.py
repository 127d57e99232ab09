"""Renders a run as Markdown: the bars, then a table for each experiment."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.fairness.experiment import FAIR, FIFO, OTHERS, Column, Question, Unit, simulated
from bench.fairness.experiments import EXPERIMENTS
from bench.fairness.targets import TARGETS, Target
from bench.harness.report import number, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.fairness.rows import Results
    from bench.harness.bars import Bar

# From here on a figure over sockets is not what the simulator says.
AGREES_WITHIN = 0.10
# From here on the machine was not left alone.
DISTURBED_CORES = 0.1
_NONE = "-"
_DIGITS = {Unit.PERCENT: 2, Unit.TIMES: 3, Unit.MILLISECONDS: 0}


def render(
    results: Results,
    questions: Iterable[Question] = EXPERIMENTS.values(),
    targets: Iterable[Target] = TARGETS,
) -> str:
    """Return every table of a run; experiments that were not run are left out."""
    parts = [_machine(results), bars_table(results, targets)]
    parts += [
        _experiment(results, experiment)
        for experiment in questions
        if any(row.experiment == experiment.name for row in results.rows)
    ]
    parts.append(_failures(results))
    return "\n\n".join(part for part in parts if part) + "\n"


def bars_table(results: Results, targets: Iterable[Target] = TARGETS) -> str:
    """Return the table of bars: wanted, measured, met or not, and how to see it oneself."""
    ran = {row.experiment for row in results.rows} | {
        place.partition(",")[0] for place in results.absent
    }
    cells = []
    for target in targets:
        if target.experiment not in ran:
            continue
        bar = target.bar(results)
        scale = 100.0 if target.unit is Unit.PERCENT else 1.0
        values = [value * scale for value in target.values(results)]
        digits = _DIGITS.get(target.unit)
        cells.append(
            (
                bar.name,
                bar.wanted,
                number(bar.measured, digits=digits),
                _range(values, digits),
                verdict(bar),
                f"`{target.command}`",
            )
        )
    if not cells:
        return ""
    header = ("bar", "wanted", "measured", "of rounds", "verdict", "command")
    return "### Bars\n\n" + table(header, cells)


def verdict(bar: Bar) -> str:
    """Say whether a bar is met."""
    if bar.measured is None:
        return "not measured"
    if bar.is_met:
        return "met"
    return f"**NOT met**: {bar.remark}" if bar.remark else "**NOT met**"


def show(column: Column, values: list[float]) -> str:
    """Return a median with its range, in the column's unit."""
    if not values:
        return _NONE
    scale = 100.0 if column.unit is Unit.PERCENT else 1.0
    values = [value * scale for value in values]
    digits = _DIGITS.get(column.unit, 0 if column.unit is Unit.COUNT else None)
    middle = number(statistics.median(values), digits=digits)
    percent = " %" if column.unit is Unit.PERCENT else ""
    limits = _range(values, digits)
    return f"{middle}{percent}" if limits == _NONE else f"{middle}{percent} ({limits})"


def agreement(results: Results, experiment: Question, case: str, line: str) -> str:
    """Return what a line's figures are, divided by the simulator's; bold where they differ."""
    parts = []
    for column in experiment.columns:
        if not column.is_simulated:
            continue
        ours = results.median(experiment.name, case, line, column.figure)
        theirs = results.median(experiment.name, case, simulated(line), column.figure)
        if ours is None or not theirs:
            continue
        ratio = ours / theirs
        text = f"{column.heading} {ratio:.2f}"
        parts.append(text if abs(ratio - 1) <= AGREES_WITHIN else f"**{text}**")
    return ", ".join(parts) or _NONE


def _experiment(results: Results, experiment: Question) -> str:
    rows = [row for row in results.rows if row.experiment == experiment.name]
    columns = [
        column
        for column in (*experiment.columns, OTHERS)
        if any(column.figure in row.figures for row in rows)
    ]
    has_simulator = any(row.line == simulated(line) for row in rows for line in (FAIR, FIFO)) and (
        any(row.line in (FAIR, FIFO) for row in rows)
    )
    header = ["case", "line", *(column.heading for column in columns)]
    if has_simulator:
        header.append("by the simulator's")
    cells = []
    for case, line in dict.fromkeys((row.case, row.line) for row in rows):
        shown = [
            show(column, results.values(experiment.name, case, line, column.figure))
            for column in columns
        ]
        if has_simulator:
            shown.append(agreement(results, experiment, case, line))
        cells.append((case, line, *shown))
    notes = "".join(f"\n\n{note}" for note in results.notes.get(experiment.name, ()))
    legend = (
        f"\n\n*By the simulator's*: figures divided by those of the same policy in virtual time; "
        f"bold where they differ by more than {AGREES_WITHIN:.0%}."
        if has_simulator
        else ""
    )
    return f"### {experiment.title}\n\n{experiment.method}{notes}\n\n{table(header, cells)}{legend}"


def _machine(results: Results) -> str:
    settings = results.settings
    lines = [f"- {name}: {value}" for name, value in results.machine.items()]
    if settings:
        seconds = settings.get("seconds")
        said = settings.get("lengths", "as long as the scenario says")
        of = said if seconds is None else f"of {seconds} s"
        lines.append(f"- run: {settings.get('rounds')} rounds, each run {of}")
    turns = [row for row in results.rows if OTHERS.figure in row.figures]
    disturbed = [row for row in turns if row.figures[OTHERS.figure] > DISTURBED_CORES]
    if turns:
        lines.append(
            f"- others used more than {DISTURBED_CORES} CPUs in {len(disturbed)} of {len(turns)} "
            "turns"
        )
    lines += [f"- absent: {place}: {reason}" for place, reason in results.absent.items()]
    return "### Machine and run\n\n" + "\n".join(lines) if lines else ""


def _failures(results: Results) -> str:
    lines = [
        f"- {row.experiment}, {row.case}, {row.line}, round {row.round_number}: {row.failure}"
        for row in results.rows
        if row.failure is not None
    ]
    return "### Failed measurements\n\n" + "\n".join(lines) if lines else ""


def _range(values: list[float], digits: int | None) -> str:
    if len(values) < 2:
        return _NONE
    return f"{number(min(values), digits=digits)}..{number(max(values), digits=digits)}"
