"""What came of a run: each client's share, rates and latencies, and how fair that was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from fairlead.devices.interface import MB, SECOND, US
from fairlead.sim.due import GroupDue, compute_due
from fairlead.sim.fairness import jain_index, min_max_ratio, percentile
from fairlead.sim.promises import guarantee_met, limit_reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.sim.client import ClientConfig
    from fairlead.sim.scenario import Scenario
    from fairlead.sim.tally import ClientTally, GroupTally, Tally

# Digits that a result is told with: enough for a share of a thousandth, too few to hide noise.
_DIGITS: Final = 6
_WINDOW_NS: Final = SECOND


@dataclass(slots=True, kw_only=True)
class Timeline:
    """What the clients of one kind got, bin by bin.

    Attributes:
        iops: requests done per second.
        mb_per_s: megabytes per second.
        latency_p50_us: of the requests done; None: there were none.
        latency_p99_us: as above.
    """

    iops: list[float]
    mb_per_s: list[float]
    latency_p50_us: list[float | None]
    latency_p99_us: list[float | None]


@dataclass(slots=True, kw_only=True)
class ClientResult:
    """What the clients of one kind got, all together.

    Attributes:
        name: of the scenario's entry.
        count: how many they are.
        weight: of each.
        asks_less: they were due less than their weights' share, because they asked for less.
        share_due: part of all work done, 0..1.
        share_got: as above.
        error: got / due - 1; None: nothing was due.
        requests: done.
        iops: requests per second, over the whole run.
        mb_per_s: as above.
        latency_p50_us: from request to answer; None: nothing was done.
        latency_p99_us: as above.
        latency_max_us: as above.
        refused: requests for which the queue had no place.
        guarantee_met: part of the bins in which the guarantee was asked for and given, 0..1; None:
            it has none.
        limit_reached: what the busiest second got, of the limit; None: it has none.
        timeline: bin by bin.
    """

    name: str
    count: int
    weight: int
    asks_less: bool
    share_due: float
    share_got: float
    error: float | None
    requests: int
    iops: float
    mb_per_s: float
    latency_p50_us: float | None
    latency_p99_us: float | None
    latency_max_us: float | None
    refused: int
    guarantee_met: float | None
    limit_reached: float | None
    timeline: Timeline


@dataclass(slots=True, kw_only=True)
class PolicyResult:
    """What came of one policy.

    Attributes:
        policy: its name.
        utilisation: part of the time that the device's servers worked, 0..1.
        iops: of all clients.
        mb_per_s: of all clients.
        jain: Jain's index of got / due over the clients that wanted more than they were due; None:
            there were none.
        min_max: the smallest of these divided by the largest.
        error_1s: the largest deviation of got from due over a second; None: no client wanted more
            than it was due for a whole second.
        clients: each kind.
    """

    policy: str
    utilisation: float
    iops: float
    mb_per_s: float
    jain: float | None
    min_max: float | None
    error_1s: float | None
    clients: list[ClientResult] = field(default_factory=list)

    def client(self, name: str) -> ClientResult:
        """Return what the clients of this name got."""
        return next(client for client in self.clients if client.name == name)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def evaluate(scenario: Scenario, policy: str, tally: Tally) -> PolicyResult:
    """Return what a run's counts mean."""
    dues = compute_due(scenario)
    given = _Given(scenario, tally, dues)
    seconds = tally.end_ns / SECOND
    jain, min_max = given.evenness()
    clients = [
        _client_result(config, group, due, given, seconds)
        for config, group, due in zip(scenario.clients, tally.groups, dues, strict=True)
    ]
    servers_ns = scenario.device_parameters.servers * tally.end_ns
    return PolicyResult(
        policy=policy,
        utilisation=_rounded(tally.busy_ns / servers_ns),
        iops=_rounded(sum(client.iops for client in clients)),
        mb_per_s=_rounded(sum(client.mb_per_s for client in clients)),
        jain=_maybe_rounded(jain),
        min_max=_maybe_rounded(min_max),
        error_1s=_maybe_rounded(given.error_over(_WINDOW_NS)),
        clients=clients,
    )


