"""The data plane's scheduler decides as its specification does, whatever happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dataplane.scheduler import EngineScheduler
from fairlead.sched.reference import STEPS, Request, Scheduler
from tests.support.sched_trace import Reference, run, settings_of
from tests.support.sched_traces import devices, long_trace, terms, traces

if TYPE_CHECKING:
    from fairlead.sched.reference import Device
    from tests.support.sched_trace import Terms, Trace

_CLOCKS: Final = 1 << 64


class Engine(Reference):
    """The data plane's scheduler as an engine; its clock may be about to come round."""

    def __init__(self, device: Device, clock: int) -> None:
        self.scheduler: Scheduler = EngineScheduler(device, clock=clock)  # type: ignore[assignment]


def clocks(device: Device) -> tuple[int, ...]:
    """Where the clock may stand: at the start, and shortly before it, or its sign, comes round."""
    shortly = STEPS << device.step_shift  # In whole steps, or the steps would begin elsewhere.
    return 0, _CLOCKS - shortly, _CLOCKS // 2 - shortly


@given(traces())
def test_it_decides_as_the_specification(trace: Trace) -> None:
    expected = run(trace, Reference(trace.device))
    for clock in clocks(trace.device):
        assert run(trace, Engine(trace.device, clock)) == expected


@pytest.mark.parametrize("seed", range(20))
def test_it_decides_as_the_specification_for_long(seed: int) -> None:
    trace = long_trace(seed)
    expected = run(trace, Reference(trace.device))
    for clock in clocks(trace.device):
        assert run(trace, Engine(trace.device, clock)) == expected


@given(
    devices(),
    st.lists(terms(), min_size=3, max_size=3),
    st.lists(
        st.tuples(
            st.integers(0, 2),  # Whose.
            st.integers(0, 1 << 20),  # Cost.
            st.integers(0, 10_000_000),  # Time since the last one.
            st.integers(0, 3),  # Completions after it.
        ),
        max_size=60,
    ),
)
def test_what_need_not_wait_leaves_everything_as_if_it_had(
    device: Device, settings: list[Terms], requests: list[tuple[int, int, int, int]]
) -> None:
    reference, engine = Scheduler(device), EngineScheduler(device)
    for context, each in enumerate(settings):
        reference.set(context, settings_of(each), 0)
        engine.set(context, settings_of(each), 0)
    now, bypassed = 0, 0
    in_flight: list[Request] = []
    for token, (context, cost_ns, after_ns, completions) in enumerate(requests):
        now += after_ns
        request = Request(context=context, token=token, cost_ns=cost_ns, length_bytes=4096)
        is_queued = reference.push(request, now)
        expected = reference.next(now)
        if engine.bypass(request, now):
            bypassed += 1
            assert expected == request
        else:
            assert engine.push(request, now) == is_queued
            assert engine.next(now) == expected
        if expected is not None:
            in_flight.append(expected)
        for _ in range(min(completions, len(in_flight))):
            done = in_flight.pop(0)
            reference.complete(done.cost_ns)
            engine.complete(done.cost_ns)
    assert bypassed or not in_flight
