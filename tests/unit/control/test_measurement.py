from __future__ import annotations

import pytest

from fairlead.control.measurement import Reading, measure
from fairlead.sched.settings import Priority, Rate, Settings
from tests.support.contexts import context, measured


def test_rates_are_of_the_interval() -> None:
    before = context("a", ops=1000, queue=10.0, service=100.0, response=120.0)
    after = context("a", ops=3000, queue=20.0, service=100.0, response=140.0)
    [found] = measure(
        Reading(at_s=5.0, contexts=(before,)), Reading(at_s=7.0, contexts=(after,))
    ).contexts
    activity = found.activity
    assert (activity.iops, activity.requests_per_s) == (1000.0, 1000.0)
    assert activity.bytes_per_s == 4_096_000.0
    # 1000 of 10 us and 2000 of x us are 3000 of 20 us on average.
    assert activity.queue_time_mean_us == pytest.approx(25.0)
    assert activity.service_time_mean_us == pytest.approx(100.0)
    assert activity.response_time_mean_us == pytest.approx(150.0)
    assert activity.cost_ns == 2000 * 1000
    assert found.commands_read == 3000


def test_a_context_that_did_nothing_has_no_times_and_no_share() -> None:
    idle = context("a", ops=100, service=5.0)
    busy = context("b")
    after = (idle, context("b", ops=10))
    found = measure(
        Reading(at_s=0.0, contexts=(idle, busy)), Reading(at_s=1.0, contexts=after)
    ).contexts
    activity = found[0].activity
    assert (activity.iops, activity.share_due, activity.share_got) == (0.0, 0.0, 0.0)
    assert activity.service_time_mean_us is None
    assert activity.held_back_by == "nobody"
    assert found[1].activity.share_due == 1.0


def test_a_new_context_in_an_old_ones_place_begins_at_nothing() -> None:
    old = context("a", ops=1_000_000, index=7, generation=1)
    new = context("b", ops=10, index=7, generation=2)
    [found] = measure(
        Reading(at_s=0.0, contexts=(old,)), Reading(at_s=1.0, contexts=(new,))
    ).contexts
    assert found.activity.iops == 10.0


def test_shares_are_due_by_weight_among_those_who_want_the_device() -> None:
    found = measured(
        context("a", ops=300, settings=Settings(weight=3)),
        context("b", ops=100),
        context("idle", settings=Settings(weight=96)),
        context("elsewhere", ops=500, device="vdb"),
    )
    shares = {key: (c.activity.share_due, c.activity.share_got) for key, c in found.items()}
    assert shares == {
        "a": (0.75, 0.75),
        "b": (0.25, 0.25),
        "idle": (0.0, 0.0),
        "elsewhere": (1.0, 1.0),
    }


def test_who_has_requests_out_wants_the_device_though_none_came_back() -> None:
    found = measured(context("a", in_flight=3), context("b", ops=10))
    assert found["a"].activity.share_due == 0.5
    assert found["a"].activity.share_got == 0.0


def test_a_class_is_due_what_those_above_leave() -> None:
    found = measured(
        context("first", ops=60, settings=Settings(priority=Priority.URGENT)),
        context("a", ops=30),
        context("b", ops=10),
        context("last", in_flight=1, settings=Settings(priority=Priority.IDLE)),
    )
    due = {key: c.activity.share_due for key, c in found.items()}
    assert due == pytest.approx({"first": 1.0, "a": 0.2, "b": 0.2, "last": 0.0})


def test_cost_and_not_requests_makes_a_share() -> None:
    """Also of what a context had done before."""
    before = (context("small", ops=100), context("large", ops=100, cost_ns=50_000_000))
    after = (context("small", ops=400), context("large", ops=200, cost_ns=50_900_000))
    found = measure(Reading(at_s=0.0, contexts=before), Reading(at_s=1.0, contexts=after)).contexts
    assert [c.activity.share_got for c in found] == [0.25, 0.75]
    assert [c.activity.cost_ns for c in found] == [300_000, 900_000]


@pytest.mark.parametrize(
    ("settings", "queue_us", "expected"),
    [
        (Settings(), 5.0, "nobody"),
        (Settings(), 300.0, "window"),
        (Settings(limit=Rate(iops=1000)), 300.0, "limit"),
        (Settings(limit=Rate(iops=1040)), 300.0, "limit"),
        (Settings(limit=Rate(iops=2000)), 300.0, "window"),
        (Settings(limit=Rate(bytes_per_s=4_096_000)), 0.0, "limit"),
        (Settings(limit=Rate(bytes_per_s=40_960_000)), 0.0, "nobody"),
    ],
)
def test_what_holds_a_context_back(settings: Settings, queue_us: float, expected: str) -> None:
    busy = context("a", ops=1000, queue=queue_us, service=100.0, settings=settings)
    assert measured(busy)["a"].activity.held_back_by == expected


def test_a_short_wait_beside_a_slow_device_is_no_waiting() -> None:
    busy = context("a", ops=10, queue=300.0, service=8000.0)
    assert measured(busy)["a"].activity.held_back_by == "nobody"
