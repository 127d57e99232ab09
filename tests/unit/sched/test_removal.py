"""Requests taken back, and contexts that end."""

from __future__ import annotations

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Rate, Settings
from tests.support.sched_device import MS, US

DEVICE = Device(window_ns=100 * US, cost_max_ns=100 * US)


def request(context: int, token: int, cost_ns: int = 100 * US) -> Request:
    return Request(context=context, token=token, cost_ns=cost_ns, length_bytes=4096)


def taken(scheduler: Scheduler, now: int = 0) -> int | None:
    """Let one request go and come back."""
    found = scheduler.next(now)
    if found is None:
        return None
    scheduler.complete(found.cost_ns)
    return found.token


def of_two() -> Scheduler:
    scheduler = Scheduler(DEVICE)
    for context in (0, 1):
        scheduler.set(context, Settings(), 0)
    return scheduler


def test_what_is_taken_back_does_not_go() -> None:
    it = of_two()
    for token in range(4):
        it.push(request(0, token), 0)
    assert it.remove(0, 0, 0)
    assert it.remove(0, 2, 0)
    assert not it.remove(0, 2, 0)
    assert [taken(it) for _ in range(3)] == [1, 3, None]
    assert not it.remove(0, 1, 0)


def test_a_later_request_taken_back_does_not_cost_the_turn() -> None:
    it = of_two()
    for context, token in ((0, 0), (0, 1), (1, 2)):
        it.push(request(context, token), 0)
    assert it.remove(0, 1, 0)
    assert [taken(it) for _ in range(2)] == [0, 2]


def test_a_request_taken_back_is_not_charged() -> None:
    """Neither the only one of a context nor the first of several."""
    it = of_two()
    for token in range(10):
        it.push(request(0, token), 0)
        assert it.remove(0, token, 0)
    it.push(request(1, 100), 0)
    it.push(request(1, 101), 0)
    it.push(request(0, 10), 0)
    it.push(request(0, 11), 0)
    assert it.remove(0, 10, 0)
    assert [taken(it) for _ in range(3)] == [100, 11, 101]


def test_a_first_request_taken_back_makes_room_for_a_dear_one_or_a_cheap_one() -> None:
    """The finish tag is that of what is first now."""
    it = of_two()
    it.push(request(0, 0, cost_ns=10 * US), 0)
    it.push(request(0, 1, cost_ns=90 * US), 0)
    it.push(request(1, 2, cost_ns=50 * US), 0)
    assert it.remove(0, 0, 0)
    assert [taken(it) for _ in range(2)] == [2, 1]


def test_a_held_context_whose_request_is_taken_back_comes_back_at_the_clock() -> None:
    """It has been away: what others had meanwhile is not owed to it."""
    it = of_two()
    it.set(1, Settings(limit=Rate(iops=100), burst_s=0), 0)
    for token in range(10):
        it.push(request(1, token), 0)
    assert taken(it) == 0
    for token in range(100, 200):
        it.push(request(0, token, cost_ns=50 * US), 0)
    assert [taken(it) for _ in range(90)] == list(range(100, 190))
    assert it.remove(1, 1, 10 * MS)
    assert [taken(it, 10 * MS) for _ in range(3)] == [190, 2, 191]


def test_a_context_that_ends_gives_back_what_it_has_queued() -> None:
    it = of_two()
    for token in range(3):
        it.push(request(0, token), 0)
    it.push(request(1, 3), 0)
    assert taken(it) == 0
    assert it.close(0) == [1, 2]
    assert [taken(it) for _ in range(2)] == [3, None]


def test_a_held_context_that_ends_wakes_nobody() -> None:
    it = Scheduler(DEVICE)
    it.set(0, Settings(limit=Rate(iops=10), burst_s=0), 0)
    it.push(request(0, 0), 0)
    it.push(request(0, 1), 0)
    assert taken(it) == 0
    assert it.wake_at() is not None
    assert it.close(0) == [1]
    assert it.wake_at() is None
    assert taken(it, 1_000 * MS) is None


def test_a_held_context_with_nothing_left_wakes_nobody() -> None:
    it = Scheduler(DEVICE)
    it.set(0, Settings(limit=Rate(iops=10), burst_s=0), 0)
    for token in range(3):
        it.push(request(0, token), 0)
    assert taken(it) == 0
    assert it.remove(0, 1, 0)
    assert it.wake_at() == 100 * MS
    assert it.remove(0, 2, 0)
    assert it.wake_at() is None


def test_a_context_may_end_and_come_again_while_its_requests_are_with_the_device() -> None:
    it = of_two()
    it.push(request(0, 0), 0)
    assert it.next(0) is not None
    it.close(0)
    it.set(0, Settings(), 0)
    it.push(request(0, 1), 0)
    assert taken(it) is None
    it.complete(100 * US)
    assert taken(it) == 1
