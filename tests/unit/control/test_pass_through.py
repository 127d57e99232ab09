from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.pass_through import (
    DISK_TIMEOUT_S,
    OTHER_TIMEOUT_S,
    check_documented,
    name_unasked,
    pass_through_words,
    prepare_pass_through,
)
from fairlead.errors import ConfigError
from fairlead.model.volume import VolumeConfig
from fairlead.scsi.pass_through import Treatment, rules
from tests.support.kernel_tree import KernelTree
from tests.support.scsi_device import FakeScsiDevice

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.control.volumes import PreparedVolume
    from fairlead.dataplane.pass_through import PassThroughSpec

TARGET = "iqn.2026-01.example:disk"
SECRET = "s3cr%t/:"
S_NS = 10**9


@pytest.fixture
def tree(tmp_path: Path) -> KernelTree:
    return KernelTree(tmp_path)


def config(kind: str = "sg", path: str = "/dev/sg3", **fields: Any) -> VolumeConfig:
    return VolumeConfig.model_validate({"name": "v", "kind": kind, "path": path, **fields})


def iscsi(**fields: Any) -> VolumeConfig:
    return config("iscsi", f"iscsi://bob%{SECRET}@127.0.0.1/{TARGET}/7", **fields)


def passed(volume: PreparedVolume) -> PassThroughSpec:
    assert volume.spec.pass_through is not None
    return volume.spec.pass_through


def test_a_disk_is_prepared(tree: KernelTree) -> None:
    device = tree.scsi_device("2:0:0:0", disk="sdb", queue_depth="31", timeout="90")
    (device / "block/sdb/queue/max_hw_sectors_kb").write_text("511\n")
    link = FakeScsiDevice()
    prepared = prepare_pass_through(config(path="/dev/sdb", read_only=True), tree.view, link)
    spec = prepared.spec
    assert link.opened == [("sg", "/dev/sg3")]
    assert (spec.kind, spec.path, spec.read_only) == ("sg", "/dev/sg3", True)
    assert (spec.size_bytes, spec.logical_block_bytes) == (2 << 30, 512)
    assert spec.device == prepared.backing.name == "naa.5000c500a1b2c3d4"
    assert prepared.place == "sg:naa.5000c500a1b2c3d4"
    assert prepared.backing.is_rotational is False
    assert not spec.meets_elevators
    assert passed(prepared).rules == rules()
    assert (passed(prepared).commands_max, passed(prepared).timeout_ns) == (31, 90 * S_NS)
    assert passed(prepared).transfer_bytes_max == 508 << 10
    assert pass_through_words(prepared).endswith(
        "; device 'naa.5000c500a1b2c3d4', 31 commands at a time, 508 KiB and 90 s each"
    )


@pytest.mark.parametrize(
    ("link", "name"),
    [
        (FakeScsiDevice(pages={}), "naa.host"),
        (FakeScsiDevice(pages={0x83: b"\1\3\0\2ab"}), "naa.6162"),
        (FakeScsiDevice(pages={0x83: bytes((2, 1, 0, 4)) + b"A  B"}), "t10.A B"),
    ],
)
def test_the_name_of_the_device_lasts(tree: KernelTree, link: FakeScsiDevice, name: str) -> None:
    tree.scsi_device("2:0:0:0", wwid="naa.host")
    assert prepare_pass_through(config(), tree.view, link).spec.device == name


