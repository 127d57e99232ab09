"""A target that shows a SCSI device, over the data plane that only keeps books."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.target import Target
from fairlead.dataplane.fake import FakeProbe
from fairlead.errors import ConfigError, DataPlaneError
from fairlead.management.documents import volume_document
from fairlead.model.config import Config
from fairlead.model.volume import VolumeConfig
from fairlead.scsi import inquiry, vpd
from tests.support.kernel_tree import KernelTree
from tests.support.scsi_device import FakeScsiDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.control.conftest import Planes

SECRET = "s3cret-of-bob"
URL = f"iscsi://bob%{SECRET}@127.0.0.1/iqn.2026-01.example:disk/7"
SG = {"name": "v", "kind": "sg", "path": "/dev/sdb"}
NAA = "naa.5000c500a1b2c3d4"


@asynccontextmanager
async def serving(
    planes: Planes,
    folder: Path,
    *volumes: dict[str, Any],
    link: FakeScsiDevice | None = None,
    nodes: dict[str, str] | None = None,
    **document: Any,
) -> AsyncIterator[Target]:
    tree = KernelTree(folder)
    tree.disk_below(folder, "sda", "bfq")
    tree.scsi_device("2:0:0:0", disk="sdb")
    for address, node in (nodes or {}).items():
        tree.scsi_device(address, sg=node)
    written = {"portals": ["127.0.0.1:0"], "volumes": volumes, **document}
    async with Target(
        Config.model_validate(written),
        open_plane=planes,
        view=tree.view,
        probe=FakeProbe(),
        connect=link or FakeScsiDevice(),
    ) as target:
        yield target


async def test_a_device_is_served_with_its_own_identity(
    planes: Planes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes, tmp_path, SG) as target:
        [lun] = target.luns
        assert list(planes.plane.pages[lun.logical_unit]) == [inquiry.key(vpd.BLOCK_LIMITS)]
        assert (lun.device, lun.read_only) == (NAA, False)
        [info] = target.volumes()
        facts = target.device_facts()
        document = volume_document(info, facts=facts["v"])
        assert (document["path"], document["size_bytes"]) == ("/dev/sg3", 2 << 30)
        assert document["scsi_device"]["product"] == "Disk of 2 GiB"
        assert json.loads(json.dumps(document)) == document
        assert planes.plane.pass_through["v"].commands_max == 1
    lines = "\n".join(record.getMessage() for record in caplog.records)
    said = 'volume.device volume=v type=disk vendor=ACME product="Disk of 2 GiB" serial=SN1'
    assert said in lines


async def test_an_identity_of_ours_is_asked_for(planes: Planes, tmp_path: Path) -> None:
    own = {**SG, "identity": "own", "serial": "S1"}
    target = {"luns": [{"volume": "v", "read_only": True}]}
    async with serving(planes, tmp_path, own, targets=[target]) as served:
        [lun] = served.luns
        pages = planes.plane.pages[lun.logical_unit]
        serial = pages[inquiry.key(vpd.UNIT_SERIAL_NUMBER)]
        assert isinstance(serial, bytes)
        assert serial[4:] == b"S1"
        assert lun.read_only


async def test_a_device_is_served_once_whatever_way_leads_to_it(
    planes: Planes, tmp_path: Path
) -> None:
    async with serving(planes, tmp_path, SG) as target:
        with pytest.raises(ConfigError, match=r"/dev/sg3 is served already, as volume 'v' \(show"):
            await target.add_volume("sg:/dev/sg3")
        other = {**SG, "name": "w", "path": "/dev/sg3", "device": "another"}
        with pytest.raises(ConfigError, match="is served already, as volume 'v'"):
            await target.add_volume(VolumeConfig.model_validate(other))


async def test_another_node_is_another_device_where_a_name_says_so(
    planes: Planes, tmp_path: Path
) -> None:
    async with serving(planes, tmp_path, SG, nodes={"2:0:0:1": "sg4"}) as target:
        with pytest.raises(ConfigError, match=r"served already, as volume 'v' .*name one of them"):
            await target.add_volume("sg:/dev/sg4")
        other = {**SG, "name": "w", "path": "/dev/sg4", "device": "another"}
        await target.add_volume(VolumeConfig.model_validate(other))
        assert [info.name for info in target.volumes()] == ["v", "w"]


async def test_a_lun_is_served_once_too(planes: Planes, tmp_path: Path) -> None:
    async with serving(planes, tmp_path) as target:
        await target.add_volume(URL)
        again = {"name": "w", "kind": "iscsi", "path": URL, "device": "another"}
        with pytest.raises(ConfigError, match="served already, as volume 'disk-7'") as caught:
            await target.add_volume(VolumeConfig.model_validate(again))
        assert SECRET not in str(caught.value)


async def test_a_tape_has_no_size(
    planes: Planes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes, tmp_path, SG, link=FakeScsiDevice(peripheral=1)) as target:
        [info] = target.volumes()
        assert volume_document(info, facts=target.device_facts()["v"])["size_bytes"] is None
        assert planes.plane.pages[target.luns[0].logical_unit] == {}
    assert any("size_bytes=- " in record.getMessage() for record in caplog.records)


async def test_a_password_is_shown_nowhere(
    planes: Planes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(planes, tmp_path) as target:
        url = await target.serve_volume(URL)
        assert url.endswith(":disk-7/0")
        assert planes.plane.pass_through["disk-7"].url == URL.replace("127.0.0.1", "127.0.0.1:3260")
        [info] = target.volumes()
        document = volume_document(info, facts=target.device_facts()["disk-7"])
        shown = json.dumps([document, target.accounts()]) + repr((info, target.luns, target))
        assert "bob@127.0.0.1:3260" in shown
        with pytest.raises(ConfigError) as served:
            await target.add_volume(URL)
    lines = "".join(record.getMessage() for record in caplog.records)
    assert "disk-7" in lines
    assert SECRET not in shown + lines + str(served.value)


@pytest.mark.parametrize(
    "word", [f"iscsi://bob%{SECRET}@127.0.0.1/nothing", f"iscsi://bob%{SECRET}@@127.0.0.1/iqn.x/0"]
)
async def test_a_mistaken_word_does_not_show_it_either(
    planes: Planes, tmp_path: Path, word: str
) -> None:
    async with serving(planes, tmp_path) as target:
        with pytest.raises(ConfigError) as caught:
            await target.add_volume(word)
        assert SECRET not in str(caught.value)


async def test_rings_for_all_leave_devices_alone_that_no_elevator_sees(
    planes: Planes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    file = {"name": "f", "path": str(tmp_path / "disk.img")}
    engine = {"kernel_context": "ring"}
    async with serving(planes, tmp_path, SG, file, engine=engine) as target:
        modes = {found.device: found.mode for found in target.kernel_contexts()}
        assert modes == {NAA: "off", "sda": "ring"}
    [record] = [r for r in caplog.records if "by the sg driver" in r.getMessage()]
    assert record.levelno == logging.INFO


@pytest.mark.parametrize(
    ("own", "field"),
    [({"kernel_context": "ring"}, "kernel_context"), ({"set_elevator": True}, "set_elevator")],
)
async def test_what_is_asked_for_a_device_by_name_is_refused(
    planes: Planes, tmp_path: Path, own: dict[str, Any], field: str
) -> None:
    devices = [{"name": "sdx", "iops": 1}, {"name": NAA, **own}]
    message = f"is passed through, and sg volumes .*remove {field}"
    with pytest.raises(ConfigError, match=message) as caught:
        async with serving(planes, tmp_path, SG, devices=devices):
            pass
    assert caught.value.where == f"devices[1].{field}"
    async with serving(planes, tmp_path / "b", SG, devices=[{"name": NAA, "iops": 100}]) as target:
        assert target.kernel_contexts() == []


async def test_the_fake_takes_what_goes_together(planes: Planes, tmp_path: Path) -> None:
    async with serving(planes, tmp_path, SG) as target:
        spec = replace(target._volumes["v"].prepared.spec, path="/dev/sg4", name="w")
        with pytest.raises(DataPlaneError, match="sg volumes and rules do not go together"):
            planes.plane.add_volume(replace(spec, pass_through=None))
        with pytest.raises(DataPlaneError, match="sg volumes have kernel context off"):
            planes.plane.add_volume(replace(spec, kernel_context="ring"))
        assert planes.plane.add_volume(spec)
