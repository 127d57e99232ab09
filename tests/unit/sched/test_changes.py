"""Settings that change while requests are queued or held: they count from the next request on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Priority, Rate, Settings
from tests.support.sched_device import MS, US, Load, S, Simulation, work_ns

DEVICE = Device(window_ns=100 * US, cost_max_ns=100 * US)


def of_two(first: Settings, second: Settings) -> Simulation:
    """Two contexts that want more than they get, on a device that serves one request at a time."""
    simulation = Simulation(DEVICE, servers=1)
    for context, settings in enumerate((first, second)):
        simulation.set(context, settings)
        simulation.start(context, Load(costs_ns=[100 * US]))
    return simulation


def test_a_limit_that_is_lifted_gives_no_more_than_the_share_from_then_on() -> None:
    """A context that was held comes back at the clock."""
    simulation = of_two(Settings(), Settings(limit=Rate(iops=1), burst_s=0))
    simulation.run(500 * MS)
    simulation.set(1, Settings())
    sent = simulation.run(510 * MS)
    assert 4.7 * MS <= work_ns(sent, 1, since_ns=500 * MS) <= 5.3 * MS


def test_a_higher_weight_counts_from_the_next_request_on() -> None:
    """What the context is ahead by is so much work; it is not so much time at any weight."""
    simulation = of_two(Settings(weight=1000), Settings(weight=1))
    sent = simulation.run(S)
    at_ns = next(one.at_ns for one in reversed(sent) if one.context == 1)
    assert at_ns > 100 * MS
    simulation = of_two(Settings(weight=1000), Settings(weight=1))
    simulation.run(at_ns)
    simulation.set(1, Settings(weight=1000))
    sent = simulation.run(at_ns + 10 * MS)
    assert work_ns(sent, 1, since_ns=at_ns + 1) >= 4.7 * MS


def test_a_lower_weight_counts_from_the_next_request_on() -> None:
    simulation = of_two(Settings(weight=1000), Settings(weight=1000))
    simulation.run(10 * MS)
    simulation.set(1, Settings(weight=1))
    sent = simulation.run(110 * MS)
    assert work_ns(sent, 1, since_ns=10 * MS) <= 300 * US


@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=10))
def test_a_weight_that_changes_and_changes_back_gains_and_loses_no_more_than_a_request(
    weights: list[int],
) -> None:
    changed, unchanged = (of_two(Settings(weight=10), Settings(weight=10)) for _ in range(2))
    for at_ns in range(0, 10 * MS, 500 * US):
        changed.run(at_ns)
        for weight in (*weights, 10):
            changed.set(1, Settings(weight=weight))
    served, expected = (work_ns(it.run(10 * MS), 1) for it in (changed, unchanged))
    assert abs(served - expected) <= 100 * US


def test_a_limit_counts_from_the_next_request_on() -> None:
    """Of a context that had none; what it has had so far does not count."""
    simulation = of_two(Settings(), Settings())
    simulation.run(10 * MS)
    simulation.set(1, Settings(limit=Rate(iops=1000)))
    sent = simulation.run(110 * MS)
    assert work_ns(sent, 1, since_ns=10 * MS + 1) == pytest.approx(10 * MS, abs=100 * US)


def test_settings_that_are_what_they_were_change_nothing() -> None:
    """Not even whose turn it is of two that are equally far."""
    it = Scheduler(DEVICE)
    for context in (0, 1):
        it.set(context, Settings(weight=3), 0)
        it.push(Request(context=context, token=context, cost_ns=100 * US, length_bytes=512), 0)
    it.set(0, Settings(weight=3), 0)
    request = it.next(0)
    assert request is not None
    assert request.context == 0


@given(before=st.integers(1, 1000), after=st.integers(1, 1000), served=st.integers(1, 20))
def test_a_change_of_weight_keeps_the_work_that_a_context_is_ahead_or_behind_by(
    before: int, after: int, served: int
) -> None:
    """To what a unit of virtual time is at the larger weight."""
    simulation = of_two(Settings(weight=before), Settings(weight=100))
    simulation.run(S, most=served)
    it = simulation.scheduler
    clock, flow = it._clocks[Priority.NORMAL], it._flows[0]
    work = (flow.start - clock.virtual) * before
    simulation.set(0, Settings(weight=after))
    assert work <= (flow.start - clock.virtual) * after < work + max(after, 2)


def test_a_change_of_class_takes_nothing_along() -> None:
    """A context far ahead in one class starts at the clock of the other."""
    simulation = of_two(Settings(weight=1000), Settings(weight=1))
    simulation.run(110 * MS)
    for context in (0, 1):
        simulation.set(context, Settings(priority=Priority.URGENT))
    sent = simulation.run(120 * MS)
    assert work_ns(sent, 1, since_ns=110 * MS) == pytest.approx(5 * MS, abs=200 * US)
