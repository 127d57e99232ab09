"""What the specification says of windows, and that idle contexts cost a decision nothing."""

from __future__ import annotations

import pytest

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Rate, Settings

DEVICE = Device(window_ns=1_000, cost_max_ns=100)


def test_wake_at_is_the_end_of_the_first_hold_that_still_stands() -> None:
    scheduler = Scheduler(DEVICE)
    settings = Settings(limit=Rate(iops=1000), burst_s=0)
    for context in (1, 2, 3):
        scheduler.set(context, settings, 0)
        for token in (0, 1):
            request = Request(
                context=context, token=10 * context + token, cost_ns=10, length_bytes=512
            )
            assert scheduler.push(request, context)
        assert scheduler.next(context) is not None
    assert scheduler.wake_at() == 1_000_001
    assert scheduler.remove(1, 11, 5), "what was held is gone"
    assert scheduler.wake_at() == 1_000_002
    scheduler.close(2)
    assert scheduler.wake_at() == 1_000_003
    assert scheduler.next(1_000_003) is not None
    assert scheduler.wake_at() is None


def test_a_guarantee_that_is_given_or_taken_later_counts_from_then_on() -> None:
    scheduler = Scheduler(DEVICE)
    plain, guaranteed = Settings(), Settings(guarantee=Rate(iops=10**9))
    now = 0

    def decide(contexts: set[int]) -> list[int]:
        nonlocal now
        got = []
        for _ in range(100):
            now += 500
            for context in contexts:
                request = Request(context=context, token=now, cost_ns=100, length_bytes=512)
                assert scheduler.push(request, now)
            request = scheduler.next(now) or pytest.fail("all wait, and nobody may go")
            scheduler.complete(request.cost_ns)
            got.append(request.context)
        return got

    scheduler.set(1, plain, now)
    scheduler.set(2, plain, now)
    assert decide({1, 2}).count(1) == 50
    scheduler.set(1, guaranteed, now)
    assert decide({1, 2}).count(1) == 100
    scheduler.set(1, plain, now)
    assert decide({1, 2}).count(1) in range(47, 51), "what it got counts towards its share"
    scheduler.set(1, guaranteed, now)
    scheduler.close(1)
    assert decide({2}).count(2) == 100


def in_flight(device: Device, cost_ns: int, *, beside_small: bool = False) -> int:
    """How many requests of one cost the device has before the first is done."""
    scheduler = Scheduler(device)
    scheduler.set(1, Settings(), 0)
    if beside_small:
        scheduler.set(2, Settings(), 0)
        scheduler.push(Request(context=2, token=0, cost_ns=10, length_bytes=512), 0)
        assert scheduler.next(0) is not None
        scheduler.complete(10)
    for token in range(1, 100):
        scheduler.push(Request(context=1, token=token, cost_ns=cost_ns, length_bytes=512), 0)
    count = 0
    while scheduler.next(0) is not None:
        count += 1
    for _ in range(count):
        scheduler.complete(cost_ns)
    assert scheduler.next(0) is not None, "all that was taken is given back"
    return count


@pytest.mark.parametrize(
    ("place_ns", "cost_ns", "count"),
    [(None, 10, 10), (None, 40, 2), (None, 99, 2), (10, 40, 10), (10, 10, 10), (10, 5, 20)],
)
def test_where_a_request_keeps_one_server_busy_the_window_counts_requests(
    place_ns: int | None, cost_ns: int, count: int
) -> None:
    """Eight servers need eight requests, also when each of them is as long as four small ones."""
    device = Device(window_ns=100, cost_max_ns=40, small_ns=10, reserve_ns=20, place_ns=place_ns)
    assert in_flight(device, cost_ns) == count


def test_the_reserve_is_counted_in_places_too() -> None:
    device = Device(window_ns=100, cost_max_ns=40, small_ns=10, reserve_ns=20, place_ns=10)
    assert in_flight(device, 40, beside_small=True) == 8
    assert in_flight(device, 10, beside_small=True) == 10


@pytest.mark.parametrize(
    ("cost_max_ns", "place_ns", "told"),
    [
        (90, None, "does not fit"),
        (90, 81, "does not fit"),
        (0, None, "no place"),
        (9, 0, "no place"),
    ],
)
def test_a_window_has_room_for_its_largest_request(
    cost_max_ns: int, place_ns: int | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Device(window_ns=100, cost_max_ns=cost_max_ns, reserve_ns=20, place_ns=place_ns)
    Device(window_ns=100, cost_max_ns=90, reserve_ns=20, place_ns=80)
