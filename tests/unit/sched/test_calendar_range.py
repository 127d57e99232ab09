"""Tags stay near their clock: the data plane keeps them in a ring of 4096 steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from fairlead.sched.reference import STEPS, Device, Request, Scheduler
from fairlead.sched.settings import Settings
from tests.support.sched_device import US
from tests.support.sched_trace import Reference, Trace, run
from tests.support.sched_traces import long_trace, traces

if TYPE_CHECKING:
    from collections.abc import Callable

# Beside the requests themselves, a step each for who is eligible early and for rounding.
BEHIND = STEPS + 1
START_AHEAD = 2 * STEPS + 1
FINISH_AHEAD = 3 * STEPS + 2


def check_tags(scheduler: Scheduler) -> None:
    for clock in scheduler._clocks.values():
        step = clock.waiting.step
        now = step(clock.virtual)
        taking_part, ahead = (*clock.waiting, *clock.eligible), tuple(clock.ahead)
        for flow in taking_part:
            assert now - BEHIND <= step(flow.start) <= now + START_AHEAD
            assert now - BEHIND <= step(flow.finish) <= now + FINISH_AHEAD
        for flow in ahead:
            assert now <= step(flow.start) <= now + START_AHEAD
        assert clock.weights == sum(flow.settings.weight for flow in (*taking_part, *ahead))


def tags_of(reference: Reference) -> Callable[[int], None]:
    return lambda _now: check_tags(reference.scheduler)


@given(traces())
def test_tags_of_who_takes_part_are_within_a_ring_around_the_clock(trace: Trace) -> None:
    reference = Reference(trace.device)
    run(trace, reference, after_each=tags_of(reference))


@pytest.mark.parametrize("seed", range(8))
def test_tags_stay_near_the_clock_of_a_busy_device(seed: int) -> None:
    trace = long_trace(seed)
    reference = Reference(trace.device)
    run(trace, reference, after_each=tags_of(reference))


@pytest.mark.parametrize("is_closed", [False, True])
def test_the_clock_does_not_run_away_from_the_last_of_thousands(is_closed: bool) -> None:
    """Each sends one request and is gone, which leaves the clock to fewer and fewer."""
    it = Scheduler(Device(window_ns=100 * US, cost_max_ns=100 * US))
    for context in range(2_000):
        it.set(context, Settings(), 0)
        it.push(Request(context=context, token=context, cost_ns=100 * US, length_bytes=0), 0)
    while request := it.next(0):
        it.complete(100 * US)
        if is_closed:
            it.close(request.context)
        if request.context % 50 == 0:
            check_tags(it)


def test_the_ring_of_the_data_plane_is_large_enough() -> None:
    assert BEHIND + FINISH_AHEAD < 4096
