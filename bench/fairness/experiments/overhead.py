"""What the scheduler itself costs, on a volume that answers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.fairness import sample, setting
from bench.fairness.experiment import Column, Experiment, Plan, Unit, both_schedulers, in_turn
from fairlead.sim.client import ClientConfig

if TYPE_CHECKING:
    from bench.fairness.rows import Results
    from bench.harness.server import IscsiServer

NAME = "overhead"
CASES = {"depth 32": 32, "depth 256": 256}
_RUN_S = 4.0


def run(plan: Plan, results: Results) -> None:
    """Measure fair scheduling and first come, first served, in turn."""
    for case, depth in CASES.items():
        clients = (ClientConfig(name="working", depth=depth),)

        def measure(
            server: IscsiServer, seed: int, clients: tuple[ClientConfig, ...] = clients
        ) -> dict[str, float | None]:
            taken = sample.take(server, clients, run_s=plan.seconds or _RUN_S, seed=seed)
            return {
                "iops": taken.total.iops,
                "server_cpu_us": taken.server_cpu_us,
                "p50_us": taken.total.p50_us,
                "p99_us": taken.total.p99_us,
                "client_cores": taken.total.busiest_client_cores,
            }

        servers = both_schedulers(setting.null_volume(), clients, plan)
        in_turn((NAME, case), servers, plan, results, measure)


EXPERIMENT = Experiment(
    name=NAME,
    title="What the scheduler costs",
    method=(
        "One client reads 4 KiB of a `null` volume, which answers at once, so that nothing is "
        "measured but protocol, engine and scheduler. CPU is that of the server's processes for "
        "each command."
    ),
    columns=(
        Column("iops", "IOPS", Unit.COUNT),
        Column("server_cpu_us", "server CPU us/command", Unit.TIMES),
        Column("p50_us", "p50, us", Unit.MICROSECONDS),
        Column("p99_us", "p99, us", Unit.MICROSECONDS),
        Column("client_cores", "busiest client", Unit.TIMES),
    ),
    run=run,
)
