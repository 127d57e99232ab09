"""Policies beside the target. The only clock is the policy's own interval."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.contexts import Contexts
from fairlead.control.grouping import ContextKeys, load_grouping
from fairlead.control.policies import LoadedPolicy
from fairlead.control.policy_runner import LATE_INTERVALS_MAX, PolicyRunner
from fairlead.control.shares import Shares
from fairlead.dataplane.api import EngineOptions
from fairlead.model.shares import ShareChange
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from fairlead.control.measurement import Snapshot
    from tests.unit.control.conftest import Planes

# Only a policy that is to be late is ever waited for so long.
LATE_S = 0.02
IN_TIME_S = 30.0


class Scripted:
    """Answers what the test says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Snapshot], Any]) -> None:
        self.answer = answer
        self.asked: list[Snapshot] = []

    def step(self, snapshot: Snapshot) -> Mapping[str, ShareChange]:
        self.asked.append(snapshot)
        answer: Mapping[str, ShareChange] = self.answer(snapshot)
        return answer


@asynccontextmanager
async def running(
    planes: Planes,
    policy: Scripted,
    interval_s: float = IN_TIME_S,
    *,
    clock: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[tuple[PolicyRunner, Contexts]]:
    """A runner over one context, ``a`` on ``vda``, asked by hand."""
    keys = ContextKeys(load_grouping("none"), contexts_per_address=9)
    contexts = Contexts(planes(EngineOptions(commands=())), keys, Shares())
    contexts.shares.acquire("a", "vda")
    runner = PolicyRunner(
        LoadedPolicy(name="p", interval_s=interval_s, policy=policy), contexts, clock=clock
    )
    yield runner, contexts
    await runner.stop()


def weight(contexts: Contexts) -> int:
    return contexts.shares.of("a", "vda").settings.weight


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("policy.")]


async def test_what_a_policy_says_holds_until_it_says_otherwise(planes: Planes) -> None:
    policy = Scripted(lambda _: {"a": ShareChange(weight=7)})
    async with running(planes, policy) as (runner, contexts):
        await runner.step()
        assert not policy.asked  # There is no interval yet.
        await runner.step()
        assert weight(contexts) == 7
        policy.answer = lambda _: {}
        await runner.step()
        assert weight(contexts) == 1
        policy.answer = lambda _: {"a": ShareChange(weight=3)}
        await runner.step()
    assert weight(contexts) == 1, "its changes do not survive it"
    assert len(policy.asked) == 3


async def test_a_policy_runs_in_a_thread_of_its_own(planes: Planes) -> None:
    threads: list[threading.Thread] = []

    def answer(_: Snapshot) -> dict[str, ShareChange]:
        threads.append(threading.current_thread())
        return {}

    async with running(planes, Scripted(answer)) as (runner, _):
        await runner.step()
        await runner.step()
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon, "the end of the process must not wait for it"


def fail(_: Snapshot) -> Any:
    raise ValueError("too clever")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fail, "ValueError('too clever')"),
        (lambda _: [1], "a policy answers changes by context, not [1]"),
        (lambda _: {"a": {"weight": 2}}, "a policy answers changes by context, not 'a': {'wei"),
        (lambda _: sys.exit(3), "SystemExit(3)"),
    ],
)
async def test_a_policy_that_fails_is_logged_once_and_switched_off(
    planes: Planes, caplog: pytest.LogCaptureFixture, answer: Callable[[Snapshot], Any], reason: str
) -> None:
    policy = Scripted(lambda _: {"a": ShareChange(weight=7)})
    async with running(planes, policy) as (runner, contexts):
        await runner.step()
        await runner.step()
        assert weight(contexts) == 7
        policy.answer = answer
        await runner.step()
        assert not runner.is_on
        assert weight(contexts) == 1
    [line] = lines(caplog)
    assert line.startswith("policy.failed policy=p reason=")
    assert reason in line


async def test_a_policy_that_is_late_is_reported_once_and_its_answer_dropped(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    may_go_on = threading.Event()

    def hang(_: Snapshot) -> dict[str, ShareChange]:
        may_go_on.wait()
        return {"a": ShareChange(weight=7)}

    policy = Scripted(hang)
    async with running(planes, policy, LATE_S) as (runner, contexts):
        await runner.step()
        await runner.step()
        await runner.step()  # Returns at once: it is busy.
        assert runner._worker._work.empty(), "nothing waits for a policy that is busy"
        may_go_on.set()
        await wait_until_async(lambda: not runner._worker.is_busy, "the policy comes back")
        assert weight(contexts) == 1, "a late answer counts for nothing"
    assert lines(caplog) == [
        'policy.late policy=p reason="no answer within 0.02 s; a late one is dropped"'
    ]


async def test_what_a_policy_that_hangs_has_changed_is_taken_back(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    may_go_on = threading.Event()
    policy = Scripted(lambda _: {"a": ShareChange(weight=7)})
    async with running(planes, policy, LATE_S) as (runner, contexts):
        runner._interval_s = IN_TIME_S
        await runner.step()
        await runner.step()
        runner._interval_s = LATE_S

        def hang(_: Snapshot) -> dict[str, ShareChange]:
            may_go_on.wait()
            return {}

        policy.answer = hang
        for _ in range(LATE_INTERVALS_MAX - 1):
            await runner.step()
        assert weight(contexts) == 7
        await runner.step()
        assert weight(contexts) == 1
        assert runner.is_on
    may_go_on.set()
    assert [line.split()[0] for line in lines(caplog)] == ["policy.late", "policy.withdrawn"]


async def test_a_policy_that_fails_late_is_switched_off_too(planes: Planes) -> None:
    may_go_on = threading.Event()

    def hang(_: Snapshot) -> Any:
        may_go_on.wait()
        raise ValueError("late and wrong")

    async with running(planes, Scripted(hang), LATE_S) as (runner, _):
        await runner.step()
        await runner.step()
        may_go_on.set()
        await wait_until_async(lambda: not runner._worker.is_busy, "the policy comes back")
        await runner.step()
        assert not runner.is_on


async def test_a_policy_is_asked_by_the_clock(planes: Planes) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def answer(_: Snapshot) -> dict[str, ShareChange]:
        loop.call_soon_threadsafe(asked.set)
        return {}

    async with running(planes, Scripted(answer), 0.01) as (runner, _):
        runner.start()
        async with asyncio.timeout(10):
            await asked.wait()


async def test_reading_many_contexts_leaves_the_loop_to_others(planes: Planes) -> None:
    policy = Scripted(lambda _: {})
    times_s = iter([0.0, 1.0, 1.0 + 0.09, 2.0, 2.001])
    async with running(planes, policy, 0.1, clock=lambda: next(times_s)) as (runner, _):
        await runner.step()
        assert runner.pause_s == 0.1
        await runner.step()
        assert runner.pause_s == pytest.approx(0.36)
        await runner.step()
        assert runner.pause_s == 0.1


async def test_a_fault_of_ours_ends_the_policy_and_not_the_target(
    planes: Planes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.ERROR)
    async with running(planes, Scripted(lambda _: {}), 0.01) as (runner, contexts):
        monkeypatch.setattr(contexts, "read", fail)
        runner.start()
        assert runner._job is not None
        async with asyncio.timeout(10):
            await runner._job
        assert not runner.is_on
    assert len(lines(caplog)) == 1
