"""What each client was due, bin by bin, as the scenario has it; see `fairlead.sim.demand`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fairlead.devices.interface import MS, US
from fairlead.sched.settings import Priority
from fairlead.sim.demand import Want, divide, mean_cost
from fairlead.sim.load import Schedule

if TYPE_CHECKING:
    from fairlead.sim.demand import MeanCost
    from fairlead.sim.scenario import Scenario

# Who is due less than this part of what he asks for is held back by others, not by himself.
_CONTENDING: Final = 0.98


@dataclass(slots=True)
class GroupDue:
    """What one client of a kind is due.

    Attributes:
        servers_ns: in each bin, time of the device's servers.
        contends: whether it wants more than that, from the bin's beginning to its end.
        is_active: whether it is at work from the bin's beginning to its end.
        mean: what its requests come to.
    """

    servers_ns: list[float]
    contends: list[bool]
    is_active: list[bool]
    mean: MeanCost


def compute_due(scenario: Scenario) -> list[GroupDue]:
    """Return what is due to a client of each of the scenario's entries."""
    bin_ns, end_ns = scenario.bin_ms * MS, scenario.end_ns
    bins = -(-end_ns // bin_ns)
    costs = scenario.device_parameters.cost_model()
    path_ns = scenario.path_us * US
    groups = [
        GroupDue([0.0] * bins, [True] * bins, [True] * bins, mean_cost(client, costs, path_ns))
        for client in scenario.clients
    ]
    shares = _Shares(scenario, [group.mean for group in groups])
    for start_ns, stop_ns, active in _segments(scenario, bin_ns):
        number = start_ns // bin_ns
        due = shares.of(active)
        for index, group in enumerate(groups):
            is_active = index in active
            servers = due.get(index, 0.0)
            group.servers_ns[number] += servers * (stop_ns - start_ns)
            group.is_active[number] &= is_active
            # A limit holds a client back as surely as others do, but it does not contend.
            group.contends[number] &= is_active and servers < _CONTENDING * group.mean.limited
    return groups


class _Shares:
    """What is due among those who are at work, computed once for each set of them."""

    def __init__(self, scenario: Scenario, means: list[MeanCost]) -> None:
        self._scenario = scenario
        self._means = means
        self._capacity = float(scenario.device_parameters.servers)
        self._known: dict[frozenset[int], dict[int, float]] = {}

    def of(self, active: frozenset[int]) -> dict[int, float]:
        """Return the servers due to one client of each active kind."""
        found = self._known.get(active)
        if found is None:
            found = self._known[active] = self._divide(sorted(active))
        return found

    def _divide(self, active: list[int]) -> dict[int, float]:
        wants = []
        for index in active:
            client, mean = self._scenario.clients[index], self._means[index]
            wants.append(
                Want(
                    weight=client.weight * client.count,
                    priority=Priority[client.priority.upper()],
                    least=min(mean.guaranteed, mean.limited) * client.count,
                    most=mean.limited * client.count,
                )
            )
        due = divide(self._capacity, wants)
        return {
            index: servers / self._scenario.clients[index].count
            for index, servers in zip(active, due, strict=True)
        }


def _segments(scenario: Scenario, bin_ns: int) -> list[tuple[int, int, frozenset[int]]]:
    """Return stretches of time, none across bins, and which kinds of clients are at work."""
    end_ns = scenario.end_ns
    changes: dict[int, set[int]] = {time: set() for time in range(0, end_ns, bin_ns)}
    for index, client in enumerate(scenario.clients):
        if client.is_idle:
            continue
        for times in Schedule(client, end_ns).times():
            for time in times:
                # A set, toggled: who stops and starts at one time goes on.
                changes.setdefault(time, set()).symmetric_difference_update({index})
    changes.setdefault(end_ns, set())
    segments = []
    active: frozenset[int] = frozenset()
    ordered = sorted(changes)
    for start_ns, stop_ns in pairwise(ordered):
        active = active.symmetric_difference(changes[start_ns])
        segments.append((start_ns, stop_ns, active))
    return segments
