"""Limits: never more, in any time, and nobody else waits because of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Rate, Settings
from tests.support.sched_device import MS, US, Load, S, Sent, Simulation, work_ns
from tests.support.sched_trace import Complete, Driver, Reference, Trace
from tests.support.sched_traces import traces

DEVICE = Device(window_ns=10 * MS, cost_max_ns=100 * US)


def is_kept(sent: list[Sent], rate_per_s: int, burst_ns: int, *, by_bytes: bool) -> bool:
    """In any interval there is no more than rate * (its length + burst) and its last request."""
    # A bucket that leaks, in parts of a nanosecond at that rate: when a request comes, what is in
    # it from those before is at most the burst.
    level, at_ns = 0, 0
    for one in sent:
        level = max(0, level - rate_per_s * (one.at_ns - at_ns))
        if level > rate_per_s * burst_ns:
            return False
        level += (one.length_bytes if by_bytes else 1) * S
        at_ns = one.at_ns
    return True


def alone(
    settings: Settings, load: Load, for_ns: int, *, most: int = 1 << 62, pause_ns: int = 0
) -> list[Sent]:
    """What a context is given on an idle device in a time after a pause."""
    simulation = Simulation(DEVICE)
    simulation.set(0, settings)
    simulation.run(pause_ns)
    simulation.start(0, load)
    return simulation.run(pause_ns + for_ns, most)


@given(
    iops=st.integers(1, 1_000_000) | st.integers(1, 1_000_000_000),
    burst_ns=st.sampled_from((0, 1, 10 * MS)) | st.integers(0, 100 * MS),
    outstanding=st.none() | st.integers(1, 5),
    pause_ns=st.sampled_from((0, S)),
)
@settings(max_examples=50)
def test_requests_are_never_more_than_the_limit_and_the_burst(
    iops: int, burst_ns: int, outstanding: int | None, pause_ns: int
) -> None:
    """In any time, the first second included."""
    limited = Settings(limit=Rate(iops=iops), burst_s=burst_ns / S)
    load = Load(costs_ns=[1 * US], outstanding=outstanding)
    sent = alone(limited, load, 2 * S, most=500, pause_ns=pause_ns)
    assert is_kept(sent, iops, burst_ns, by_bytes=False)


@given(
    bytes_per_s=st.integers(1 << 20, 1 << 32) | st.integers(1 << 20, 1 << 40),
    length_bytes=st.sampled_from((512, 4096, 65536, 1 << 20)),
    burst_ns=st.sampled_from((0, 10 * MS)),
    pause_ns=st.sampled_from((0, S)),
)
@settings(max_examples=50)
def test_bytes_are_never_more_than_the_limit_and_the_burst(
    bytes_per_s: int, length_bytes: int, burst_ns: int, pause_ns: int
) -> None:
    limited = Settings(limit=Rate(bytes_per_s=bytes_per_s), burst_s=burst_ns / S)
    load = Load(costs_ns=[1 * US], length_bytes=length_bytes)
    sent = alone(limited, load, 2 * S, most=500, pause_ns=pause_ns)
    assert is_kept(sent, bytes_per_s, burst_ns, by_bytes=True)


@pytest.mark.parametrize(
    ("limit", "length_bytes", "expected"),
    [
        (Rate(iops=700), 4096, 1400),
        (Rate(bytes_per_s=100 << 20), 1 << 20, 200),
        (Rate(iops=1000, bytes_per_s=10 << 20), 512, 2000),
        (Rate(iops=1000, bytes_per_s=10 << 20), 64 << 10, 320),
    ],
)
def test_a_limit_is_reached_and_of_two_the_stricter(
    limit: Rate, length_bytes: int, expected: int
) -> None:
    load = Load(costs_ns=[10 * US], length_bytes=length_bytes)
    assert expected - 1 <= len(alone(Settings(limit=limit), load, 2 * S)) <= expected + 1


def test_a_burst_is_what_a_pause_has_saved() -> None:
    settings = Settings(limit=Rate(iops=1000), burst_s=0.02)
    load = Load(costs_ns=[10 * US])
    assert len(alone(settings, load, MS // 2, pause_ns=0)) == 1
    assert len(alone(settings, load, MS // 2, pause_ns=5 * MS)) == 6
    assert len(alone(settings, load, MS // 2, pause_ns=S)) == 21


def test_a_held_context_does_not_block_the_others_and_has_its_limit_beside_them() -> None:
    simulation = Simulation(Device(window_ns=100 * US, cost_max_ns=100 * US), servers=1)
    simulation.set(0, Settings(weight=1000, limit=Rate(iops=1000), burst_s=0.001))
    simulation.set(1, Settings())
    for context in (0, 1):
        simulation.start(context, Load(costs_ns=[100 * US]))
    sent = simulation.run(S)
    assert 990 <= sum(one.context == 0 for one in sent) <= 1002
    assert work_ns(sent, 0) + work_ns(sent, 1) >= S


def test_a_context_that_ends_and_comes_again_has_no_second_burst() -> None:
    """A burst is saved up by a pause: a client has none for logging in once more."""
    it = Scheduler(DEVICE)
    taken = 0
    for now in range(0, 100 * MS, MS):
        it.set(0, Settings(limit=Rate(iops=1000)), now)
        for token in range(20):
            it.push(Request(context=0, token=token, cost_ns=10 * US, length_bytes=512), now)
        while it.next(now):
            it.complete(10 * US)
            taken += 1
        it.close(0)
    assert taken <= 101


@given(traces())
def test_somebody_may_go_when_it_was_said_and_nobody_before(trace: Trace) -> None:
    """Asked when everything has gone that may, and the device has given everything back."""
    driver = Driver(Reference(trace.device))
    for operation in trace.operations:
        driver.apply(operation)
    while driver.in_flight or driver.ask(1):
        driver.apply(Complete(after_ns=0, place=0))
    it = driver.engine
    wake_ns = it.wake_at()
    if wake_ns is not None:
        assert wake_ns > driver.now
        assert it.next(wake_ns - 1) is None
        assert it.wake_at() == wake_ns
        assert it.next(wake_ns) is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Rate(iops=1), Rate(iops=1000)),
        (Rate(bytes_per_s=1 << 20), Rate(bytes_per_s=1 << 30)),
        (Rate(iops=1), Rate()),
        (Rate(iops=1, bytes_per_s=1 << 20), Rate(iops=1000)),
    ],
)
def test_a_limit_that_is_raised_holds_no_longer_than_the_new_one(before: Rate, after: Rate) -> None:
    simulation = Simulation(DEVICE)
    simulation.set(0, Settings(limit=before, burst_s=0))
    simulation.start(0, Load(costs_ns=[10 * US], length_bytes=1 << 20))
    assert len(simulation.run(MS)) == 1
    simulation.set(0, Settings(limit=after, burst_s=0))
    sent = simulation.run(4 * MS, most=50)
    assert len(sent) >= 3


def test_a_limit_that_is_lowered_counts_from_the_next_request_on() -> None:
    """What was had at the higher rate is not to be paid for at the lower one."""
    simulation = Simulation(DEVICE)
    simulation.set(0, Settings(limit=Rate(iops=1000)))
    simulation.start(0, Load(costs_ns=[10 * US]))
    before = len(simulation.run(100 * MS))
    simulation.set(0, Settings(limit=Rate(iops=10)))
    assert 10 <= len(simulation.run(1100 * MS)) - before <= 12
