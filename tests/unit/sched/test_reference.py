"""Requests come out once, in order, within the window; whatever happens, nothing is lost."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Priority, Settings
from tests.support.sched_trace import Driver, Reference, Trace, run
from tests.support.sched_traces import long_trace, traces

DEVICE = Device(window_ns=1_000, cost_max_ns=100)


def request(context: int, token: int, cost_ns: int = 100) -> Request:
    return Request(context=context, token=token, cost_ns=cost_ns, length_bytes=4096)


def scheduler(*contexts: Settings, device: Device = DEVICE) -> Scheduler:
    made = Scheduler(device)
    for context, settings in enumerate(contexts):
        made.set(context, settings, 0)
    return made


def tokens(scheduler: Scheduler, now: int = 0) -> list[int]:
    """Everything that goes now."""
    return [request.token for request in iter(lambda: scheduler.next(now), None)]


def test_a_context_keeps_its_order() -> None:
    it = scheduler(Settings())
    for token in range(5):
        assert it.push(request(0, token), 0)
    assert tokens(it) == [0, 1, 2, 3, 4]


def test_nothing_goes_beyond_the_window_until_something_completes() -> None:
    it = scheduler(Settings())
    for token in range(13):
        it.push(request(0, token), 0)
    assert tokens(it) == list(range(10))
    it.complete(100)
    assert tokens(it) == [10]
    it.complete(100)
    it.complete(100)
    assert tokens(it) == [11, 12]


def test_a_smaller_window_waits_for_completions_and_a_larger_one_does_not() -> None:
    it = scheduler(Settings())
    for token in range(20):
        it.push(request(0, token), 0)
    assert len(tokens(it)) == 10
    it.set_window(300)
    for _ in range(7):
        it.complete(100)
        assert tokens(it) == []
    it.complete(100)
    assert tokens(it) == [10]
    it.set_window(500)
    assert tokens(it) == [11, 12]


def test_a_window_below_the_largest_request_is_refused() -> None:
    with pytest.raises(ValueError, match="100 ns does not fit"):
        scheduler().set_window(99)
    with pytest.raises(ValueError, match="does not fit"):
        Device(window_ns=1_000, cost_max_ns=600, reserve_ns=500)


def test_what_costs_more_than_the_most_is_charged_the_most() -> None:
    """It fits, and is counted off as it was counted."""
    it = scheduler(Settings(), device=Device(window_ns=100, cost_max_ns=100))
    it.push(request(0, 0, cost_ns=5_000), 0)
    it.push(request(0, 1), 0)
    assert tokens(it) == [0]
    it.complete(5_000)
    assert tokens(it) == [1]


def test_a_full_queue_refuses_and_changes_nothing() -> None:
    it = scheduler(Settings(queued_max=2), Settings(queued_max=1))
    assert [it.push(request(0, token), 0) for token in range(3)] == [True, True, False]
    assert it.push(request(1, 10), 0)
    assert not it.push(request(1, 11), 0)
    assert tokens(it) == [0, 10, 1]
    assert it.push(request(0, 3), 0)


def test_a_queue_that_is_longer_than_allowed_by_now_refuses_and_keeps_what_it_has() -> None:
    it = scheduler(Settings())
    for token in range(3):
        it.push(request(0, token), 0)
    it.set(0, Settings(queued_max=1), 0)
    assert not it.push(request(0, 3), 0)
    assert tokens(it) == [0, 1, 2]
    assert it.push(request(0, 4), 0)


def test_higher_classes_go_first_and_idle_takes_what_is_left() -> None:
    it = scheduler(
        *(Settings(priority=p) for p in (Priority.IDLE, Priority.NORMAL, Priority.URGENT))
    )
    for token in range(6):
        it.push(request(token % 3, token), 0)
    assert tokens(it) == [2, 5, 1, 4, 0, 3]


@given(traces())
def test_the_same_trace_gives_the_same_decisions(trace: Trace) -> None:
    assert run(trace, Reference(trace.device)) == run(trace, Reference(trace.device))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_long_trace_gives_the_same_decisions(seed: int) -> None:
    decisions = [run(trace, Reference(trace.device)) for trace in (long_trace(seed),) * 2]
    assert decisions[0] == decisions[1]
    assert sum(one.what == "next" and one.value is not None for one in decisions[0]) >= 300


@given(traces() | st.integers(0, 1000).map(partial(long_trace, operations=200)))
def test_every_request_comes_out_exactly_once(trace: Trace) -> None:
    """By `next`, `remove` or `close`; and at the end nothing is in flight or queued."""
    engine = Reference(trace.device)
    driver = Driver(engine)
    for operation in trace.operations:
        driver.apply(operation)
    driver.drain()
    out = Counter(
        decision.value
        for decision in driver.decisions
        if decision.what in {"next", "removed", "closed", "refused"} and decision.value is not None
    )
    assert out == Counter(range(len(driver.pushed)))
    for context in driver.known:
        assert engine.close(context) == []
    it = engine.scheduler
    assert it._in_flight_ns == it._large_in_flight_ns == 0
    assert [clock.weights for clock in it._clocks.values()] == [0, 0, 0]
