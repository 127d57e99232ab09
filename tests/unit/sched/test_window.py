"""The window: the device has work while there is any, and small requests find a place."""

from __future__ import annotations

from hypothesis import given

from fairlead.sched.reference import SMALL_ACTIVE_NS, Device, Request, Scheduler
from fairlead.sched.settings import Settings
from tests.support.sched_device import US, Load, Simulation
from tests.support.sched_trace import Driver, Next, Reference, Trace
from tests.support.sched_traces import traces

LARGE_NS = 100 * US
SMALL_NS = 10 * US
WITH_RESERVE = Device(
    window_ns=400 * US, cost_max_ns=LARGE_NS, small_ns=SMALL_NS, reserve_ns=20 * US
)


def request(context: int, token: int, cost_ns: int) -> Request:
    return Request(context=context, token=token, cost_ns=cost_ns, length_bytes=4096)


def taken(scheduler: Scheduler, now: int) -> int:
    return len(list(iter(lambda: scheduler.next(now), None)))


@given(traces())
def test_nothing_goes_only_while_nothing_may_go(trace: Trace) -> None:
    """All that is queued is held, or the device has so much that somebody has to wait for it."""
    reference = Reference(trace.device)
    driver = Driver(reference)
    for operation in trace.operations:
        driver.apply(operation)
        if isinstance(operation, Next) and driver.decisions[-1].value is None:
            it = reference.scheduler
            waiting = [flow for flow in it._flows.values() if flow.queue and not flow.held_until]
            places = [it.device.place(flow.queue[0].cost_ns) for flow in waiting]
            free_ns = it.device.window_ns - it._in_flight_ns
            assert not places or max(places) > free_ns - it.device.reserve_ns


@given(traces(rates=False))
def test_what_is_in_flight_is_within_the_window(trace: Trace) -> None:
    reference = Reference(trace.device)
    driver = Driver(reference)
    for operation in trace.operations:
        before = len(driver.in_flight)
        driver.apply(operation)
        if len(driver.in_flight) > before:
            costs = (driver.pushed[token][1] for token in driver.in_flight)
            in_flight_ns = sum(trace.device.place(cost) for cost in costs)
            assert in_flight_ns <= reference.scheduler.device.window_ns


def test_a_window_of_one_request_serves_everybody() -> None:
    simulation = Simulation(Device(window_ns=LARGE_NS, cost_max_ns=LARGE_NS), servers=1)
    for context, cost_ns in enumerate((1 * US, LARGE_NS, 37 * US)):
        simulation.set(context, Settings())
        simulation.start(context, Load(costs_ns=[cost_ns]))
    sent = simulation.run(30 * LARGE_NS)
    assert {one.context for one in sent} == {0, 1, 2}
    assert sum(one.cost_ns for one in sent) >= 30 * LARGE_NS


def test_a_large_request_is_not_passed_by_small_ones_for_ever() -> None:
    """It is waited for when it is its turn: nobody fills the place that it needs."""
    simulation = Simulation(WITH_RESERVE, servers=2)
    for context, cost_ns in enumerate((SMALL_NS, SMALL_NS, LARGE_NS)):
        simulation.set(context, Settings())
        simulation.start(context, Load(costs_ns=[cost_ns]))
    sent = simulation.run(30 * LARGE_NS)
    assert sum(one.context == 2 for one in sent) >= 9


def test_large_requests_leave_a_reserve_while_small_ones_come() -> None:
    it = Scheduler(WITH_RESERVE)
    for context in (0, 1):
        it.set(context, Settings(), 0)
    it.push(request(1, 0, SMALL_NS), 0)
    for token in range(10, 20):
        it.push(request(0, token, LARGE_NS), 0)
    assert taken(it, 0) == 4  # 10 + 3 * 100, of 380 for large ones.
    it.push(request(1, 1, SMALL_NS), 100)
    assert taken(it, 100) == 1
    it.complete(LARGE_NS)
    assert taken(it, 100) == 1


def test_what_is_first_and_does_not_fit_is_waited_for() -> None:
    """Not even a small request passes it, although there would be room."""
    it = Scheduler(WITH_RESERVE)
    it.set(0, Settings(weight=1000), 0)
    it.set(1, Settings(), 0)
    it.push(request(1, 10, SMALL_NS), 0)
    for token in range(5):
        it.push(request(0, token, LARGE_NS), 0)
    assert taken(it, 0) == 3
    assert it.next(0) is None
    it.complete(LARGE_NS)
    it.complete(LARGE_NS)
    assert taken(it, 0) == 3


def test_without_small_requests_large_ones_have_the_reserve_too() -> None:
    it = Scheduler(WITH_RESERVE)
    it.set(0, Settings(), 0)
    it.push(request(0, 0, SMALL_NS), 0)
    assert taken(it, 0) == 1
    it.complete(SMALL_NS)
    for token in range(10, 20):
        it.push(request(0, token, LARGE_NS), 1)
    assert taken(it, SMALL_ACTIVE_NS) == 3
    assert taken(it, SMALL_ACTIVE_NS + 1) == 1


def test_what_is_charged_less_counts_as_small_everywhere() -> None:
    """A device to which even its largest request is small keeps no reserve for it."""
    it = Scheduler(Device(window_ns=100, cost_max_ns=50, small_ns=50, reserve_ns=50))
    it.set(0, Settings(), 0)
    for token in range(3):
        it.push(request(0, token, 1_000), 0)
    assert taken(it, 0) == 2
