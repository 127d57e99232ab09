"""One client at work beside a thousand that are only logged in: who is idle should cost nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.fairness import sample, setting
from bench.fairness.crowd import Crowd
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
    from bench.fairness.rows import Results
    from bench.harness.server import IscsiServer
    from fairlead.sim.scenario import Scenario

NAME = "idle"
SCENARIO = "one-of-thousand"
WORKING = "working"
_IDLE = "idle"


def measure(
    server: IscsiServer, seed: int, *, scenario: Scenario, run_s: float
) -> dict[str, float | None]:
    """Measure the working client alone, then beside the idle ones."""
    idle = next(client for client in scenario.clients if client.name == _IDLE)
    initiators = [f"{setting.initiator_name(_IDLE)}-{number}" for number in range(idle.count)]
    alone = sample.take(server, scenario.clients, run_s=run_s, seed=seed)
    with Crowd(server.target, initiators):
        beside = sample.take(server, scenario.clients, run_s=run_s, seed=seed)
    return {
        "iops_alone": alone.total.iops,
        "iops": beside.total.iops,
        "kept": quotient(beside.total.iops, alone.total.iops),
        "p99_alone_us": alone.total.p99_us,
        "p99_us": beside.total.p99_us,
        "server_cpu_us": beside.server_cpu_us,
    }


def virtual_figures(policy: str) -> dict[str, float | None]:
    """Return the same in virtual time."""
    path = setting.scenario_path(SCENARIO)
    alone = simulate(path, [policy], only=[WORKING])[policy]
    beside = simulate(path, [policy])[policy]
    return {
        "iops_alone": alone.of_client(WORKING, "iops"),
        "iops": beside.of_client(WORKING, "iops"),
        "kept": quotient(beside.of_client(WORKING, "iops"), alone.of_client(WORKING, "iops")),
        "p99_alone_us": alone.of_client(WORKING, "latency_p99_us"),
        "p99_us": beside.of_client(WORKING, "latency_p99_us"),
    }


def run(plan: Plan, results: Results) -> None:
    """Measure on a volume that answers at once and on a simulated device."""
    scenario = setting.load_scenario(SCENARIO)
    volumes = {"null": setting.null_volume(), "ssd-20k": setting.simulated_volume(scenario)}
    over_sockets = partial(measure, scenario=scenario, run_s=plan.run_s(scenario))
    for case, volume in volumes.items():
        servers = both_schedulers(volume, scenario.clients, plan)
        in_turn((NAME, case), servers, plan, results, over_sockets)
    in_virtual_time((NAME, "ssd-20k"), results, virtual_figures)


EXPERIMENT = Experiment(
    name=NAME,
    title="One at work, 1,000 idle",
    method=(
        "One client reads 4 KiB at depth 32, alone, and beside 1,000 sessions of initiators of "
        "their own that have logged in and send nothing."
    ),
    columns=(
        Column("iops_alone", "IOPS alone", Unit.COUNT, is_simulated=True),
        Column("iops", "IOPS beside", Unit.COUNT, is_simulated=True),
        Column("kept", "kept", Unit.PERCENT, is_simulated=True),
        Column("p99_alone_us", "p99 alone, us", Unit.MICROSECONDS),
        Column("p99_us", "p99 beside, us", Unit.MICROSECONDS),
        Column("server_cpu_us", "server CPU us/command", Unit.TIMES),
    ),
    run=run,
)
