"""One request at a time beside 128, on the machine's own disk, past the page cache."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from bench.fairness import kernel_io, sample, setting
from bench.fairness.experiment import (
    Column,
    Experiment,
    Plan,
    Unit,
    both_schedulers,
    in_turn,
    quotient,
)
from bench.fairness.tgt_each import TgtForEach
from bench.harness import image
from bench.harness.rotation import say
from bench.harness.server import TgtServer

if TYPE_CHECKING:
    from pathlib import Path

    from bench.fairness.rows import Results
    from bench.harness.server import IscsiServer
    from fairlead.sim.scenario import Scenario

NAME = "disk"
CASE = "4k-d1-beside-d128"
TGT, TGT_FOR_EACH = "tgt", "tgt for each, BFQ"
VICTIM, NEIGHBOUR = "victim", "neighbour"
_CONTROL_NUMBER = 8000 + os.getpid() % 200
_WEIGHT = 100  # Equal: fairlead's clients have equal weights, too.


def measure(
    server: IscsiServer, seed: int, *, scenario: Scenario, run_s: float
) -> dict[str, float | None]:
    """Measure the victim alone, then both."""
    alone = sample.take(server, scenario.only([VICTIM]).clients, run_s=run_s, seed=seed)
    beside = sample.take(server, scenario.clients, run_s=run_s, seed=seed)
    victim, neighbour = beside.clients[VICTIM], beside.clients[NEIGHBOUR]
    before = alone.clients[VICTIM]
    return {
        "iops_alone": before.iops,
        "iops": victim.iops,
        "kept": quotient(victim.iops, before.iops),
        "slower": quotient(victim.p99_us, before.p99_us),
        "p99_us": victim.p99_us,
        "neighbour_iops": neighbour.iops,
        "total_iops": victim.iops + neighbour.iops,
    }


def run(plan: Plan, results: Results) -> None:
    """Measure fairlead, tgt, and a tgt for each client under the kernel's own fair queueing."""
    scenario = setting.load_scenario("disk")
    path = plan.scratch / "disk.img"
    say(f"  image: {path}")
    image.create(path, size_bytes=plan.image_bytes)
    _leave_page_cache(path)
    servers = _lines(path, scenario, plan)
    over_sockets = partial(measure, scenario=scenario, run_s=plan.run_s(scenario))
    in_turn((NAME, CASE), servers, plan, results, over_sockets)
    try:
        disk = kernel_io.disk_of(path)
        current, _ = kernel_io.elevators_of(disk)
        results.note(NAME, f"The disk is {disk.name}; the other lines ran over {current}.")
    except kernel_io.KernelIoError as error:
        results.note(NAME, f"The disk: {error}.")
    results.note(NAME, f"The image: {plan.image_bytes >> 20} MiB, random data.")
    for server in servers:
        if isinstance(server, TgtForEach) and server.where:
            results.note(NAME, f"*{server.label}*: {server.where}; weight {_WEIGHT} for both.")
    path.unlink()


def _lines(path: Path, scenario: Scenario, plan: Plan) -> list[IscsiServer]:
    # One at a time: the last one changes the elevator below everybody.
    fairleads = both_schedulers(setting.direct_volume(path), scenario.clients, plan)
    tgt = TgtServer(
        TGT,
        image=path,
        scratch=plan.scratch,
        control_number=_CONTROL_NUMBER,
        store_flags="direct",
    )
    servers: list[IscsiServer] = [*fairleads, tgt]
    for server in servers:
        server.is_exclusive = True
    weights = {client.name: _WEIGHT for client in scenario.clients}
    servers.append(TgtForEach(TGT_FOR_EACH, image=path, scratch=plan.scratch, weights=weights))
    return servers


def _leave_page_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


EXPERIMENT = Experiment(
    name=NAME,
    title="The disk of this machine",
    method=(
        "A victim reads 4 KiB at random at depth 1, alone, and beside a neighbour of depth 128 "
        "that does the same, all past the page cache. fairlead with both schedulers, tgt with "
        f"direct I/O (`{TGT}`), and what can be had from the kernel today (`{TGT_FOR_EACH}`): a "
        "tgt for each client in a control group of its own, below them BFQ, with equal weights."
    ),
    columns=(
        Column("iops_alone", "victim alone, IOPS", Unit.COUNT),
        Column("iops", "beside", Unit.COUNT),
        Column("kept", "kept", Unit.PERCENT),
        Column("p99_us", "p99 beside, us", Unit.MICROSECONDS),
        Column("slower", "slower", Unit.TIMES),
        Column("neighbour_iops", "neighbour, IOPS", Unit.COUNT),
        Column("total_iops", "both, IOPS", Unit.COUNT),
    ),
    run=run,
)
