"""One measurement: clients of a scenario, one stretch of time, and what each of them got."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.fairness.setting import load_options
from bench.fairness.timeline import Timeline, whole_intervals
from bench.harness import programs
from bench.harness.load import LoadGroup, LoadResult
from fairlead.sched.cost import Operation
from fairlead.sim.scheduler import cuts_requests
from fairlead.sim.window import derive_window, piece_lengths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from bench.harness.server import IscsiServer
    from fairlead.devices.interface import DeviceParameters
    from fairlead.sim.client import ClientConfig

_PARTS_OF_A_WINDOW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSample:
    """What one client got, as its load program says. ``seconds`` is to its last answer."""

    name: str
    commands: int
    seconds: float
    iops: float
    mb_per_s: float
    p50_us: float
    p99_us: float
    timeline: Timeline | None

    @classmethod
    def from_json(cls, name: str, run: dict[str, Any]) -> ClientSample:
        """Take what a load program printed."""
        intervals = run.get("intervals")
        return cls(
            name=name,
            commands=run["commands"],
            seconds=run["seconds"],
            iops=run["iops"],
            mb_per_s=run["bytes"] / 1e6 / run["seconds"] if run["seconds"] else 0.0,
            p50_us=run["latency_us"]["p50"],
            p99_us=run["latency_us"]["p99"],
            timeline=Timeline.from_json(intervals) if intervals is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What all clients of a run got.

    Attributes:
        clients: by name.
        run_s: how long they sent.
        total: all of them together.
        server_cpu_us: CPU of the server's processes for each command.
    """

    clients: dict[str, ClientSample]
    run_s: float
    total: LoadResult
    server_cpu_us: float

    def timeline(self, name: str) -> Timeline:
        """Return a client's counts by interval."""
        found = self.clients[name].timeline
        if found is None:
            raise ValueError(f"{name}: not counted by interval")
        return found

    def whole_intervals(self) -> range:
        """Return the intervals in which all clients were at work all the time."""
        return whole_intervals(map(self.timeline, self.clients), run_s=self.run_s)

    def costs_ns(
        self, device: DeviceParameters, *, piece_bytes: int | None = None
    ) -> dict[str, list[float]]:
        """Return the device's time that each client got in each whole interval.

        See `Timeline.costs_ns`.
        """
        numbers, costs = self.whole_intervals(), device.cost_model()
        return {
            name: self.timeline(name).costs_ns(numbers, costs, piece_bytes=piece_bytes)
            for name in self.clients
        }

    def busy(self, device: DeviceParameters, *, piece_bytes: int | None = None) -> float | None:
        """Return how much (0..1) of the device's time was used; None: no whole interval."""
        amounts = self.costs_ns(device, piece_bytes=piece_bytes)
        interval_ns = self.timeline(next(iter(amounts))).interval_ns
        time_ns = device.servers * len(self.whole_intervals()) * interval_ns
        return sum(map(sum, amounts.values())) / time_ns if time_ns else None


def take(
    server: IscsiServer,
    clients: Iterable[ClientConfig],
    *,
    run_s: float,
    seed: int,
    interval_s: float | None = None,
    further: Sequence[str] = (),
    counting: AbstractContextManager[object] | None = None,
) -> Sample:
    """Let clients of a scenario work on a running server. Idle ones are left out.

    Args:
        server: it.
        clients: who works; each logs in where the server says that it should.
        run_s: for so long.
        seed: of the load.
        interval_s: count by intervals of this length.
        further: options of every load program.
        counting: entered for the time in which the clients are at work.

    Raises:
        LoadError: a client cannot log in, or a command failed.
        ServerAbsentError: the server is not running.
    """
    working = [client for client in clients if not client.is_idle]
    counted = [] if interval_s is None else [f"--interval={interval_s}"]
    commands = [
        [
            str(programs.LOAD),
            f"--url={server.url_for(client.name)}",
            *load_options(client, run_s=run_s),
            *counted,
            *further,
        ]
        for client in working
    ]
    with LoadGroup(commands, seconds=run_s, seed=seed) as group:
        group.connect()
        with counting or contextlib.nullcontext():
            cpu_before_s = server.cpu_s()
            runs = group.run_each()
            cpu_used_s = server.cpu_s() - cpu_before_s
        group.leave()
    total = LoadResult.merge(runs)
    return Sample(
        clients={
            client.name: ClientSample.from_json(client.name, run)
            for client, run in zip(working, runs, strict=True)
        },
        run_s=run_s,
        total=total,
        server_cpu_us=cpu_used_s * 1e6 / max(total.commands, 1),
    )


def piece_bytes(device: DeviceParameters, line: str) -> int | None:
    """Return the length of the pieces in which a scheduler's large requests go; None: whole.

    The data plane takes the longest read that costs no more than four small ones, for reads and
    writes.
    """
    if cuts_requests(line):
        return piece_lengths(device.cost_model(), derive_window(device))[Operation.READ]
    return None


def window_s(run_s: float) -> float:
    """Return the length of the windows over which shares are judged: a second, if there is one."""
    return min(1.0, run_s / 4)


def interval_s(run_s: float) -> float:
    """Return the length of the intervals of which such a window is made."""
    return window_s(run_s) / _PARTS_OF_A_WINDOW


def window_intervals() -> int:
    """Return of how many intervals such a window is made."""
    return _PARTS_OF_A_WINDOW
