"""What contexts are due, from the configuration to the data plane, over real logins."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.contexts import INTERVAL_S, Contexts
from fairlead.control.grouping import ContextKeys, Nexus, load_grouping
from fairlead.control.shares import Shares
from fairlead.control.target import Target
from fairlead.dataplane.api import EngineOptions, LatencyUs, SessionEnded
from fairlead.errors import ConfigError, DataPlaneError
from fairlead.model.config import Config
from fairlead.model.document import DocumentError
from fairlead.model.shares import ShareChange
from fairlead.sched.device_cost import DeviceCost, LinearCost
from fairlead.sched.settings import Rate, Settings
from fairlead.testing import connect_async
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fairlead.testing import AsyncClient
    from tests.unit.control.conftest import Planes

NAME = "iqn.2008-12.example.fairlead:v"
ANNA = "iqn.2020-01.org.example:anna"
BEN = "iqn.2020-01.org.example:ben"
NEXUS = Nexus(
    client=ANNA,
    initiator_name=ANNA,
    isid=bytes(6),
    target_name=NAME,
    tsih=1,
    lun=0,
    address="192.0.2.1",
    auth_user=None,
)


@asynccontextmanager
async def serving(planes: Planes, **document: Any) -> AsyncIterator[Target]:
    config = Config.model_validate(
        {
            "volumes": [{"name": "v", "kind": "null", "size": "1M", "device": "vda"}],
            "portals": ["127.0.0.1:0"],
            **document,
        }
    )
    async with Target(config, open_plane=planes) as target:
        yield target


async def log_in(target: Target, initiator: str) -> AsyncClient:
    return await connect_async(str(target.portals[0]), NAME, initiator)


def given(planes: Planes) -> dict[str, Settings]:
    """What the data plane was told at logins, by context."""
    return {
        lun.context: lun.settings
        for session in planes.plane.adopted.values()
        for lun in session.luns
    }


async def test_a_session_brings_what_its_context_is_due(planes: Planes) -> None:
    shares = [
        {"contexts": "*", "limit": {"iops": 100}},
        {"contexts": "*:anna", "weight": 4},
    ]
    async with (
        serving(planes, shares=shares) as target,
        await log_in(target, ANNA),
        await log_in(target, BEN),
    ):
        expected = {
            ANNA: Settings(weight=4, limit=Rate(iops=100)),
            BEN: Settings(limit=Rate(iops=100)),
        }
        assert given(planes) == expected
        assert {context.key: context.settings for context in target.contexts()} == expected


async def test_groups_share_a_context_and_others_have_their_own(planes: Planes) -> None:
    groups = [
        {"name": "first", "initiators": ["*:anna"], "addresses": ["127.0.0.0/8"]},
        {"name": "second", "initiators": ["*:a*"]},
    ]
    shares = [{"contexts": "group:first", "weight": 9}]
    async with (
        serving(planes, grouping="group", groups=groups, shares=shares) as target,
        await log_in(target, ANNA),
        await log_in(target, BEN),
        await log_in(target, "iqn.2020-01.org.example:alf"),
    ):
        assert {key: settings.weight for key, settings in given(planes).items()} == {
            "group:first": 9,
            BEN: 1,
            "group:second": 1,
        }


async def test_the_scheduler_is_a_choice(planes: Planes) -> None:
    async with serving(planes, engine={"scheduler": "fifo"}):
        assert planes.plane.options.scheduler == "fifo"


async def test_a_change_reaches_the_data_plane_at_once(planes: Planes) -> None:
    async with serving(planes) as target, await log_in(target, ANNA), await log_in(target, BEN):
        assert target.set_contexts("*:ann?", {"weight": 4, "limit": {"iops": 20}}) == [ANNA]
        [found] = [context for context in target.contexts() if context.key == ANNA]
        expected = Settings(weight=4, limit=Rate(iops=20))
        assert planes.plane.settings == {(found.index, found.generation): expected}
        assert found.settings == expected
        assert target.context_due(ANNA, "vda").origins["weight"].by == "*:ann?"
        assert target.reset_contexts("*:ann?") == [ANNA]
        assert planes.plane.settings[found.index, found.generation] == Settings()


async def test_a_change_holds_for_who_comes_later(planes: Planes) -> None:
    async with serving(planes) as target:
        assert target.set_contexts("*", ShareChange(weight=3)) == []
        async with await log_in(target, ANNA):
            assert given(planes)[ANNA].weight == 3


async def test_changes_that_cannot_be_are_explained(planes: Planes) -> None:
    async with serving(planes) as target, await log_in(target, ANNA):
        with pytest.raises(DocumentError, match=r"weight = 0: out of range \(take at least 1\)"):
            target.set_contexts("*", {"weight": 0})
        with pytest.raises(DocumentError, match=r"no such field .did you mean weight"):
            target.set_contexts("*", {"wieght": 1})
        target.set_contexts("*", {"guarantee": {"iops": 10}})
        with pytest.raises(ConfigError, match=r"guarantee.iops 10 is above limit.iops 5 for"):
            target.set_contexts("*", {"limit": {"iops": 5}})


async def test_a_guarantee_without_room_is_one_warning_and_the_session_is_served(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    document = {
        "shares": [{"contexts": "*", "guarantee": {"iops": 500}}],
        "devices": [{"name": "vda", "iops": 1000}],
    }
    async with serving(planes, **document) as target, await log_in(target, ANNA):
        async with await log_in(target, BEN):
            assert given(planes)[ANNA].guarantee == Rate(iops=500)
            assert given(planes)[BEN].guarantee == Rate()
        lines = [r.getMessage() for r in caplog.records if "guarantee_refused" in r.getMessage()]
        assert len(lines) == 1
        assert f"context={BEN} device=vda reason=" in lines[0]
        # Anna goes, and Ben has his guarantee.
        [session] = [s for s in target.sessions() if s.initiator_name == ANNA]
        [ben] = [context for context in target.contexts() if context.key == BEN]
        planes.plane.disconnect(session.session)
        await wait_until_async(lambda: bool(planes.plane.settings), "the guarantee is given")
        assert planes.plane.settings == {
            (ben.index, ben.generation): Settings(guarantee=Rate(iops=500))
        }


async def test_an_ended_session_leaves_nothing(planes: Planes) -> None:
    document = {
        "shares": [{"contexts": "*", "guarantee": {"iops": 500}}],
        "devices": [{"name": "vda", "iops": 1000}],
    }
    async with serving(planes, **document) as target, await log_in(target, ANNA):
        events = target.events()
        planes.plane.disconnect(target.sessions()[0].session)
        async for event in events:
            if isinstance(event, SessionEnded):
                break
        async with await log_in(target, BEN):
            assert given(planes)[BEN].guarantee == Rate(iops=500)


async def test_a_refused_session_leaves_nothing(planes: Planes) -> None:
    async with serving(planes, shares=[{"contexts": "*", "weight": 2}]) as target:
        planes.plane.refuse("memory_limit is reached")
        with pytest.raises(ConnectionResetError):
            await log_in(target, ANNA)
        assert target.set_contexts("*", {"weight": 3}) == []


async def test_a_capacity_of_no_device_is_told(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    devices = [{"name": "vdb", "iops": 9}, {"name": "vda", "iops": 9}]
    async with serving(planes, devices=devices):
        pass
    lines = [r.getMessage() for r in caplog.records if "device.unknown" in r.getMessage()]
    assert lines == ["device.unknown device=vdb known=vda"]


async def test_the_data_plane_hears_what_requests_cost_a_device(planes: Planes) -> None:
    cost = {
        "read_base_us": 4.49,
        "read_per_kib_us": 0.382,
        "write_base_us": 7.16,
        "write_per_kib_us": 0,
    }
    devices = [{"name": "vda", "cost": cost}, {"name": "vdb", "iops": 10}]
    async with serving(planes, devices=devices):
        assert planes.plane.options.costs == {
            "vda": DeviceCost(
                read=LinearCost(base_ns=4490, per_kib_ns=382),
                write=LinearCost(base_ns=7160, per_kib_ns=0),
            )
        }


async def test_a_policy_of_the_document_runs(planes: Planes) -> None:
    goal = {"kind": "latency-goal", "contexts": "*:anna", "goal_ms": 1, "interval_s": 0.01}
    async with (
        serving(planes, policies=[goal]) as target,
        await log_in(target, ANNA),
        await log_in(target, BEN),
    ):
        count = 0

        def is_limited() -> bool:
            """Anna is slow and Ben busy, more and more of it at every look."""
            nonlocal count
            count += 1000
            slow = LatencyUs(p50=9e3, p99=9e3, mean=9e3)
            planes.plane.book(ANNA, "vda", commands_read=count, response_time_us=slow)
            planes.plane.book(BEN, "vda", commands_read=count, submitted=count, cost_ns=count)
            return bool(planes.plane.settings)

        await wait_until_async(is_limited, "the others are limited")
        [ben] = [context for context in target.contexts() if context.key == BEN]
        assert ben.settings.limit.iops is not None
        assert ben.configured == Settings()
        assert target.context_due(BEN, "vda").origins["limit.iops"].by == "latency-goal"
        settings = planes.plane.settings
    assert set(settings.values()) == {Settings()}, "its changes do not survive it"


class Clock:
    """Time that goes on only by sleeping, or by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def contexts_with(planes: Planes) -> tuple[Contexts, Clock]:
    clock = Clock()
    keys = ContextKeys(load_grouping("none"), contexts_per_address=9)
    plane = planes(EngineOptions(commands=()))
    return Contexts(plane, keys, Shares(), clock=clock, sleep=clock.sleep), clock


