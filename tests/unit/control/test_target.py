from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.events import SessionStarted
from fairlead.control.target import Target
from fairlead.dataplane.api import (
    ContextReleased,
    DeviceFailed,
    DeviceResumed,
    DeviceStalled,
    EngineOptions,
    KernelContextFailed,
    ProtocolNote,
    SessionEnded,
    TextRequested,
    Upcall,
    VolumeFault,
)
from fairlead.dataplane.fake import FakeProbe
from fairlead.dataplane.kernel import KernelOptions
from fairlead.errors import ConfigError, DataPlaneError
from fairlead.model.config import Config, LunConfig, TargetConfig
from fairlead.model.portal import Portal
from fairlead.proto.iscsi.login_policy import LoginPolicy
from fairlead.scsi.commands import COMMANDS
from fairlead.testing import connect_async
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fairlead.control.events import EventStream
    from fairlead.dataplane.api import DataPlane, Event
    from tests.unit.control.conftest import Planes

ALICE = "iqn.2020-01.org.example:alice"


def make(planes: Planes, **document: Any) -> Target:
    config = Config.model_validate({"portals": ["127.0.0.1:0"], **document})
    return Target(config, open_plane=planes)


async def until(events: EventStream, kind: type[Event]) -> Event:
    async with asyncio.timeout(10):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__}")


async def test_a_volume_is_served_in_one_call(planes: Planes, tmp_path: Path) -> None:
    async with Target(portals=["127.0.0.1:0"], open_plane=planes) as target:
        url = await target.serve_volume(f"{tmp_path}/disk.img:1M")
        [portal] = target.portals
        name = "iqn.2008-12.example.fairlead:disk.img"
        assert portal.port
        assert url == f"iscsi://127.0.0.1:{portal.port}/{name}/0"
        [lun] = target.luns
        assert (lun.target, lun.lun, lun.volume, lun.read_only) == (name, 0, "disk.img", False)
        [volume] = target.volumes()
        assert (volume.name, volume.size_bytes) == ("disk.img", 1 << 20)
        assert planes.plane.pages[lun.logical_unit]
        assert target.report()["driver"] == "fake"


async def test_options_reach_the_data_plane(planes: Planes) -> None:
    engine = {
        "driver": "threads",
        "submitters": 3,
        "pool": "per_device",
        "memory_limit": "64M",
        "queue_depth": 7,
        "nop_interval_s": 1,
        "nop_timeout_s": 2,
    }
    async with make(planes, engine=engine):
        options = planes.plane.options
    assert options == EngineOptions(
        commands=COMMANDS,
        pages_without_logical_unit=options.pages_without_logical_unit,
        driver="threads",
        submitters=3,
        pool="per_device",
        memory_limit_bytes=64 << 20,
        queue_depth=7,
        nop_interval_s=1.0,
        nop_timeout_s=2.0,
    )
    assert options.pages_without_logical_unit


async def test_one_volume_through_two_targets_is_one_disk(planes: Planes) -> None:
    document = {
        "volumes": [{"name": "v", "kind": "null", "size": "1M"}],
        "targets": [
            {"name": "iqn.2020-01.org.example:a", "luns": [{"volume": "v"}]},
            {
                "name": "iqn.2020-01.org.example:b",
                "luns": [{"volume": "v", "lun": 3, "read_only": True}],
            },
        ],
    }
    async with make(planes, **document) as target:
        first, second = (target._logical_units[lun.logical_unit] for lun in target.luns)
        assert first.identity == second.identity
        assert (first.target_name, second.target_name) == tuple(lun.target for lun in target.luns)
        assert (first.read_only, second.read_only) == (False, True)
        assert [lun.lun for lun in target.luns] == [0, 3]