def test_a_device_without_a_lasting_name_is_called_by_what_it_is(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0")
    serial = FakeScsiDevice(pages={0x80: b"SN1"})
    nothing = FakeScsiDevice(pages={})
    names = [prepare_pass_through(config(), tree.view, d).spec.device for d in (serial, nothing)]
    assert names == ["ACME Disk of 2 GiB SN1", "ACME Disk of 2 GiB 2:0:0:0"]
    own = prepare_pass_through(config(device="array7"), tree.view, nothing)
    assert (own.spec.device, own.backing.name) == ("array7", names[1])


def test_a_tape_takes_its_time(tree: KernelTree) -> None:
    tree.tape(tree.scsi_device("2:0:0:0", timeout="30"))
    prepared = prepare_pass_through(config(path="/dev/st0"), tree.view, FakeScsiDevice(1))
    assert passed(prepared).timeout_ns == OTHER_TIMEOUT_S * S_NS
    assert passed(prepared).rules == rules(has_blocks=False) != rules()
    assert passed(prepared).transfer_bytes_max == 1 << 20
    assert (prepared.spec.size_bytes, prepared.spec.logical_block_bytes) == (0, 512)
    disk = prepare_pass_through(config(), tree.view, FakeScsiDevice())
    assert passed(disk).timeout_ns == DISK_TIMEOUT_S * S_NS
    said = prepare_pass_through(config(timeout="5s"), tree.view, FakeScsiDevice())
    assert passed(said).timeout_ns == 5 * S_NS


def test_a_tiny_adapter_takes_a_page_at_a_time(tree: KernelTree) -> None:
    device = tree.scsi_device("2:0:0:0", disk="sdb")
    (device / "block/sdb/queue/max_hw_sectors_kb").write_text("1\n")
    prepared = prepare_pass_through(config(), tree.view, FakeScsiDevice())
    assert passed(prepared).transfer_bytes_max == 4096


def test_a_url_with_its_password_has_to_fit(tree: KernelTree) -> None:
    volume = config("iscsi", f"iscsi://bob@127.0.0.1/{TARGET}/0", password="p" * 250)
    with pytest.raises(ConfigError, match=r"is too long \(take at most 254 bytes") as caught:
        prepare_pass_through(volume, tree.view, FakeScsiDevice())
    assert "ppp" not in str(caught.value)


@pytest.mark.parametrize("path", ["/dev/sdb", "/dev/sg3"])
def test_a_disk_that_we_serve_is_not_held_by_somebody(tree: KernelTree, path: str) -> None:
    tree.scsi_device("2:0:0:0", disk="sdb")
    first = config(path="/dev/sdb")
    prepared = prepare_pass_through(first, tree.view, FakeScsiDevice())
    tree.view.held.add("/dev/sdb")
    link = FakeScsiDevice()
    for spec in (prepared.spec, replace(prepared.spec, kind="direct", path="/dev/sdb")):
        others = [(first, replace(prepared, spec=spec))]
        with pytest.raises(ConfigError, match=rf"{path} is served already, as volume 'v' \(show"):
            prepare_pass_through(config(path=path, device="b"), tree.view, link, others)
    assert not link.opened


def test_dangerous_commands_are_allowed_by_name(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0")
    volume = config(allow=["format unit", "SANITIZE"], identity="own")
    found = passed(prepare_pass_through(volume, tree.view, FakeScsiDevice())).rules
    assert found == rules(identity="own", allow=["FORMAT UNIT", "SANITIZE"])
    assert {r.opcode for r in found if r.treatment is Treatment.PASS} >= {0x04, 0x48}


def test_a_name_that_is_not_in_the_table_is_explained(tree: KernelTree) -> None:
    wrong = config(allow=["FORMAT UNIT", "FORMAT"])
    with pytest.raises(ConfigError, match=r"^'FORMAT' is no command .*there are: .*FORMAT UNIT"):
        prepare_pass_through(wrong, tree.view, FakeScsiDevice())
    with pytest.raises(ConfigError) as caught:
        check_documented([config(), wrong])
    assert caught.value.where == "volumes[1].allow"


def test_a_lun_of_another_target_is_prepared(tree: KernelTree) -> None:
    link = FakeScsiDevice()
    prepared = prepare_pass_through(iscsi(), tree.view, link)
    spec = prepared.spec
    assert link.opened == [("iscsi", f"iscsi://bob%{SECRET}@127.0.0.1:3260/{TARGET}/7")]
    assert spec.path == f"iscsi://bob@127.0.0.1:3260/{TARGET}/7"
    assert passed(prepared).url == link.opened[0][1]
    assert spec.device == f"{TARGET}/7"
    assert prepared.place == f"iscsi:{TARGET}/7"
    assert (passed(prepared).commands_max, passed(prepared).transfer_bytes_max) == (128, 1 << 20)
    assert SECRET not in repr(prepared) + pass_through_words(prepared)
    assert "url" not in passed(prepared).plain()


def test_a_size_that_cannot_be_is_cut(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0")
    liar = FakeScsiDevice(blocks=2**64 - 1, block_bytes=2**32 - 1)
    spec = prepare_pass_through(config(), tree.view, liar).spec
    assert (spec.size_bytes, spec.logical_block_bytes) == (2**63 - 1, 2**32 - 1)


def test_a_long_name_stays_apart_from_others(tree: KernelTree) -> None:
    names = {
        prepare_pass_through(
            config("iscsi", f"iscsi://127.0.0.1/{TARGET}{'x' * 100}/{lun}"),
            tree.view,
            FakeScsiDevice(),
        ).spec.device
        for lun in range(3)
    }
    assert len(names) == 3
    assert {len(name) for name in names} == {64}


def test_a_password_may_be_in_a_file(tree: KernelTree, tmp_path: Path) -> None:
    file = tmp_path / "password"
    volume = config("iscsi", f"iscsi://bob@127.0.0.1/{TARGET}/0", password_file=str(file))

    def explained() -> str:
        with pytest.raises(ConfigError) as caught:
            prepare_pass_through(volume, tree.view, FakeScsiDevice())
        return str(caught.value)

    assert explained().startswith(f"{file} cannot be read: no such file")
    with pytest.raises(ConfigError) as caught:
        check_documented([config(), volume])
    assert caught.value.where == "volumes[1].password_file"
    file.write_text("two words\n")
    assert explained().startswith(f"{file} holds no password: the password cannot be used (take 1")
    file.write_bytes(b"\xe9")
    assert explained().startswith(f"{file} holds no password: it is not UTF-8 text (put the")
    file.write_text(f"{SECRET}\n")
    assert passed(prepare_pass_through(volume, tree.view, FakeScsiDevice())).url == (
        f"iscsi://bob%{SECRET}@127.0.0.1:3260/{TARGET}/0"
    )


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOENT, "/dev/sg3 has no node (load the driver: modprobe sg)"),
        (errno.ENODEV, "/dev/sg3 is gone (check its cable"),
        (errno.EACCES, "/dev/sg3 may not be opened (run as root"),
        (errno.EBUSY, "/dev/sg3 is held by another program (stop who holds it: lsof /dev/sg3)"),
        (errno.EIO, "/dev/sg3 cannot be used: Input/output error (check the device"),
    ],
)
def test_what_is_in_the_way_of_a_device(tree: KernelTree, number: int, message: str) -> None:
    tree.scsi_device("2:0:0:0")
    trouble = OSError(number, os.strerror(number))
    with pytest.raises(ConfigError) as caught:
        prepare_pass_through(config(), tree.view, FakeScsiDevice(trouble=trouble))
    assert str(caught.value).startswith(message)


