"""Who wants more than it gets has its share, to two requests; who comes anew waits for few."""

from __future__ import annotations

from itertools import accumulate, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Settings
from tests.support.sched_device import MS, US, Load, S, Sent, Simulation, step_ns, work_ns

DEVICE = Device(window_ns=400 * US, cost_max_ns=100 * US)
COST_NS = 100 * US
WEIGHTS = st.integers(1, 1000) | st.sampled_from((1, 1000))
COSTS = st.lists(st.integers(10 * US, COST_NS) | st.just(COST_NS), min_size=1, max_size=5)
WINDOWS = st.integers(COST_NS, 20 * COST_NS)


def unfairness(sent: list[Sent], weights: dict[int, int], device: Device) -> float:
    """The largest difference in work by weight over any time, in parts of what is allowed."""
    worst = 0.0
    for one, other in combinations(weights, 2):
        ahead = accumulate(
            sign * entry.cost_ns / weights[entry.context]
            for entry in sent
            if (sign := (entry.context == one) - (entry.context == other))
        )
        line = [0.0, *ahead]
        allowed = 2 * device.cost_max_ns * (1 / weights[one] + 1 / weights[other])
        worst = max(worst, (max(line) - min(line)) / (allowed + 2 * step_ns(device)))
    return worst


@pytest.mark.parametrize("cost_ns", [1, 70, 1 * US])
def test_small_requests_are_charged_as_exactly_as_large_ones(cost_ns: int) -> None:
    """Rounding is less than a thousandth of what a request costs at the largest weight."""
    device = Device(window_ns=cost_ns, cost_max_ns=cost_ns)
    it = Scheduler(device)
    weights = {0: 1000, 1: 777, 2: 30}
    for context, weight in weights.items():
        it.set(context, Settings(weight=weight), 0)
        it.push(Request(context=context, token=0, cost_ns=cost_ns, length_bytes=0), 0)
    served = dict.fromkeys(weights, 0)
    for token in range(1, 10_000):
        request = it.next(0)
        assert request is not None
        served[request.context] += 1
        it.complete(cost_ns)
        it.push(Request(context=request.context, token=token, cost_ns=cost_ns, length_bytes=0), 0)
    shares = [count / weights[context] for context, count in served.items()]
    assert max(shares) <= min(shares) * 1.02


@given(
    loads=st.lists(st.tuples(WEIGHTS, COSTS), min_size=2, max_size=8),
    window_ns=WINDOWS,
    servers=st.integers(1, 8),
)
@settings(max_examples=30)
def test_shares_differ_by_two_requests_of_each_at_most(
    loads: list[tuple[int, list[int]]], window_ns: int, servers: int
) -> None:
    """Over any time at all, for any weights, costs, windows and numbers of contexts."""
    device = Device(window_ns=window_ns, cost_max_ns=COST_NS)
    simulation = Simulation(device, servers)
    for context, (weight, costs_ns) in enumerate(loads):
        simulation.set(context, Settings(weight=weight))
        simulation.start(context, Load(costs_ns=costs_ns))
    sent = simulation.run(S, most=800)
    assert unfairness(sent, {i: load[0] for i, load in enumerate(loads)}, device) <= 1


@given(
    loads=st.lists(st.tuples(WEIGHTS, COSTS), min_size=2, max_size=4),
    others=st.lists(st.tuples(WEIGHTS, COSTS, st.integers(1, 6)), max_size=6),
    window_ns=WINDOWS,
)
@settings(max_examples=30)
def test_shares_hold_while_others_come_and_go(
    loads: list[tuple[int, list[int]]],
    others: list[tuple[int, list[int], int]],
    window_ns: int,
) -> None:
    """Others, with few requests at a time, are now queued and now not."""
    device = Device(window_ns=window_ns, cost_max_ns=COST_NS)
    simulation = Simulation(device, servers=2)
    for context, (weight, costs_ns) in enumerate(loads):
        simulation.set(context, Settings(weight=weight))
        simulation.start(context, Load(costs_ns=costs_ns))
    for context, (weight, costs_ns, outstanding) in enumerate(others, len(loads)):
        simulation.set(context, Settings(weight=weight))
        simulation.start(context, Load(costs_ns=costs_ns, outstanding=outstanding))
    sent = simulation.run(S, most=800)
    assert unfairness(sent, {i: load[0] for i, load in enumerate(loads)}, device) <= 1


