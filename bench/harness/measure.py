"""One measurement: one server, one workload, one stretch of time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from bench.harness import image, process
from bench.harness.load import LoadError, LoadGroup, LoadResult
from bench.harness.server import Server, ServerAbsentError

if TYPE_CHECKING:
    from bench.harness.scenario import Scenario
    from bench.harness.syscalls import SyscallCounter

INITIATOR_NAME = "iqn.2000-01.invalid.fairlead.bench:initiator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one server did with one workload in one round.

    ``server_cpu_us``: CPU microseconds of the server's whole process tree for each command.
    ``*_cores``: CPU seconds per second. ``other_cores`` is what neither the server nor the load
    programs used: kernel threads and strangers. ``steal_cores`` is what the hypervisor kept.
    ``failure``: why there are no figures; all of them are 0 then.
    """

    server: str
    scenario: str
    round_number: int
    commands: int = 0
    seconds: float = 0.0
    iops: float = 0.0
    mb_per_s: float = 0.0
    mean_us: float = 0.0
    p50_us: float = 0.0
    p90_us: float = 0.0
    p99_us: float = 0.0
    p99_9_us: float = 0.0
    max_us: float = 0.0
    server_cpu_us: float = 0.0
    client_cpu_us: float = 0.0
    server_cores: float = 0.0
    busiest_client_cores: float = 0.0
    other_cores: float = 0.0
    steal_cores: float = 0.0
    resident_share: float | None = None
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Rebuild a measurement from a result file."""
        return cls(**value)


def measure(
    server: Server, scenario: Scenario, *, seconds: float, round_number: int
) -> Measurement:
    """Run one workload against a running server. Never raises for what a server does."""
    try:
        image.settle(server.image)
        with _group(server, scenario, seconds=seconds, seed=1 + 100 * round_number) as group:
            group.connect()
            machine_before = process.MachineCpu.read()
            server_before_s = server.cpu_s()
            time_before = time.monotonic()
            load = group.run()
            elapsed_s = time.monotonic() - time_before
            server_cpu_s = server.cpu_s() - server_before_s
            machine_after = process.MachineCpu.read()
            group.leave()
    except (LoadError, ServerAbsentError, OSError) as error:
        return Measurement(
            server=server.label,
            scenario=scenario.name,
            round_number=round_number,
            failure=str(error),
        )
    return _figures(
        server,
        scenario,
        round_number=round_number,
        load=load,
        server_cpu_s=server_cpu_s,
        elapsed_s=elapsed_s,
        busy_s=machine_after.busy_s - machine_before.busy_s,
        steal_s=machine_after.steal_s - machine_before.steal_s,
    )


def count_syscalls(
    server: Server, scenario: Scenario, counter: SyscallCounter, *, seconds: float
) -> float | str:
    """Return the server's system calls for each command, or why they cannot be told."""
    if counter.method is None:
        return "neither perf nor strace can count here"
    try:
        with _group(server, scenario, seconds=seconds, seed=7) as group:
            group.connect()
            counter.start(server.pid)
            try:
                load = group.run()
            finally:
                calls = counter.stop()
            group.leave()
    except (LoadError, ServerAbsentError, OSError) as error:
        return str(error)
    if calls is None or load.commands == 0:
        return f"{counter.method} gave no count"
    return calls / load.commands


def _group(server: Server, scenario: Scenario, *, seconds: float, seed: int) -> LoadGroup:
    return LoadGroup(
        [
            server.load_command(scenario, initiator=f"{INITIATOR_NAME}-{number}")
            for number in range(1, scenario.initiators + 1)
        ],
        seconds=seconds,
        seed=seed,
    )


def _figures(
    server: Server,
    scenario: Scenario,
    *,
    round_number: int,
    load: LoadResult,
    server_cpu_s: float,
    elapsed_s: float,
    busy_s: float,
    steal_s: float,
) -> Measurement:
    per_command = 1e6 / max(load.commands, 1)
    other_s = max(0.0, busy_s - server_cpu_s - load.client_cpu_s)
    return Measurement(
        server=server.label,
        scenario=scenario.name,
        round_number=round_number,
        commands=load.commands,
        seconds=load.seconds,
        iops=load.iops,
        mb_per_s=load.mb_per_s,
        mean_us=load.mean_us,
        p50_us=load.p50_us,
        p90_us=load.p90_us,
        p99_us=load.p99_us,
        p99_9_us=load.p99_9_us,
        max_us=load.max_us,
        server_cpu_us=server_cpu_s * per_command,
        client_cpu_us=load.client_cpu_s * per_command,
        server_cores=server_cpu_s / elapsed_s,
        busiest_client_cores=load.busiest_client_cores,
        other_cores=other_s / elapsed_s,
        steal_cores=steal_s / elapsed_s,
        resident_share=image.resident_share(server.image),
    )
