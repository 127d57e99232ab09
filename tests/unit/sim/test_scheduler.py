from __future__ import annotations

import pytest

from fairlead.errors import ConfigError
from fairlead.sched import reference
from fairlead.sched.reference import Device, Request
from fairlead.sched.settings import Settings
from fairlead.sim.scheduler import Fifo, cuts_requests, make_scheduler

DEVICE = Device(window_ns=1_000, cost_max_ns=100)


def request(context: int, token: int) -> Request:
    return Request(context=context, token=token, cost_ns=10, length_bytes=4096)


def filled(in_flight_max: int | None) -> Fifo:
    fifo = Fifo(in_flight_max)
    for context in (1, 2):
        fifo.set(context, Settings(queued_max=3), 0)
    for token, context in enumerate((1, 1, 2, 1)):
        assert fifo.push(request(context, token), 0)
    return fifo


def test_fifo_is_one_queue_with_a_window() -> None:
    fifo = filled(2)
    assert [r.token for r in iter(lambda: fifo.next(0), None)] == [0, 1]
    fifo.complete(10)
    following = fifo.next(0)
    assert following is not None
    assert following.token == 2
    assert fifo.next(0) is None
    assert fifo.wake_at() is None
    fifo.set_window(10**9)
    assert fifo.next(0) is None, "it counts requests"


def test_none_holds_nothing_back() -> None:
    fifo = filled(None)
    assert [r.token for r in iter(lambda: fifo.next(0), None)] == [0, 1, 2, 3]


def test_a_contexts_queue_has_an_end() -> None:
    fifo = filled(1)
    assert not fifo.push(request(1, 9), 0)
    assert fifo.push(request(2, 9), 0)
    fifo.next(0)
    assert fifo.push(request(1, 10), 0)


def test_requests_are_taken_back() -> None:
    fifo = filled(None)
    assert fifo.remove(1, 1, 0)
    assert not fifo.remove(1, 1, 0)
    assert not fifo.remove(1, 2, 0), "another context's"
    assert fifo.close(1) == [0, 3]
    assert [r.token for r in iter(lambda: fifo.next(0), None)] == [2]


def test_policies_are_made_by_name() -> None:
    fair = make_scheduler("fair", "reference", DEVICE, 8)
    assert isinstance(fair, reference.Scheduler)
    assert isinstance(make_scheduler("fifo", "reference", DEVICE, 8), Fifo)
    assert isinstance(make_scheduler("none", "reference", DEVICE, 8), Fifo)
    with pytest.raises(ConfigError, match=r"no engine 'steam' \(there are: reference, rust\)"):
        make_scheduler("fair", "steam", DEVICE, 8)


@pytest.mark.parametrize(("servers", "at_a_time"), [(1, 2), (8, 10)])
def test_fifo_keeps_all_servers_busy(servers: int, at_a_time: int) -> None:
    fifo = make_scheduler("fifo", "reference", DEVICE, servers)
    fifo.set(1, Settings(), 0)
    for token in range(50):
        fifo.push(request(1, token), 0)
    assert len(list(iter(lambda: fifo.next(0), None))) == at_a_time


def test_only_the_fair_one_cuts_requests() -> None:
    assert [cuts_requests(policy) for policy in ("fair", "fifo", "none")] == [True, False, False]
