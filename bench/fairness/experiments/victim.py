"""One request at a time beside many: what a neighbour does to a client's latency."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.fairness import sample, setting
from bench.fairness.experiment import (
    Column,
    Experiment,
    Plan,
    Unit,
    both_schedulers,
    in_turn,
    in_virtual_time,
    quotient,
)
from bench.fairness.virtual import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from bench.fairness.rows import Results
    from bench.harness.server import IscsiServer
    from fairlead.sim.scenario import Scenario

NAME = "victim"
CASES = ("victim-4k", "victim-64k")
VICTIM, NEIGHBOUR = "victim", "neighbour"


def measure(
    server: IscsiServer, seed: int, *, scenario: Scenario, run_s: float
) -> dict[str, float | None]:
    """Measure the victim alone, the neighbour alone, and both together."""

    def take(*names: str) -> sample.Sample:
        clients = scenario.only(names).clients
        return sample.take(
            server, clients, run_s=run_s, seed=seed, interval_s=sample.interval_s(run_s)
        )

    device = scenario.device_parameters
    alone, neighbour, beside = take(VICTIM), take(NEIGHBOUR), take(VICTIM, NEIGHBOUR)
    # Alone, nobody's requests are cut.
    most = neighbour.busy(device)
    busy = beside.busy(device, piece_bytes=sample.piece_bytes(device, server.label))
    return {
        "p99_alone_us": alone.clients[VICTIM].p99_us,
        "p99_us": beside.clients[VICTIM].p99_us,
        "slower": quotient(beside.clients[VICTIM].p99_us, alone.clients[VICTIM].p99_us),
        "kept": quotient(beside.clients[VICTIM].iops, alone.clients[VICTIM].iops),
        "busy": busy,
        "of_most": None if busy is None or most is None else quotient(busy, most),
    }


def virtual_figures(policy: str, *, path: Path) -> dict[str, float | None]:
    """Return the same of three runs in virtual time."""
    alone = simulate(path, [policy], only=[VICTIM])[policy]
    neighbour = simulate(path, [policy], only=[NEIGHBOUR])[policy]
    beside = simulate(path, [policy])[policy]
    p99_us = [run.of_client(VICTIM, "latency_p99_us") for run in (alone, beside)]
    busy = beside.figure("utilisation")
    return {
        "p99_alone_us": p99_us[0],
        "p99_us": p99_us[1],
        "slower": quotient(p99_us[1], p99_us[0]),
        "kept": quotient(beside.of_client(VICTIM, "iops"), alone.of_client(VICTIM, "iops")),
        "busy": busy,
        "of_most": quotient(busy, neighbour.figure("utilisation")),
    }


def run(plan: Plan, results: Results) -> None:
    """Measure every case over sockets and in virtual time."""
    for case in CASES:
        scenario = setting.load_scenario(case)
        volume = setting.simulated_volume(scenario)
        servers = both_schedulers(volume, scenario.clients, plan)
        over_sockets = partial(measure, scenario=scenario, run_s=plan.run_s(scenario))
        in_turn((NAME, case), servers, plan, results, over_sockets)
        in_virtual = partial(virtual_figures, path=setting.scenario_path(case))
        in_virtual_time((NAME, case), results, in_virtual)


EXPERIMENT = Experiment(
    name=NAME,
    title="One request at a time beside 256",
    method=(
        "A victim reads 4 KiB at depth 1, a neighbour 4 KiB or 64 KiB at depth 256. In each "
        "round the victim works alone, the neighbour works alone, then both. *Slower* is the "
        "victim's p99 beside the neighbour, divided by that alone. *Busy* is the time of the "
        "device's channels that was used, by its cost model; *of most* divides it by what the "
        "neighbour alone uses."
    ),
    columns=(
        Column("p99_alone_us", "p99 alone, us", Unit.MICROSECONDS, is_simulated=True),
        Column("p99_us", "p99 beside, us", Unit.MICROSECONDS),
        Column("slower", "slower", Unit.TIMES, is_simulated=True),
        Column("kept", "IOPS kept", Unit.PERCENT),
        Column("busy", "device busy", Unit.PERCENT, is_simulated=True),
        Column("of_most", "of most", Unit.PERCENT),
    ),
    run=run,
)
