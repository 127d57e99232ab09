"""Shares by weight, on a simulated device: who got how much of the device's time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.fairness import sample, setting
from bench.fairness.evenness import min_max, share_error, share_of
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
    from pathlib import Path

    from bench.fairness.rows import Results
    from bench.fairness.sample import Sample
    from bench.harness.server import IscsiServer
    from fairlead.sim.scenario import Scenario

NAME = "shares"
# Scenario, and the client whose share is shown.
_SMALL_ONLY = ((4096, 1),)
CASES = {"one-to-four": "four", "sessions": "single", "weights": "w16"}


def figures(run: Sample, scenario: Scenario, focus: str, line: str) -> dict[str, float | None]:
    """Return what a run says of its shares, by the device's costs, whole intervals only."""
    weights = {client.name: client.weight for client in scenario.clients}
    device = scenario.device_parameters
    pieces = sample.piece_bytes(device, line)
    amounts = run.costs_ns(device, piece_bytes=pieces)
    share = share_of(focus, amounts)
    due = weights[focus] / sum(weights.values())
    numbers = run.whole_intervals()
    # What is known of a second is known to a request: exactly only where requests are small.
    small = {
        client.name: amounts[client.name]
        for client in scenario.clients
        if client.size == _SMALL_ONLY
    }
    return {
        "share": share,
        "points_off": None if share is None else abs(share - due),
        "error": share_error(amounts, weights, width=len(numbers)) if numbers else None,
        "error_1s": share_error(amounts, weights, width=sample.window_intervals()),
        "min_max": min_max(amounts, weights),
        "small_1s": share_error(small, weights, width=sample.window_intervals()),
        "small_min_max": min_max(small, weights),
        "busy": run.busy(device, piece_bytes=pieces),
        "iops": run.total.iops,
    }


def measure(
    server: IscsiServer, seed: int, *, scenario: Scenario, run_s: float, focus: str
) -> dict[str, float | None]:
    """Let all clients work for so long."""
    interval_s = sample.interval_s(run_s)
    taken = sample.take(server, scenario.clients, run_s=run_s, seed=seed, interval_s=interval_s)
    return figures(taken, scenario, focus, server.label)


def virtual_figures(policy: str, *, path: Path, focus: str) -> dict[str, float | None]:
    """Return the same of a run in virtual time."""
    result = simulate(path, [policy])[policy]
    share, due = result.of_client(focus, "share_got"), result.of_client(focus, "share_due")
    return {
        "share": share,
        "points_off": abs(share - due),
        "error": max(abs(client["error"] or 0.0) for client in result.clients.values()),
        "error_1s": result.figure("error_1s"),
        "min_max": result.figure("min_max"),
        "busy": result.figure("utilisation"),
        "iops": result.figure("iops"),
    }


def run(plan: Plan, results: Results) -> None:
    """Measure every case over sockets and in virtual time."""
    for case, focus in CASES.items():
        scenario = setting.load_scenario(case)
        volume = setting.simulated_volume(scenario)
        servers = both_schedulers(volume, scenario.clients, plan)
        over_sockets = partial(measure, scenario=scenario, run_s=plan.run_s(scenario), focus=focus)
        in_turn((NAME, case), servers, plan, results, over_sockets)
        in_virtual = partial(virtual_figures, path=setting.scenario_path(case), focus=focus)
        in_virtual_time((NAME, case), results, in_virtual)


EXPERIMENT = Experiment(
    name=NAME,
    title="Shares",
    method=(
        "`one-to-four`: two clients of weights 1 and 4, 32 reads of 4 KiB each; the share "
        "shown is weight 4's. `sessions`: equal weights, one session beside sixteen of one "
        "initiator, each of depth 32; the share is the single one's. `weights`: sixteen "
        "clients of weights 1 to 16, each with one size (4 KiB, 64 KiB, 1 MiB in turn), reads "
        "and writes 70:30; the share is weight 16's. Shares are of the device's time by its "
        "cost model, which is what the engine schedules by, pieces of large requests counted "
        "as the fair scheduler cuts them; over all intervals in which everybody was at work. "
        "A load program counts whole requests: of a client of weight 3 that writes 1 MiB, a "
        "second is seven requests. *4 KiB* is of the clients with small requests among "
        "themselves, whose seconds are known to half a percent."
    ),
    columns=(
        Column("share", "share", Unit.PERCENT, is_simulated=True),
        Column("points_off", "off by", Unit.PERCENT),
        Column("error", "worst client", Unit.PERCENT),
        Column("error_1s", "worst second", Unit.PERCENT),
        Column("min_max", "min/max", Unit.TIMES),
        Column("small_1s", "worst second, 4 KiB", Unit.PERCENT),
        Column("small_min_max", "min/max, 4 KiB", Unit.TIMES),
        Column("busy", "device busy", Unit.PERCENT, is_simulated=True),
        Column("iops", "IOPS", Unit.COUNT, is_simulated=True),
    ),
    run=run,
)
