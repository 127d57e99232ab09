from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.control.scsi_device import check_device_unused, find_scsi_device
from fairlead.errors import ConfigError
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> KernelTree:
    return KernelTree(tmp_path)


def explained(tree: KernelTree, path: str) -> str:
    with pytest.raises(ConfigError) as caught:
        find_scsi_device(path, tree.view)
    return str(caught.value)


@pytest.mark.parametrize("path", ["/dev/sg3", "/dev/sdb"])
def test_a_disk_is_found_by_either_node(tree: KernelTree, path: str) -> None:
    device = tree.scsi_device(
        "2:0:0:0", disk="sdb", queue_depth="32", timeout="30", wwid="naa.5000c500a1b2c3d4"
    )
    queue = device / "block/sdb/queue"
    (queue / "max_hw_sectors_kb").write_text("256\n")
    (queue / "max_sectors_kb").write_text("128\n")
    found = find_scsi_device(path, tree.view)
    assert (found.node, found.address, found.disks) == ("/dev/sg3", "2:0:0:0", {"sdb": (8, 16)})
    assert (found.vendor, found.model) == ("ATA", "Disk of 1 TB")
    assert found.wwid == "naa.5000c500a1b2c3d4"
    assert (found.queue_depth, found.timeout_s) == (32, 30)
    assert found.transfer_bytes_max == 256 << 10
    assert found.is_rotational is False
    (queue / "max_hw_sectors_kb").unlink()
    assert find_scsi_device(path, tree.view).transfer_bytes_max == 128 << 10


def test_a_tape_is_found_and_need_not_say_much(tree: KernelTree) -> None:
    tree.tape(tree.scsi_device("2:0:1:0", queue_depth="no number"))
    for path in ("/dev/st0", "/dev/sg3"):
        found = find_scsi_device(path, tree.view)
        assert (found.node, found.disks, found.wwid) == ("/dev/sg3", {}, None)
        assert (found.queue_depth, found.timeout_s, found.transfer_bytes_max) == (1, 0, None)
        assert found.is_rotational is None
    check_device_unused(find_scsi_device("/dev/st0", tree.view), tree.view)


def test_a_link_to_a_device_is_followed(tree: KernelTree, tmp_path: Path) -> None:
    tree.scsi_device("2:0:0:0")
    link = tmp_path / "by-id"
    link.symlink_to("/dev/sg3")
    assert find_scsi_device(str(link), tree.view).node == "/dev/sg3"


def test_what_is_not_there_is_explained(tree: KernelTree, tmp_path: Path) -> None:
    assert explained(tree, "/dev/sg99999") == (
        "/dev/sg99999 is not there: no sg driver (load it: modprobe sg)"
    )
    tree.scsi_device("2:0:0:0")
    assert explained(tree, "/dev/sg99999").startswith("/dev/sg99999 is not there (lsscsi -g lists")
    assert explained(tree, str(tmp_path)).startswith(f"{tmp_path} is no device (name a SCSI")


def test_a_disk_without_the_driver_is_explained(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0", sg=None, disk="sdb")
    assert explained(tree, "/dev/sdb") == (
        "the kernel has no sg driver for /dev/sdb (load it: modprobe sg)"
    )


def test_what_is_no_scsi_device_is_explained(tree: KernelTree) -> None:
    tree.disk("vda", "252:0")
    tree.view.nodes["/dev/vda"] = ("block", (252, 0))
    tree.view.nodes["/dev/null"] = ("char", (1, 3))
    assert explained(tree, "/dev/vda") == (
        "/dev/vda is not a SCSI device (serve it as direct:/dev/vda)"
    )
    assert "is not a SCSI device (lsscsi" in explained(tree, "/dev/null")


def test_a_partition_is_explained(tree: KernelTree) -> None:
    device = tree.scsi_device("2:0:0:0", disk="sdb")
    tree.partition(device / "block/sdb", "sdb1", "8:17")
    tree.view.nodes["/dev/sdb1"] = ("block", (8, 17))
    assert explained(tree, "/dev/sdb1") == (
        "/dev/sdb1 is a partition, and commands reach the whole of sdb "
        "(pass on all of it, sg:/dev/sdb, or serve the partition: direct:/dev/sdb1)"
    )


def test_a_device_that_somebody_uses_is_refused(tree: KernelTree) -> None:
    tree.scsi_device("2:0:0:0", disk="sdb")
    device = find_scsi_device("/dev/sg3", tree.view)
    check_device_unused(device, tree.view)
    tree.view.held.add("/dev/sdb")
    with pytest.raises(ConfigError, match=r"/dev/sdb is held by somebody \(stop who holds it"):
        check_device_unused(device, tree.view)
    tree.mount("8:16", "/srv", "ext4", "/dev/sdb")
    with pytest.raises(ConfigError, match=r"/dev/sdb is mounted on /srv \(unmount it first"):
        check_device_unused(device, tree.view)


def test_a_device_that_may_not_be_looked_at_is_explained(
    tree: KernelTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tree.view), "node", refuse)
    assert explained(tree, "/dev/sg3").startswith("/dev/sg3 may not be looked at (run as a user")
