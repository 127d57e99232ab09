from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.control.latency_goal import LatencyGoal
from tests.support.contexts import context, snapshot

if TYPE_CHECKING:
    from fairlead.control.measurement import Context

MIB = 1 << 20


def policy(goal_ms: float = 1.0) -> LatencyGoal:
    return LatencyGoal(LatencyGoal.Options(contexts="db*", goal_ms=goal_ms))


def db(response_ms: float, key: str = "db") -> Context:
    return context(key, ops=100, response=response_ms * 1000)


def busy(ops: int = 10_000) -> Context:
    return context("busy", ops=ops)


def limit_iops(goal: LatencyGoal, *contexts: Context) -> int | None:
    change = goal.step(snapshot(*contexts)).get("busy")
    return None if change is None else change.limit.iops


def test_others_are_limited_step_by_step_while_the_goal_is_missed() -> None:
    goal = policy()
    assert limit_iops(goal, db(2.0), busy(10_000)) == 8_000
    assert limit_iops(goal, db(2.0), busy(8_000)) == 6_400
    # It does less than it may: that is where the next step begins.
    assert limit_iops(goal, db(2.0), busy(1_000)) == 800


def test_bytes_are_limited_with_requests() -> None:
    change = policy().step(snapshot(db(2.0), busy(10_000)))["busy"]
    assert change.said() == {"limit.iops": 8_000, "limit.bytes_per_s": 32_768_000}


def test_limits_are_given_back_slowly_and_go_when_they_limit_nothing() -> None:
    goal = policy()
    first = limit_iops(goal, db(2.0), busy())
    assert first == 8_000
    second = limit_iops(goal, db(0.1), busy(8_000))
    assert second == 8_160
    for _ in range(100):
        limit = limit_iops(goal, db(0.1), busy(8_000))
        if limit is None:
            break
        assert limit <= 16_320
    else:
        pytest.fail("the limit was never taken away")
    assert limit_iops(goal, db(0.1), busy(100_000)) is None


def test_near_the_goal_nothing_is_changed() -> None:
    goal = policy()
    limit_iops(goal, db(2.0), busy())
    assert limit_iops(goal, db(0.9), busy(8_000)) == 8_000
    assert limit_iops(goal, db(1.0), busy(8_000)) == 8_000


def test_the_slowest_of_them_counts() -> None:
    assert limit_iops(policy(), db(0.1), db(2.0, "db-2"), busy()) == 8_000


def test_nobody_is_driven_to_nothing() -> None:
    goal = policy()
    for ops in (20, 10, 5, 2):
        goal.step(snapshot(db(2.0), busy(ops)))
    change = goal.step(snapshot(db(2.0), busy(1)))["busy"]
    assert (change.limit.iops, change.limit.bytes_per_s) == (10, MIB)


def test_who_is_on_another_device_or_idle_is_left_alone() -> None:
    elsewhere = context("elsewhere", ops=10_000, device="vdb")
    idle = context("idle")
    assert policy().step(snapshot(db(2.0), elsewhere, idle)) == {}


def test_a_context_on_two_devices_gets_the_smaller_of_its_limits() -> None:
    fast = context("busy", ops=10_000, index=1)
    slow = context("busy", ops=500, index=2, device="vdb")
    goal = policy()
    contexts = (db(2.0), context("db", ops=9, response=5e3, device="vdb", index=3), fast, slow)
    assert limit_iops(goal, *contexts) == 400


def test_what_has_gone_is_forgotten() -> None:
    goal = policy()
    limit_iops(goal, db(2.0), busy())
    assert goal.step(snapshot(db(0.9))) == {}
    assert limit_iops(goal, db(0.9), busy()) is None
