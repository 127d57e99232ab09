"""Who wants more than it gets has its share, to two requests; who comes anew waits for few."""

from __future__ import annotations

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Settings
from tests.support.sched_device import US

DEVICE = Device(window_ns=400 * US, cost_max_ns=100 * US)


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
