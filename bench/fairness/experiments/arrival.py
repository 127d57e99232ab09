"""How soon an equal share is a newcomer's, and how soon all is the other's again."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.fairness import sample, setting
from bench.fairness.evenness import settled_after
from bench.fairness.experiment import (
    Column,
    Experiment,
    Plan,
    Unit,
    both_schedulers,
    in_turn,
    in_virtual_time,
)
from bench.fairness.virtual import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.fairness.rows import Results
    from bench.harness.server import IscsiServer

NAME = "arrival"
CASE = "come-and-go"
RESIDENT, GUEST = "resident", "guest"
_TOLERANCE = 0.05
_STAYS_MS = 100


def figures(
    resident: Sequence[float], guest: Sequence[float], *, begin: int, end: int, bin_ms: float
) -> dict[str, float | None]:
    """Return how long it takes after an arrival and after a departure.

    Args:
        resident: amounts by interval, from the resident's start on.
        guest: likewise, of the same intervals.
        begin: the place of the interval in which the guest comes.
        end: of that in which it leaves.
        bin_ms: length of an interval.
    """
    stays = max(1, round(_STAYS_MS / bin_ms))
    shares = [
        theirs / (ours + theirs) if ours + theirs else 0.0
        for ours, theirs in zip(resident[begin:end], guest[begin:end], strict=True)
    ]
    # Before the guest came, without the beginning.
    alone = statistics.median(resident[begin // 2 : begin]) if begin else 0.0
    arrived = settled_after(shares, 0.5, tolerance=_TOLERANCE, stays=stays)
    left = settled_after(resident[end:], alone, tolerance=_TOLERANCE, stays=stays)
    within = [share for share in shares if abs(share - 0.5) <= _TOLERANCE * 0.5]
    return {
        "arrive_ms": None if arrived is None else arrived * bin_ms,
        "leave_ms": None if left is None else left * bin_ms,
        "within": len(within) / len(shares) if shares else None,
    }


def run(plan: Plan, results: Results) -> None:
    """Measure over sockets and in virtual time; the scenario's times are kept."""
    scenario = setting.load_scenario(CASE)
    bin_ms = scenario.bin_ms

    def measure(server: IscsiServer, seed: int) -> dict[str, float | None]:
        taken = sample.take(
            server,
            scenario.clients,
            run_s=scenario.seconds,
            seed=seed,
            interval_s=bin_ms / 1000,
        )
        resident, guest = taken.timeline(RESIDENT), taken.timeline(GUEST)
        first = resident.start_interval + 1
        numbers = range(first, resident.start_interval + round(scenario.seconds * 1000 / bin_ms))
        guest_s = taken.clients[GUEST].seconds
        stop = (guest.start_ns + round(guest_s * 1e9)) // guest.interval_ns
        return figures(
            resident.requests(numbers),
            guest.requests(numbers),
            begin=guest.start_interval - first,
            end=stop - first,
            bin_ms=bin_ms,
        )

    def virtual(policy: str) -> dict[str, float | None]:
        result = simulate(setting.scenario_path(CASE), [policy])[policy]
        visit = next(client for client in scenario.clients if client.name == GUEST)
        return figures(
            result.clients[RESIDENT]["timeline"]["iops"],
            result.clients[GUEST]["timeline"]["iops"],
            begin=round(visit.start_s * 1000 / bin_ms),
            end=round((visit.stop_s or scenario.seconds) * 1000 / bin_ms),
            bin_ms=bin_ms,
        )

    volume = setting.simulated_volume(scenario)
    servers = both_schedulers(volume, scenario.clients, plan)
    in_turn((NAME, CASE), servers, plan, results, measure)
    in_virtual_time((NAME, CASE), results, virtual)


EXPERIMENT = Experiment(
    name=NAME,
    title="Arrival and departure",
    method=(
        "A client works for three seconds; an equal one comes after the first and leaves after "
        "the second. Counted in intervals of 10 ms: how long after the arrival the share is "
        "within a twentieth of a half and stays there for 100 ms, likewise after the departure "
        "for all of the device, and in how much of the second the share was so. The interval in "
        "which somebody comes or leaves counts."
    ),
    columns=(
        Column("arrive_ms", "after arrival, ms", Unit.MILLISECONDS),
        Column("leave_ms", "after departure, ms", Unit.MILLISECONDS),
        Column("within", "of the time within 5 %", Unit.PERCENT, is_simulated=True),
    ),
    run=run,
)