SHOWN = f"iscsi://bob@127.0.0.1:3260/{TARGET}/7"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ELIBACC, "libiscsi is missing (install it: apt-get install libiscsi7)"),
        (0, f"{SHOWN} cannot be used: not at iscsi://bob@127.0.0.1"),
    ],
)
def test_what_is_in_the_way_of_a_lun(tree: KernelTree, number: int, message: str) -> None:
    trouble = OSError(number, f"not at iscsi://bob%{SECRET}@127.0.0.1")
    with pytest.raises(ConfigError) as caught:
        prepare_pass_through(iscsi(), tree.view, FakeScsiDevice(trouble=trouble))
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)


def test_a_device_that_says_nothing_is_explained(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0")
    silent = FakeScsiDevice(failure="timed out.\n")
    with pytest.raises(ConfigError, match=r"does not answer INQUIRY: timed out \(see what the k"):
        prepare_pass_through(config(), tree.view, silent)
    with pytest.raises(ConfigError, match=r"cannot be reached: timed out \(check that its target"):
        prepare_pass_through(iscsi(), tree.view, silent)
    with pytest.raises(ConfigError) as caught:
        prepare_pass_through(iscsi(), tree.view, FakeScsiDevice(peripheral=0x7F))
    listing = "iscsi-ls --show-luns iscsi://127.0.0.1:3260"
    assert str(caught.value) == f"there is no such LUN: {SHOWN} (list them: {listing})"


def test_a_device_in_use_is_refused_before_it_is_asked(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0", disk="sdb")
    tree.mount("8:16", "/srv", "ext4", "/dev/sdb")
    link = FakeScsiDevice()
    with pytest.raises(ConfigError, match="is mounted on /srv"):
        prepare_pass_through(config(), tree.view, link)
    assert not link.opened


def test_names_that_are_known_without_asking(tree: KernelTree) -> None:
    assert name_unasked(iscsi(), tree.view) == f"{TARGET}/7"
    device = tree.scsi_device("2:0:0:0")
    assert name_unasked(config(), tree.view) == "ATA Disk of 1 TB"
    (device / "wwid").write_text("naa.5000\n")
    assert name_unasked(config(), tree.view) == "naa.5000"