def newcomers_wait_ns(weight: int, cost_ns: int, arrival_ns: int, simulation: Simulation) -> int:
    """How long the first request of a new context waits until it goes."""
    newcomer = 1_000_000
    simulation.run(arrival_ns)
    simulation.set(newcomer, Settings(weight=weight))
    simulation.start(newcomer, Load(costs_ns=[cost_ns], total=1))
    looked_at = len(simulation.sent)
    while True:
        sent = simulation.run(100 * S, most=looked_at + 1)
        assert len(sent) > looked_at, "it waits for ever"
        for one in sent[looked_at:]:
            if one.context == newcomer:
                return one.at_ns - one.pushed_ns
        looked_at = len(sent)


def wait_allowed_ns(weight: int, cost_ns: int, weights: int, device: Device) -> int:
    """The window, a largest request, and its own cost by its share: what WF2Q+ promises."""
    own_ns = cost_ns + 2 * weight * step_ns(device)
    return device.window_ns + device.cost_max_ns + own_ns * (weights + weight) // weight


@given(
    loads=st.lists(
        st.tuples(WEIGHTS, COSTS, st.none() | st.integers(1, 4)), min_size=1, max_size=30
    ),
    share=st.integers(1, 50),
    cost_ns=st.integers(1 * US, COST_NS),
    arrival_ns=st.integers(0, 10 * MS),
    window_ns=WINDOWS,
)
@settings(max_examples=30)
def test_a_newcomer_waits_for_the_window_and_its_own_cost_by_its_share(
    loads: list[tuple[int, list[int], int | None]],
    share: int,
    cost_ns: int,
    arrival_ns: int,
    window_ns: int,
) -> None:
    weights = sum(load[0] for load in loads)
    weight = min(1000, -(-weights // share))
    device = Device(window_ns=window_ns, cost_max_ns=COST_NS)
    simulation = Simulation(device, servers=1)
    for context, (of_load, costs_ns, outstanding) in enumerate(loads):
        simulation.set(context, Settings(weight=of_load))
        simulation.start(context, Load(costs_ns=costs_ns, outstanding=outstanding))
    allowed_ns = wait_allowed_ns(weight, cost_ns, weights, device)
    assert newcomers_wait_ns(weight, cost_ns, arrival_ns, simulation) <= allowed_ns


@pytest.mark.parametrize("gone", [200, 250, 300, 350])
def test_a_newcomer_does_not_wait_for_those_that_came_in_a_crowd(gone: int) -> None:
    """Of many contexts with a request each, some have gone: the rest do not all go first."""
    many = 400
    simulation = Simulation(Device(window_ns=COST_NS, cost_max_ns=COST_NS), servers=1)
    for context in range(many):
        simulation.set(context, Settings())
        simulation.start(context, Load(costs_ns=[COST_NS], total=1))
    wait_ns = newcomers_wait_ns(1000, COST_NS, gone * COST_NS - 1, simulation)
    assert wait_ns <= wait_allowed_ns(1000, COST_NS, many, simulation.scheduler.device)


def test_a_context_has_nothing_saved_up_after_a_pause() -> None:
    simulation = Simulation(DEVICE, servers=1)
    for context in (0, 1):
        simulation.set(context, Settings())
        simulation.start(context, Load(costs_ns=[COST_NS]))
    simulation.run(10 * MS)
    simulation.stop(1)
    simulation.run(500 * MS)
    simulation.start(1, Load(costs_ns=[COST_NS]))
    sent = simulation.run(520 * MS)
    assert 9.6 * MS <= work_ns(sent, 1, since_ns=500 * MS) <= 10.4 * MS


def test_a_context_that_has_the_device_alone_has_all_of_it_and_pays_for_nothing_later() -> None:
    simulation = Simulation(DEVICE, servers=4)
    for context in (0, 1):
        simulation.set(context, Settings())
    simulation.start(0, Load(costs_ns=[COST_NS]))
    assert work_ns(simulation.run(500 * MS), 0) >= 500 * MS
    simulation.start(1, Load(costs_ns=[COST_NS]))
    sent = simulation.run(520 * MS)
    assert 9.4 * MS <= work_ns(sent, 0, since_ns=500 * MS) <= 10.4 * MS


def test_requests_that_cost_nothing_do_not_shut_out_the_others() -> None:
    it = Scheduler(DEVICE)
    for context in (0, 1):
        it.set(context, Settings(), 0)
    it.push(Request(context=1, token=0, cost_ns=20 * US, length_bytes=0), 0)
    taken = []
    for token in range(1, 30_000):
        it.push(Request(context=0, token=token, cost_ns=0, length_bytes=0), 0)
        request = it.next(0)
        assert request is not None
        taken.append(request.context)
    assert taken.count(1) == 1
