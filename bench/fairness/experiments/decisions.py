"""The longest single decision of the scheduler while contexts come and go."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from bench.fairness.experiment import Column, Experiment, Plan, Unit
from bench.fairness.rows import Row
from bench.harness.programs import BENCH
from bench.harness.rotation import say

if TYPE_CHECKING:
    from bench.fairness.rows import Results

NAME = "decisions"
_MANIFEST = BENCH / "decisions" / "Cargo.toml"
_CHURN_S = 1200


def parse_churn(text: str) -> dict[str, dict[str, float]]:
    """Return figures by call, of what the program prints last."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError("no result among what it printed")
    calls: dict[str, dict[str, float]] = json.loads(lines[-1])["calls"]
    return calls


def run(plan: Plan, results: Results) -> None:
    """Build and run the program once in every round."""
    command = ["cargo", "bench", "--quiet", "--manifest-path", str(_MANIFEST), "--bench", "churn"]
    for round_number in range(1, plan.rounds + 1):
        try:
            done = subprocess.run(
                [*command, "--", "--json"],
                capture_output=True,
                text=True,
                check=False,
                timeout=_CHURN_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            results.absent[NAME] = f"cargo: {error}"
            return
        try:
            calls = parse_churn(done.stdout)
        except (ValueError, KeyError) as error:
            said = done.stderr.strip().splitlines()
            results.absent[NAME] = f"churn: {said[-1] if said else error}"
            return
        for call, figures in calls.items():
            row = Row(
                experiment=NAME,
                case=call,
                line="scheduler",
                round_number=round_number,
                figures=figures,
            )
            results.rows.append(row)
            say(f"  {call} {round_number}/{plan.rounds}: {figures}")


EXPERIMENT = Experiment(
    name=NAME,
    title="The longest decision",
    method=(
        "The scheduler alone, without sockets (`bench/decisions/benches/churn.rs`): 100,000 "
        "contexts of which 10,000 have requests waiting; contexts come, change and leave all "
        "the while, and in the end all leave. Every call is timed. The same calls are made in "
        "seven passes; *longest* is the longest call of the shortest of its seven times, "
        "because what else the machine does meets a call once, and what the scheduler does, "
        "every time. *Longest with interruptions* is the longest of all, whatever it was."
    ),
    columns=(
        Column("calls", "calls", Unit.COUNT),
        Column("p50_ns", "p50, ns", Unit.NANOSECONDS),
        Column("p99_9_ns", "p99.9, ns", Unit.NANOSECONDS),
        Column("longest_ns", "longest, ns", Unit.NANOSECONDS),
        Column("longest_interrupted_ns", "longest with interruptions, ns", Unit.NANOSECONDS),
    ),
    run=run,
)