class _Given:
    """What was given in each bin, beside what was due of that."""

    def __init__(self, scenario: Scenario, tally: Tally, dues: list[GroupDue]) -> None:
        self._scenario = scenario
        self._dues = dues
        self._groups = tally.groups
        self.tally = tally
        self.bin_ns = tally.bin_ns
        self.bins = tally.bins
        done = [0] * self.bins
        for group in tally.groups:
            for client in group.clients:
                for number, counted in client.bins.items():
                    done[number] += counted.cost_ns
        self.cost_ns = sum(done)
        promised = [
            sum(
                due.servers_ns[number] * config.count
                for due, config in zip(dues, scenario.clients, strict=True)
            )
            for number in range(self.bins)
        ]
        # What was done is divided as it was due: a device's overhead is nobody's loss.
        self._scale = [
            did / all_due if all_due else 0.0 for did, all_due in zip(done, promised, strict=True)
        ]

    def due_ns(self, due: GroupDue) -> list[float]:
        """Return what a client was due of what was done, for each bin."""
        return [ns * part for ns, part in zip(due.servers_ns, self._scale, strict=True)]

    def evenness(self) -> tuple[float | None, float | None]:
        """Return Jain's index and the min/max ratio over the time in which clients contended."""
        ratios = []
        for group, due in zip(self._groups, self._dues, strict=True):
            numbers = [number for number in range(self.bins) if due.contends[number]]
            due_ns = self.due_ns(due)
            all_due = sum(due_ns[number] for number in numbers)
            if all_due:
                ratios += [
                    sum(_cost_ns(client, number) for number in numbers) / all_due
                    for client in group.clients
                ]
        return jain_index(ratios), min_max_ratio(ratios)

    def error_over(self, window_ns: int) -> float | None:
        """Return the largest deviation over windows of this length, from every bin on."""
        width = max(1, window_ns // self.bin_ns)
        worst: float | None = None
        for group, due in zip(self._groups, self._dues, strict=True):
            starts = _runs(due.contends, width)
            if not starts:
                continue
            due_sums = [0.0, *accumulate(self.due_ns(due))]
            for client in group.clients:
                got = (_cost_ns(client, number) for number in range(self.bins))
                got_sums = [0, *accumulate(got)]
                for start in starts:
                    all_due = due_sums[start + width] - due_sums[start]
                    if all_due:
                        all_got = got_sums[start + width] - got_sums[start]
                        worst = max(worst or 0.0, abs(all_got / all_due - 1))
        return worst


def _cost_ns(client: ClientTally, number: int) -> int:
    counted = client.bins.get(number)
    return counted.cost_ns if counted else 0


def _runs(flags: Sequence[bool], width: int) -> list[int]:
    """Return where runs of this many true flags begin, one for each such place."""
    starts, length = [], 0
    for place, flag in enumerate(flags):
        length = length + 1 if flag else 0
        if length >= width:
            starts.append(place - width + 1)
    return starts


def _client_result(
    config: ClientConfig, group: GroupTally, due: GroupDue, given: _Given, seconds: float
) -> ClientResult:
    bins = [counted for client in group.clients for counted in client.bins.values()]
    got_ns = sum(counted.cost_ns for counted in bins)
    due_ns = sum(given.due_ns(due)) * config.count
    requests = sum(counted.requests for counted in bins)
    ordered = sorted(group.latencies_ns)
    asks_less = not any(due.contends) and any(due.servers_ns)
    return ClientResult(
        name=config.name,
        count=config.count,
        weight=config.weight,
        asks_less=asks_less,
        share_due=_rounded(due_ns / given.cost_ns if given.cost_ns else 0.0),
        share_got=_rounded(got_ns / given.cost_ns if given.cost_ns else 0.0),
        error=_rounded(got_ns / due_ns - 1) if due_ns else None,
        requests=requests,
        iops=_rounded(requests / seconds),
        mb_per_s=_rounded(sum(counted.length_bytes for counted in bins) / seconds / MB),
        latency_p50_us=_us(percentile(ordered, 0.5)),
        latency_p99_us=_us(percentile(ordered, 0.99)),
        latency_max_us=_us(percentile(ordered, 1.0)),
        refused=sum(client.refused for client in group.clients),
        guarantee_met=_maybe_rounded(guarantee_met(config, group, due, given.tally)),
        limit_reached=_maybe_rounded(limit_reached(config, group, given.tally)),
        timeline=_timeline(group, given),
    )


def _timeline(group: GroupTally, given: _Given) -> Timeline:
    requests, length_bytes = [0] * given.bins, [0] * given.bins
    for client in group.clients:
        for number, counted in client.bins.items():
            requests[number] += counted.requests
            length_bytes[number] += counted.length_bytes
    p50: list[float | None] = [None] * given.bins
    p99 = list(p50)
    for number, latencies in group.latencies_by_bin():
        ordered = sorted(latencies)
        p50[number], p99[number] = _us(percentile(ordered, 0.5)), _us(percentile(ordered, 0.99))
    bin_s = given.bin_ns / SECOND
    return Timeline(
        iops=[_rounded(count / bin_s) for count in requests],
        mb_per_s=[_rounded(count / bin_s / MB) for count in length_bytes],
        latency_p50_us=p50,
        latency_p99_us=p99,
    )


def _us(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / US


def _rounded(value: float) -> float:
    return round(value, _DIGITS)


def _maybe_rounded(value: float | None) -> float | None:
    return None if value is None else _rounded(value)
