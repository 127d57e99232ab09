"""What is exact in virtual time: the faster device, and mixed sizes counted by pieces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.fairness.experiment import (
    Column,
    Experiment,
    Plan,
    Unit,
    in_virtual_time,
    quotient,
)
from bench.fairness.virtual import simulate
from bench.harness.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from bench.fairness.rows import Results

NAME = "virtual"
VICTIMS = ("victim-4k", "victim-64k")
WEIGHTS = "weights"
_EXAMPLES = REPOSITORY / "examples" / "sim"
# Long enough for a few seconds' windows; the examples themselves are shorter.
_WEIGHTS_S = 10.0


def victim_figures(policy: str, *, path: Path) -> dict[str, float | None]:
    """Return what a neighbour does to a victim."""
    alone = simulate(path, [policy], only=["victim"])[policy]
    beside = simulate(path, [policy])[policy]
    p99_us = [run.of_client("victim", "latency_p99_us") for run in (alone, beside)]
    return {
        "p99_alone_us": p99_us[0],
        "p99_us": p99_us[1],
        "slower": quotient(p99_us[1], p99_us[0]),
        "busy": beside.figure("utilisation"),
    }


def weights_figures(policy: str, *, path: Path) -> dict[str, float | None]:
    """Return how evenly clients of sixteen weights and three sizes were served."""
    result = simulate(path, [policy], seconds=_WEIGHTS_S)[policy]
    return {
        "error_1s": result.figure("error_1s"),
        "min_max": result.figure("min_max"),
        "busy": result.figure("utilisation"),
    }


def run(plan: Plan, results: Results) -> None:  # noqa: ARG001  nothing here depends on it
    """Run three of the simulator's own examples."""
    for case in VICTIMS:
        figures = partial(victim_figures, path=_EXAMPLES / f"{case}.toml")
        in_virtual_time((NAME, case), results, figures)
    figures = partial(weights_figures, path=_EXAMPLES / f"{WEIGHTS}.toml")
    in_virtual_time((NAME, WEIGHTS), results, figures)


EXPERIMENT = Experiment(
    name=NAME,
    title="In virtual time alone",
    method=(
        "`fairlead sim --engine rust` with examples/sim/victim-4k.toml, victim-64k.toml and "
        "weights.toml (for 10 s), on flash of 100,000 reads a second: too fast to be imitated "
        "in real time on a small machine, and requests of 4 KiB, 64 KiB and 1 MiB mixed in "
        "every client, counted by pieces."
    ),
    columns=(
        Column("p99_alone_us", "p99 alone, us", Unit.MICROSECONDS),
        Column("p99_us", "p99 beside, us", Unit.MICROSECONDS),
        Column("slower", "slower", Unit.TIMES),
        Column("error_1s", "worst second", Unit.PERCENT),
        Column("min_max", "min/max", Unit.TIMES),
        Column("busy", "device busy", Unit.PERCENT),
    ),
    run=run,
)
