"""How much of a device a client asks for, and what is rightly its share of it.

Shares are computed from the scenario alone, before anything runs, so that every policy is held to
the same. They are max-min fair by weight: nobody gets more than he asks for or than his limit,
everybody gets his guarantee, and what is left goes to the others in proportion to their weights;
a priority is served before the next lower one gets anything.

All amounts are in servers of the device: 1.0 is one server all the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fairlead.devices.interface import SECOND, US
from fairlead.sched.cost import CostModel, Operation
from fairlead.sched.settings import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.sim.client import ClientConfig, RateConfig

_ROUNDS: Final = 100  # Halvings; a double has no more digits.


@dataclass(frozen=True, slots=True)
class MeanCost:
    """What a client's requests come to, on average.

    Attributes:
        cost_ns: cost of a request.
        length_bytes: its length.
        demanded: what it asks for while it is active, if nobody stands in its way.
        limited: what its limit leaves it of that.
        guaranteed: what its guarantee comes to.
    """

    cost_ns: float
    length_bytes: float
    demanded: float
    limited: float
    guaranteed: float


def mean_cost(client: ClientConfig, costs: CostModel, path_ns: int = 0) -> MeanCost:
    """Return what a client's requests come to on a device.

    Args:
        client: its description.
        costs: of the device.
        path_ns: from the device's completion to the answer.
    """
    is_sequential = client.access == "sequential"
    total = sum(weight for _, weight in client.size)
    kinds = (
        (Operation.READ, client.read_percent / 100),
        (Operation.WRITE, 1 - client.read_percent / 100),
    )
    cost_ns = sum(
        costs.estimate(operation, length_bytes, is_sequential) * weight / total * part
        for operation, part in kinds
        for length_bytes, weight in client.size
    )
    length_bytes = sum(length * weight for length, weight in client.size) / total
    if client.requests_per_s is not None:
        demanded = client.requests_per_s * cost_ns / SECOND
    else:
        pause_ns = path_ns + client.turn_around_us * US
        demanded = client.outstanding_max * cost_ns / (cost_ns + pause_ns)

    def at_rate(rate: RateConfig | None) -> float:
        rates = [] if rate is None else [(rate.iops, 1.0), (rate.bytes_per_s, length_bytes)]
        return min(
            (per_s / unit * cost_ns / SECOND for per_s, unit in rates if per_s is not None),
            default=float("inf"),
        )

    return MeanCost(
        cost_ns=cost_ns,
        length_bytes=length_bytes,
        demanded=demanded,
        limited=min(demanded, at_rate(client.limit)),
        guaranteed=0.0 if client.guarantee is None else at_rate(client.guarantee),
    )


@dataclass(frozen=True, slots=True)
class Want:
    """What one takes part with.

    Attributes:
        weight: its share of what is contended for, above 0.
        priority: its class.
        least: its guarantee, at most ``most``.
        most: what it asks for.
    """

    weight: float
    priority: Priority
    least: float
    most: float

    def at(self, level: float) -> float:
        """Return what it gets when a weight of 1 gets this much."""
        return min(max(self.weight * level, self.least), self.most)


def divide(capacity: float, wants: Sequence[Want]) -> list[float]:
    """Return what each is due of a capacity; together at most all of it."""
    due = [want.least for want in wants]
    for priority in Priority:
        members = [i for i, want in enumerate(wants) if want.priority is priority]
        others = sum(due) - sum(due[i] for i in members)
        level = _level(max(0.0, capacity - others), [wants[i] for i in members])
        for i in members:
            due[i] = wants[i].at(level)
    return due


def _level(capacity: float, wants: Sequence[Want]) -> float:
    """Return how much a weight of 1 gets, so that nothing is left or nobody asks for more."""
    enough = max((want.most / want.weight for want in wants), default=0.0)
    if sum(want.most for want in wants) <= capacity:
        return enough
    low, high = 0.0, enough
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if sum(want.at(middle) for want in wants) <= capacity:
            low = middle
        else:
            high = middle
    return low
