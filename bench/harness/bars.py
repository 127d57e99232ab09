"""The bars this project has set itself, each computed from a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.harness.results import Results, median, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.harness.measure import Measurement

FAIRLEAD = "fairlead"
TGT = "tgt"
BARELOOP = "bareloop"

# A load program with one session is one thread: from here on it has no more to give.
CLIENT_LIMIT_CORES = 0.9
# From here on the machine as a whole has no more to give to either side.
MACHINE_LIMIT_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Bar:
    """One requirement: what it says, what was measured (None: nothing), and whether it holds."""

    name: str
    wanted: str
    measured: float | None
    is_met: bool
    remark: str = ""


def compute(results: Results) -> list[Bar]:
    """Return every bar in the order of the report."""
    return list(_bars(results))


def client_limit(results: Results, server: str, scenario: str) -> str:
    """Say what limited a scenario: the client or the machine; empty where neither did."""
    rows = results.comparison
    client = median(rows, server, scenario, lambda row: row.busiest_client_cores)
    machine = median(rows, server, scenario, machine_cores)
    cpus = int(results.settings.get("cpus", 0))
    if client is not None and client >= CLIENT_LIMIT_CORES:
        return f"client-limited: the load program used {client:.2f} of one CPU"
    if machine is not None and cpus and machine / cpus >= MACHINE_LIMIT_SHARE:
        return f"machine-limited: {machine:.2f} of {cpus} CPUs in use"
    return ""


def machine_cores(row: Measurement) -> float:
    """CPUs in use by everybody during a measurement."""
    client_cores = row.client_cpu_us * row.commands / 1e6 / row.seconds if row.seconds else 0.0
    return row.server_cores + client_cores + row.other_cores + row.steal_cores


def _bars(results: Results) -> Iterator[Bar]:
    rows = results.comparison
    cpu_us = median(rows, FAIRLEAD, "4k-read-d32", _server_cpu_us)
    yield _at_most("server CPU per 4 KiB read at depth 32", cpu_us, 10.0, "us")
    yield _at_most(
        "the same, against the bare loop (the end goal, not yet a bar)",
        ratio(rows, (FAIRLEAD, BARELOOP), "4k-read-d32", _server_cpu_us),
        1.5,
        "times",
    )
    for scenario in ("4k-read-d32", "4k-write-d32", "4k-read-d32-x4"):
        yield _at_least(
            f"IOPS against tgt, {scenario}",
            ratio(rows, (FAIRLEAD, TGT), scenario, _iops),
            3.0,
            excuse=_excuse(results, scenario, _iops),
        )
    for scenario in ("1m-read-d8", "1m-write-d8"):
        yield _at_least(
            f"throughput against tgt, {scenario}",
            ratio(rows, (FAIRLEAD, TGT), scenario, _mb_per_s),
            3.0,
            excuse=_excuse(results, scenario, _mb_per_s),
        )
    for scenario in ("4k-read-d1", "4k-write-d1"):
        yield _at_least(
            f"IOPS against the bare loop, {scenario}",
            ratio(rows, (FAIRLEAD, BARELOOP), scenario, _iops),
            0.8,
        )
    for scenario in ("4k-read-d32", "4k-write-d32"):
        counted = results.syscalls.get(scenario, {}).get(FAIRLEAD)
        yield _at_most(
            f"system calls per command, {scenario}",
            counted if isinstance(counted, float) else None,
            0.3,
            "",
        )
    each = next(
        (row["resident_bytes_each"] for row in results.idle if row["server"] == FAIRLEAD), None
    )
    yield _at_most(
        "resident memory of an idle session", None if each is None else each / 1024, 64.0, "KiB"
    )


def _excuse(results: Results, scenario: str, value: Callable[[Measurement], float]) -> str:
    """Say what stands in the way of a multiple of tgt's throughput: the load, or the machine."""
    limit = client_limit(results, FAIRLEAD, scenario)
    bound = ratio(results.comparison, (BARELOOP, TGT), scenario, value)
    return limit or ("" if bound is None else f"the bare loop itself: {bound:.2f} times")


def _at_most(name: str, measured: float | None, limit: float, unit: str) -> Bar:
    is_met = measured is not None and measured <= limit
    return Bar(name, f"at most {limit:g} {unit}".strip(), measured, is_met)


def _at_least(name: str, measured: float | None, limit: float, *, excuse: str = "") -> Bar:
    is_met = measured is not None and measured >= limit
    remark = excuse if not is_met and measured is not None else ""
    return Bar(name, f"at least {limit:g} times", measured, is_met, remark)


def _server_cpu_us(row: Measurement) -> float:
    return row.server_cpu_us


def _iops(row: Measurement) -> float:
    return row.iops


def _mb_per_s(row: Measurement) -> float:
    return row.mb_per_s