async def test_identity_is_the_same_after_a_restart(planes: Planes, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        async with Target(portals=["127.0.0.1:0"], open_plane=planes) as target:
            await target.serve_volume(f"{tmp_path}/disk.img:1M")
            found.append([unit.identity for unit in target._logical_units.values()])
    assert found[0] == found[1]


async def test_mistakes_are_explained(planes: Planes, tmp_path: Path) -> None:
    async with make(planes) as target:
        await target.serve_volume(f"{tmp_path}/disk.img:1M")
        with pytest.raises(ConfigError, match=r"there is a volume .disk\.img. already"):
            await target.add_volume(f"{tmp_path}/other/disk.img:1M")
        with pytest.raises(ConfigError, match="'1X' is not a size"):
            await target.add_volume("x:1X")
        with pytest.raises(ConfigError, match=r"no volume 'nope' \(there are: disk.img\)"):
            await target.add_target(TargetConfig(luns=(LunConfig(volume="nope"),)))
        with pytest.raises(ConfigError, match=r"there is a target iqn\S+disk.img already"):
            await target.add_target(TargetConfig(luns=(LunConfig(volume="disk.img"),)))
        with pytest.raises(ConfigError, match=r"no volume 'nope' \(there are: disk.img\)"):
            target.clear_fault("nope")
        (tmp_path / "link.img").symlink_to(tmp_path / "disk.img")
        with pytest.raises(DataPlaneError, match="is served already"):
            await target.add_volume(f"{tmp_path}/link.img")


async def test_nothing_is_left_when_the_start_fails(planes: Planes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="address already in use"):
            async with make(planes, portals=["127.0.0.1:0", f"127.0.0.1:{port}"]):
                pass
    assert planes.plane.drained_s == 0.0


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"grouping": "nexis"}, "no grouping 'nexis'"),
        (
            {
                "volumes": [{"name": "v", "kind": "null", "size": "1M"}],
                "portals": ["0.0.0.0:0"],
            },
            "can be reached by other machines",
        ),
        ({"chap_accounts": [{"user": "a", "secret_file": "/nowhere"}]}, "cannot be read"),
    ],
)
async def test_what_is_wrong_is_found_before_anything_starts(
    planes: Planes, document: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        async with make(planes, **document):
            pass
    assert not planes.all


async def test_a_target_added_later_is_not_shown_to_everybody_by_accident(planes: Planes) -> None:
    async with make(planes, portals=["0.0.0.0:0"]) as target:
        await target.add_volume("null:1M")
        with pytest.raises(ConfigError, match="lets everybody in"):
            await target.add_target(TargetConfig(luns=(LunConfig(volume="null"),)))
    config = Config(portals=(Portal("0.0.0.0", 0),))  # noqa: S104  that is what is tested
    async with Target(config, allow_anyone=True, open_plane=planes) as target:
        url = await target.serve_volume("null:1M")
        assert url.startswith("iscsi://127.0.0.1:")


async def test_a_session_is_ended_on_request(planes: Planes) -> None:
    async with make(planes) as target:
        name = (await target.serve_volume("null:1M")).split("/")[3]
        async with await connect_async(str(target.portals[0]), name, ALICE):
            [session] = target.sessions()
            planes.plane.hold()
            assert not await target.end_session(session.session, timeout_s=0.01)
            assert [found.state for found in target.sessions()] == ["ending"]
            planes.plane.let_go()
            assert await target.end_session(session.session)
            assert target.sessions() == []
            assert await target.end_session(session.session)


async def test_events_tell_a_session_from_start_to_end(planes: Planes) -> None:
    async with make(planes) as target:
        events = target.events()
        name = (await target.serve_volume("null:1M")).split("/")[3]
        async with await connect_async(str(target.portals[0]), name, ALICE):
            started = await anext(events)
            assert isinstance(started, SessionStarted)
            assert (started.initiator_name, started.target_name) == (ALICE, name)
            planes.plane.disconnect(started.session)
            released, ended = await anext(events), await anext(events)
        assert isinstance(released, ContextReleased)
        assert isinstance(ended, SessionEnded)
        assert ended.session == started.session
    assert [event async for event in events] == []


async def test_accounts_remember_what_has_ended(planes: Planes) -> None:
    target = make(planes)
    assert target.accounts()["contexts"] == []
    async with target:
        name = (await target.serve_volume("null:1M")).split("/")[3]
        for _ in range(2):
            async with await connect_async(str(target.portals[0]), name, ALICE):
                events = target.events()
                planes.plane.disconnect(target.sessions()[0].session)
                await until(events, SessionEnded)
        async with await connect_async(str(target.portals[0]), name, ALICE):
            assert [c["state"] for c in target.accounts()["contexts"]] == [
                "active",
                "released",
                "released",
            ]
    document = target.accounts()
    assert [context["state"] for context in document["contexts"]] == ["released"] * 3
    assert document["sessions_ended_count"] == 3
    assert [session["reason"] for session in document["sessions_ended"]] == [
        "connection closed by the initiator",
        "connection closed by the initiator",
        "the target stops",
    ]
    assert json.loads(json.dumps(document)) == document


async def test_a_stop_waits_as_long_as_it_is_told(planes: Planes) -> None:
    async with Target(portals=["127.0.0.1:0"], open_plane=planes, drain_s=2.5) as target:
        pass
    assert planes.plane.drained_s == 2.5
    await target.stop()
    with pytest.raises(RuntimeError, match="not running"):
        target.sessions()


async def test_upcalls_are_answered(planes: Planes) -> None:
    async with make(planes) as target:
        await target.serve_volume("null:1M")
        [lun] = target.luns
        cdb = bytes.fromhex("a3 0c 00 00 00 00 00 01 00 00 00 00")
        planes.plane.emit(
            Upcall(id=5, session=1, logical_unit=lun.logical_unit, lun=0, cdb=cdb, data=b"")
        )
        events = target.events()
        planes.plane.emit(DeviceResumed(device="end"))
        await until(events, DeviceResumed)
        assert planes.plane.answers[5].status == 0


@asynccontextmanager
async def asked(planes: Planes, text: bytes, **keys: Any) -> AsyncIterator[Target]:
    """A session whose initiator has sent this text, as request 5."""
    async with make(planes) as target:
        name = (await target.serve_volume("null:1M")).split("/")[3]
        async with await connect_async(str(target.portals[0]), name, ALICE, **keys):
            events = target.events()
            [session] = target.sessions()
            planes.plane.emit(TextRequested(id=5, session=session.session, data=text))
            planes.plane.emit(DeviceResumed(device="end"))
            await until(events, DeviceResumed)
            yield target


async def test_a_session_may_ask_where_its_target_is(planes: Planes) -> None:
    async with asked(planes, b"SendTargets=\0") as target:
        [lun] = target.luns
        found, limit = planes.plane.text_answers[5]
        assert found == f"TargetName={lun.target}\0TargetAddress={target.portals[0]},1\0".encode()
        assert limit is None


async def test_a_session_may_take_larger_segments_from_now_on(planes: Planes) -> None:
    async with asked(planes, b"MaxRecvDataSegmentLength=65536\0"):
        assert planes.plane.text_answers[5] == (b"", 65536)


async def test_an_answer_too_long_for_the_initiator_leaves_out_what_it_knows(
    planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoginPolicy, "target_addresses", lambda *_: ["127.0.0.1:1,1"] * 50)
    async with asked(planes, b"SendTargets=\0", MaxRecvDataSegmentLength="512") as target:
        [lun] = target.luns
        assert planes.plane.text_answers[5] == (f"TargetName={lun.target}\0".encode(), None)


async def test_text_that_breaks_the_rules_ends_the_session(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asked(planes, b"no pair\0"):
        assert not planes.plane.text_answers
        assert not planes.plane.adopted
    assert any(r.getMessage().startswith("iscsi.protocol peer=") for r in caplog.records)


async def test_text_of_a_session_that_has_gone_is_dropped(planes: Planes) -> None:
    async with make(planes) as target:
        events = target.events()
        planes.plane.emit(TextRequested(id=5, session=99, data=b"SendTargets=\0"))
        planes.plane.emit(DeviceResumed(device="end"))
        await until(events, DeviceResumed)
        assert not planes.plane.text_answers


async def test_notices_are_told_and_logged(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stalled = DeviceStalled(device="vda", commands=12, clients=3, age_s=31.2)
    async with make(planes) as target:
        await target.serve_volume("null:1M")
        [volume] = target.volumes()
        events = target.events()
        for event in (
            stalled,
            replace(stalled, commands=1, clients=1),
            DeviceFailed(device="sdb", reason="it is gone"),
            DeviceResumed(device="vda"),
            VolumeFault(volume=volume.volume, reason="flush failed: EIO"),
            ProtocolNote(session=1, peer="127.0.0.1:9", reason="CmdSN 9 is outside 1..8"),
        ):
            planes.plane.emit(event)
        await until(events, ProtocolNote)
        target.clear_fault("null")
    lines = [record.getMessage() for record in caplog.records]
    for line in (
        'device.stalled device=vda reason="vda: 12 commands of 3 clients unanswered for 31 s"',
        'device.stalled device=vda reason="vda: 1 command of 1 client unanswered for 31 s"',
        'device.failed device=sdb reason="it is gone"',
        "device.resumed device=vda",
        'volume.faulted volume=null reason="flush failed: EIO"',
        'iscsi.protocol peer=127.0.0.1:9 session=1 reason="CmdSN 9 is outside 1..8"',
        "volume.fault_cleared volume=null",
    ):
        assert line in lines


async def test_the_end_of_an_unknown_session_is_no_fault(planes: Planes) -> None:
    async with make(planes) as target:
        events = target.events()
        planes.plane.emit(SessionEnded(session=99, reason="x", peer="y"))
        await until(events, SessionEnded)


def test_the_fake_is_a_data_plane(planes: Planes) -> None:
    plane: DataPlane = planes(EngineOptions(commands=()))
    with pytest.raises(DataPlaneError, match=r"no volume 9"):
        plane.remove_volume(9)
    with pytest.raises(DataPlaneError, match="no logical unit 9"):
        plane.set_pages(9, {})


@asynccontextmanager
async def ringed(planes: Planes, folder: Path, **document: Any) -> AsyncIterator[Target]:
    """A target that asks for rings, and has a direct volume on a disk with bfq."""
    tree = KernelTree(folder)
    tree.disk_below(folder, "sda", "bfq")
    config = Config.model_validate(
        {
            "portals": ["127.0.0.1:0"],
            "engine": {"kernel_context": "ring", "kernel_rings_max": 9},
            "volumes": [{"name": "v", "path": str(folder / "disk.img"), "size": "1M"}],
            **document,
        }
    )
    async with Target(config, open_plane=planes, view=tree.view, probe=FakeProbe()) as target:
        yield target


async def test_contexts_are_shown_to_the_kernel_where_somebody_asks_for_it(
    planes: Planes, tmp_path: Path
) -> None:
    async with ringed(planes, tmp_path) as target:
        assert planes.plane.options.kernel == KernelOptions(rings_max=9)
        [found] = target.kernel_contexts()
        assert (found.device, found.mode, found.weights) == ("sda", "ring", "8 levels of priority")
        name = target.luns[0].target
        async with await connect_async(str(target.portals[0]), name, ALICE):
            [context] = target.contexts()
            assert context.kernel is not None
            assert context.kernel.state == "plain"
            [session] = target.sessions()
            await target.end_session(session.session)
        document = target.accounts()
        assert json.loads(json.dumps(document)) == document
        assert document["contexts"][0]["kernel"]["ring_requests"] == 0
    async with make(planes) as target:
        await target.serve_volume("null:1M")
        assert target.kernel_contexts() == []


async def test_an_elevator_comes_back_at_the_end(planes: Planes, tmp_path: Path) -> None:
    devices = [{"name": "sda", "kernel_context": "off", "set_elevator": True}]
    async with ringed(planes, tmp_path, devices=devices):
        file = tmp_path / "sys/devices/block/sda/queue/scheduler"
        assert file.read_text() == "none"
    assert file.read_text() == "bfq"
    # Also if the start fails after it was set.
    again = tmp_path / "again"
    again.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        portals = [f"127.0.0.1:{taken.getsockname()[1]}"]
        with pytest.raises(ConfigError, match="address already in use"):
            async with ringed(planes, again, devices=devices, portals=portals):
                pass
    file = again / "sys/devices/block/sda/queue/scheduler"
    assert file.read_text() == "bfq"


async def test_an_experiment_of_somebody_else_than_root_does_not_start(
    planes: Planes, tmp_path: Path
) -> None:
    tree = KernelTree(tmp_path)
    tree.user(1000)
    config = Config.model_validate({"engine": {"kernel_context": "experimental-set-ioprio"}})
    with pytest.raises(ConfigError, match="experiment for root"):
        async with Target(config, open_plane=planes, view=tree.view, probe=FakeProbe()):
            pass
    assert not planes.all


async def test_a_context_without_its_ring_is_logged_once(
    planes: Planes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failed = KernelContextFailed(key=ALICE, device="sda", reason="no threads are left")
    async with ringed(planes, tmp_path) as target:
        events = target.events()
        name = target.luns[0].target
        for _ in range(2):
            async with await connect_async(str(target.portals[0]), name, ALICE):
                for _ in range(2):
                    planes.plane.emit(failed)
                    assert await until(events, KernelContextFailed) == failed
                planes.plane.disconnect(target.sessions()[0].session)
                await until(events, SessionEnded)
    lines = [record.getMessage() for record in caplog.records]
    line = f'kernel_context.failed context={ALICE} device=sda reason="no threads are left"'
    # Once for each life of the context.
    assert lines.count(line) == 2


async def test_a_volume_that_cannot_be_opened_decides_nothing_for_its_device(
    planes: Planes, tmp_path: Path
) -> None:
    async with ringed(planes, tmp_path, volumes=[]) as target:
        planes.plane.refuse("it is locked")
        with pytest.raises(DataPlaneError, match="it is locked"):
            await target.add_volume(f"{tmp_path}/disk.img:1M")
        assert target.kernel_contexts() == []
        planes.plane.refuse(None)
        await target.add_volume(f"{tmp_path}/disk.img:1M")
        assert [found.device for found in target.kernel_contexts()] == ["sda"]


async def test_the_fake_keeps_to_one_kernel_context_for_a_device(
    planes: Planes, tmp_path: Path
) -> None:
    async with ringed(planes, tmp_path) as target:
        spec = replace(target._volumes["v"].prepared.spec, path="/another", name="w")
        with pytest.raises(DataPlaneError, match="sda has kernel context ring already"):
            planes.plane.add_volume(replace(spec, kernel_context="off"))
        assert planes.plane.add_volume(spec)
        null = replace(spec, path=None, kind="null", name="n")
        with pytest.raises(DataPlaneError, match="null volumes have kernel context off"):
            planes.plane.add_volume(null)
        assert planes.plane.add_volume(replace(null, kernel_context="off"))
