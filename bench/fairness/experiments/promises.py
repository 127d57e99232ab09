"""Limits and guarantees, second by second and tenth by tenth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.fairness import sample, setting
from bench.fairness.evenness import most_within, part_at_least
from bench.fairness.experiment import (
    Column,
    Experiment,
    Plan,
    Unit,
    both_schedulers,
    in_turn,
    in_virtual_time,
)
from bench.fairness.timeline import SECOND_NS, Timeline, whole_intervals
from bench.fairness.virtual import simulate

if TYPE_CHECKING:
    from bench.fairness.rows import Results
    from bench.harness.server import IscsiServer
    from fairlead.sim.client import RateConfig
    from fairlead.sim.scenario import Scenario

NAME = "promises"
_LIMITED, _GUARANTEED = "limited", "guaranteed"
# Of a window to which a limit is held, an interval is what is not known of its beginning.
_LIMIT_INTERVAL_S = 0.002
_GUARANTEE_INTERVAL_S = 0.1


def limit_figures(timeline: Timeline, limit_iops: int, *, run_s: float) -> dict[str, float | None]:
    """Return what was had of a limit (1: all of it).

    The first second is counted from the interval in which the client began to the end of that in
    which the second ended, which is up to an interval too long.
    """
    per_second = SECOND_NS // timeline.interval_ns
    first = timeline.start_interval
    # What was answered after the run's end was in flight then; one more interval has it.
    last = (timeline.start_ns + round(run_s * SECOND_NS)) // timeline.interval_ns + 1
    counts = timeline.requests(range(first, last + 1))
    window_s = min(len(counts), per_second) / per_second
    return {
        "first_second": sum(counts[: per_second + 1]) / (limit_iops * window_s),
        "busiest_second": most_within(counts, per_second) / (limit_iops * window_s),
        "whole": sum(counts) / (limit_iops * run_s),
    }


def guarantee_figures(
    timeline: Timeline, guarantee_iops: int, *, run_s: float
) -> dict[str, float | None]:
    """Return in which part of the windows a guarantee was met, but for one request."""
    numbers = whole_intervals([timeline], run_s=run_s)
    least = guarantee_iops * timeline.interval_ns / SECOND_NS - 1
    counts = timeline.requests(numbers)
    return {
        "met": part_at_least(counts, least),
        "worst_window": min(counts) / least if counts else None,
    }


def run(plan: Plan, results: Results) -> None:
    """Measure the limit, then the guarantee."""
    _limit(plan, results)
    _guarantee(plan, results)


def _limit(plan: Plan, results: Results) -> None:
    scenario, servers = _prepared("limit", plan)
    limit_iops = _iops(scenario.clients[0].limit)
    run_s = plan.run_s(scenario)

    def measure(server: IscsiServer, seed: int) -> dict[str, float | None]:
        taken = sample.take(
            server, scenario.clients, run_s=run_s, seed=seed, interval_s=_LIMIT_INTERVAL_S
        )
        return limit_figures(taken.timeline(_LIMITED), limit_iops, run_s=run_s)

    def virtual(policy: str) -> dict[str, float | None]:
        result = simulate(setting.scenario_path("limit"), [policy])[policy]
        client = result.clients[_LIMITED]
        first = client["timeline"]["iops"][: 1000 // scenario.bin_ms]
        return {
            "first_second": sum(first) / len(first) / limit_iops,
            "busiest_second": client["limit_reached"],
            "whole": client["iops"] / limit_iops,
        }

    in_turn((NAME, "limit"), servers, plan, results, measure)
    in_virtual_time((NAME, "limit"), results, virtual)


def _guarantee(plan: Plan, results: Results) -> None:
    scenario, servers = _prepared("guarantee", plan)
    guarantee_iops = _iops(scenario.clients[0].guarantee)
    # The other client's coming and going is the point: it needs its time.
    run_s = scenario.seconds

    def measure(server: IscsiServer, seed: int) -> dict[str, float | None]:
        taken = sample.take(
            server, scenario.clients, run_s=run_s, seed=seed, interval_s=_GUARANTEE_INTERVAL_S
        )
        return guarantee_figures(taken.timeline(_GUARANTEED), guarantee_iops, run_s=run_s)

    def virtual(policy: str) -> dict[str, float | None]:
        result = simulate(setting.scenario_path("guarantee"), [policy])[policy]
        client = result.clients[_GUARANTEED]
        least = guarantee_iops - 1000 / scenario.bin_ms
        return {
            "met": client["guarantee_met"],
            "worst_window": min(client["timeline"]["iops"]) / least,
        }

    in_turn((NAME, "guarantee"), servers, plan, results, measure)
    in_virtual_time((NAME, "guarantee"), results, virtual)


def _prepared(case: str, plan: Plan) -> tuple[Scenario, list[IscsiServer]]:
    scenario = setting.load_scenario(case)
    volume = setting.simulated_volume(scenario)
    return scenario, [*both_schedulers(volume, scenario.clients, plan)]


def _iops(rate: RateConfig | None) -> int:
    if rate is None or rate.iops is None:
        raise ValueError("the scenario promises no IOPS")
    return rate.iops


EXPERIMENT = Experiment(
    name=NAME,
    title="Limits and guarantees",
    method=(
        "`limit`: a client of depth 32 with a limit of a quarter of the device; parts of the "
        "limit that it had in its first second, in the busiest of all seconds (one begins every "
        "10 ms), and in all. `guarantee`: a fifth of the device for a client of depth 32, "
        "beside one of weight 39 and depth 256 that comes after a second and leaves a second "
        "before the end; the part of all windows of 100 ms in which it had that, but for one "
        "request, and what the worst of them had. A scheduler that serves who came first knows "
        "neither."
    ),
    columns=(
        Column("first_second", "first second", Unit.PERCENT, is_simulated=True),
        Column("busiest_second", "busiest second", Unit.PERCENT, is_simulated=True),
        Column("whole", "whole run", Unit.PERCENT, is_simulated=True),
        Column("met", "windows met", Unit.PERCENT, is_simulated=True),
        Column("worst_window", "worst window", Unit.PERCENT),
    ),
    run=run,
)