async def test_rates_are_of_the_time_since_somebody_looked_last(planes: Planes) -> None:
    contexts, clock = contexts_with(planes)
    assert (await contexts.snapshot()).interval_s == INTERVAL_S
    clock.now_s += 2.5
    assert (await contexts.snapshot()).interval_s == 2.5
    assert clock.slept == [INTERVAL_S]


@pytest.mark.parametrize("pause_s", [0.0, 0.4, 5.1, 3600.0])
async def test_too_short_and_too_long_an_interval_says_nothing(
    planes: Planes, pause_s: float
) -> None:
    contexts, clock = contexts_with(planes)
    await contexts.snapshot()
    clock.now_s += pause_s
    assert (await contexts.snapshot()).interval_s == INTERVAL_S
    assert clock.slept == [INTERVAL_S, INTERVAL_S]


async def test_a_context_that_has_gone_meanwhile_is_no_fault(
    planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(planes) as target, await log_in(target, ANNA):

        def gone(*_: object) -> None:
            raise DataPlaneError("there is no context 0")

        monkeypatch.setattr(planes.plane, "set_context", gone)
        assert target.set_contexts("*", {"weight": 2}) == [ANNA]


def test_one_context_is_held_by_every_lun_of_a_session(planes: Planes) -> None:
    contexts, _ = contexts_with(planes)
    held = [contexts.join(replace(NEXUS, lun=lun), "vda") for lun in range(2)]
    assert [one.key for one in held] == ["all", "all"]
    contexts.leave(held[0])
    assert contexts.set("all", ShareChange(weight=2)) == ["all"]
    contexts.leave(held[1])
    assert contexts.set("all", ShareChange(weight=3)) == []
