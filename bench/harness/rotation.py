"""Takes the servers in turn, A B C A B C, so that drift of the machine meets all of them alike."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from bench.harness.measure import Measurement, count_syscalls, measure
from bench.harness.server import Server, ServerAbsentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.harness.scenario import Scenario
    from bench.harness.syscalls import SyscallCounter


def say(text: str) -> None:
    """Tell the person who waits where the run is."""
    print(text, file=sys.stderr, flush=True)


class Fleet:
    """The servers of one comparison. They stay up while others have their turn: an idle server
    costs nothing measurable, and a restart would cost a cold start. Where two of them lock the
    image, only one is up at a time.
    """  # noqa: D205  The reason belongs to the summary.

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = tuple(servers)
        self.absent: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.stop()

    def bring_up(self, server: Server) -> bool:
        """See to it that ``server`` runs; False, with the reason in ``absent``, where it cannot."""
        if server.is_running:
            return True
        if server.label in self.absent:
            return False
        if server.is_exclusive:
            for other in self.servers:
                if other.is_exclusive:
                    other.stop()
        try:
            server.stop()
            server.start()
        except ServerAbsentError as error:
            self.absent[server.label] = str(error)
            say(f"  absent: {error}")
            return False
        return True


def rotate(
    fleet: Fleet, scenarios: Iterable[Scenario], *, rounds: int, seconds: float
) -> list[Measurement]:
    """Measure every scenario ``rounds`` times, the servers in turn within each round."""
    measured: list[Measurement] = []
    for scenario in scenarios:
        for round_number in range(1, rounds + 1):
            for server in fleet.servers:
                if not fleet.bring_up(server):
                    continue
                result = measure(server, scenario, seconds=seconds, round_number=round_number)
                measured.append(result)
                say(_line(result, rounds))
    return measured


def rotate_syscalls(
    fleet: Fleet, scenarios: Iterable[Scenario], counter: SyscallCounter, *, seconds: float
) -> dict[str, dict[str, float | str]]:
    """Count system calls per command: by scenario, then by server; a text says why not."""
    counted: dict[str, dict[str, float | str]] = {}
    for scenario in scenarios:
        counted[scenario.name] = {
            server.label: count_syscalls(server, scenario, counter, seconds=seconds)
            for server in fleet.servers
            if fleet.bring_up(server)
        }
        say(f"  {scenario.name}: system calls per command {counted[scenario.name]}")
    return counted


def _line(result: Measurement, rounds: int) -> str:
    head = f"  {result.scenario} {result.round_number}/{rounds} {result.server}: "
    if result.failure is not None:
        return head + f"FAILED: {result.failure}"
    return head + (
        f"{result.iops:.0f} IOPS, {result.mb_per_s:.0f} MB/s, "
        f"server {result.server_cpu_us:.2f} us/command, p50 {result.p50_us:.0f} us, "
        f"p99 {result.p99_us:.0f} us, client {result.busiest_client_cores:.2f} cores, "
        f"other {result.other_cores:.2f}, steal {result.steal_cores:.2f}"
    )
