"""What is wanted: a table of bars, and the one figure that the run ends with."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.fairness.experiment import Unit
from bench.fairness.targets import Target
from bench.kernel_contexts.block_disk import BFQ
from bench.kernel_contexts.experiments import COST, ELEVATORS, STREAMS, WEIGHTS
from bench.kernel_contexts.lines import (
    MOVE_CGROUP,
    OFF_FIFO,
    PRIORITY,
    RING,
    RING_IOPRIO,
    RING_POLLED,
    SET_IOPRIO,
)

if TYPE_CHECKING:
    from bench.fairness.rows import Results

_bar = partial(Target, program="bench/kernel_contexts/run.py")
_CPU_CONTEXTS_MAX: Final = 4

TARGETS: Final = (
    *(
        _bar(
            name=f"weights 4 and 1, {line.label}: ratio off what is due",
            experiment=WEIGHTS.name,
            case=cell.case,
            line=line.label,
            figure="due_error",
            unit=Unit.PERCENT,
            at_most=0.15,
        )
        for line in (RING, RING_IOPRIO, PRIORITY, MOVE_CGROUP, SET_IOPRIO)
        for cell in WEIGHTS.cells
    ),
    *(
        _bar(
            name=f"CPU of a command, {line.label}, {cell.case}, by {OFF_FIFO.label}",
            experiment=COST.name,
            case=cell.case,
            line=line.label,
            figure="server_cpu_us",
            unit=Unit.TIMES,
            against=OFF_FIFO.label,
            at_most=1.15,
        )
        for line in (RING, RING_POLLED)
        for cell in COST.cells
        if cell.elevator == BFQ and len(cell.clients) <= _CPU_CONTEXTS_MAX
    ),
)


def ring_by_off(results: Results) -> float | None:
    """Return MB/s of two streams below BFQ with rings, by that without; None: not measured."""
    lines = (RING.label, OFF_FIFO.label)
    ratios = results.ratios(STREAMS.name, ELEVATORS[BFQ], lines, "mb_per_s")
    return statistics.median(ratios) if ratios else None


def last_line(results: Results) -> str:
    """Return the line that a run ends with."""
    ratio = ring_by_off(results)
    return "ring/off: not measured" if ratio is None else f"ring/off: {ratio:.1f}"
