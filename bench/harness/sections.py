"""The parts of a run, in their order: each fills its part of the results."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.harness import iscsi_perf
from bench.harness.bars import BARELOOP, FAIRLEAD, TGT
from bench.harness.measure import measure
from bench.harness.profiling import profile
from bench.harness.rotation import Fleet, rotate, rotate_syscalls, say
from bench.harness.scenario import (
    ENGINE_SCENARIOS,
    NULL_SCENARIOS,
    READ_1M,
    READ_4K_D32,
    Scenario,
)
from bench.harness.server import (
    BareLoopServer,
    FairleadServer,
    IscsiServer,
    Server,
    TgtServer,
)
from bench.harness.session_cost import measure_idle, measure_logins, raise_descriptor_limit
from bench.harness.syscalls import SyscallCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.harness.results import Results

# tgtd's control number also names its lock file; far from those a person would use.
_TGT_CONTROL_NUMBER = 7000 + os.getpid() % 1000
_DESCRIPTORS_SPARE = 1000
_CROSS_CHECKED = (READ_4K_D32, READ_1M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured.

    ``seconds`` is one measurement's length; ``servers`` limits the comparison to these labels;
    ``scenarios`` are those of the comparison, ``counted`` those whose system calls are counted.
    """

    image: Path
    scratch: Path
    scenarios: tuple[Scenario, ...]
    counted: tuple[Scenario, ...]
    servers: tuple[str, ...]
    rounds: int
    seconds: float
    syscall_seconds: float
    login_count: int
    logins_at_once: int
    idle_sessions: int


def compare(plan: Plan, results: Results) -> None:
    """Measure fairlead, tgt and the bare loop with every scenario; count their system calls."""
    say("comparison")
    counter = SyscallCounter(plan.scratch)
    results.settings["syscall_method"] = counter.method or "none"
    with Fleet(_compared(plan)) as fleet:
        results.comparison = rotate(fleet, plan.scenarios, rounds=plan.rounds, seconds=plan.seconds)
        for server in fleet.servers:
            if isinstance(server, FairleadServer):
                results.settings["engine"] = server.engine
        say("system calls")
        results.syscalls = rotate_syscalls(
            fleet, plan.counted, counter, seconds=plan.syscall_seconds
        )
        results.absent |= fleet.absent


def engine(plan: Plan, results: Results) -> None:
    """Measure fairlead with one and two submitters, and with the threads driver."""
    say("submitters and driver")
    variants = {
        "1 submitter": ("--submitters", "1"),
        "2 submitters": ("--submitters", "2"),
        "threads driver": ("--driver", "threads"),
    }
    servers = [
        FairleadServer(label, image=plan.image, scratch=plan.scratch, options=options)
        for label, options in variants.items()
    ]
    with Fleet(servers) as fleet:
        results.engine = rotate(fleet, ENGINE_SCENARIOS, rounds=plan.rounds, seconds=plan.seconds)
        results.absent |= fleet.absent


def null(plan: Plan, results: Results) -> None:
    """Measure fairlead's null volume and tgt's null store."""
    say("without a medium")
    image_bytes = plan.image.stat().st_size
    servers: list[Server] = [
        FairleadServer(
            "fairlead null", image=plan.image, scratch=plan.scratch, volume=f"null:{image_bytes}"
        ),
        TgtServer(
            "tgt null",
            image=plan.image,
            scratch=plan.scratch,
            control_number=_TGT_CONTROL_NUMBER + 1000,
            backing="null",
        ),
    ]
    with Fleet(servers) as fleet:
        results.null = rotate(fleet, NULL_SCENARIOS, rounds=plan.rounds, seconds=plan.seconds)
        results.absent |= fleet.absent


def cross_check(plan: Plan, results: Results) -> None:
    """Run two reading scenarios with iscsi-perf too, and with our program right beside it."""
    say("cross-check with iscsi-perf")
    with Fleet(_iscsi(plan)) as fleet:
        for scenario in _CROSS_CHECKED:
            for server in _iscsi(plan, fleet):
                if fleet.bring_up(server):
                    row = _cross_check_one(server, scenario, plan)
                    results.iscsi_perf.append(row)
                    say(f"  {row}")
        results.absent |= fleet.absent


def _cross_check_one(server: IscsiServer, scenario: Scenario, plan: Plan) -> dict[str, Any]:
    ours: list[float] = []
    theirs: list[float | str] = []
    for round_number in range(1, plan.rounds + 1):  # In turn here as well.
        measured = measure(server, scenario, seconds=plan.seconds, round_number=round_number)
        if measured.failure is None:
            ours.append(measured.iops)
        theirs.append(iscsi_perf.run(server, scenario, seconds=plan.seconds))
    counted = [value for value in theirs if isinstance(value, float)]
    return {
        "server": server.label,
        "scenario": scenario.name,
        "load_iops": statistics.median(ours) if ours else None,
        "iscsi_perf_iops": statistics.median(counted) if counted else theirs[0],
    }


def sessions(plan: Plan, results: Results) -> None:
    """Measure logins one after another and at once, and the memory of idle sessions."""
    say("logins and idle sessions")
    raise_descriptor_limit(plan.idle_sessions + _DESCRIPTORS_SPARE)
    with Fleet(_iscsi(plan)) as fleet:
        for server in _iscsi(plan, fleet):
            for at_once in (1, plan.logins_at_once):
                if fleet.bring_up(server):
                    login = measure_logins(server, count=plan.login_count, at_once=at_once)
                    results.logins.append(login.to_json())
                    say(f"  {login}")
            if fleet.bring_up(server):
                idle = measure_idle(server, sessions=plan.idle_sessions)
                results.idle.append(idle.to_json())
                say(f"  {idle}")
        results.absent |= fleet.absent


def profiles(plan: Plan, results: Results) -> None:
    """Tell where the CPU time of fairlead and of the bare loop goes, at depth 32."""
    say("profiles")
    with Fleet(_compared(plan)) as fleet:
        for server in fleet.servers:
            if server.label == TGT or not fleet.bring_up(server):
                continue
            rows = profile(server, READ_4K_D32, seconds=plan.seconds, scratch=plan.scratch)
            results.profiles[f"{server.label}, {READ_4K_D32.name}"] = (
                rows if isinstance(rows, str) else [row.to_json() for row in rows]
            )
        results.absent |= fleet.absent


SECTIONS: dict[str, Callable[[Plan, Results], None]] = {
    "compare": compare,
    "engine": engine,
    "null": null,
    "cross-check": cross_check,
    "sessions": sessions,
    "profile": profiles,
}


def _compared(plan: Plan) -> list[Server]:
    servers: list[Server] = [
        FairleadServer(FAIRLEAD, image=plan.image, scratch=plan.scratch),
        TgtServer(
            TGT,
            image=plan.image,
            scratch=plan.scratch,
            control_number=_TGT_CONTROL_NUMBER,
        ),
        BareLoopServer(BARELOOP, image=plan.image, scratch=plan.scratch),
    ]
    return [server for server in servers if server.label in plan.servers]


def _iscsi(plan: Plan, fleet: Fleet | None = None) -> Sequence[IscsiServer]:
    """Return the compared servers that speak iSCSI: of a fleet, or new ones for one."""
    servers = _compared(plan) if fleet is None else fleet.servers
    return [server for server in servers if isinstance(server, IscsiServer)]
