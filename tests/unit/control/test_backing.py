from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from fairlead.control.backing import (
    BackingDevice,
    Mount,
    SystemView,
    _follow,
    device_number,
    find_backing_device,
)
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> KernelTree:
    return KernelTree(tmp_path)


def name_of(tree: KernelTree, major: int, minor: int) -> str:
    return _follow((major, minor), tree.view, 16).name


def test_a_partition_leads_to_its_disk(tree: KernelTree) -> None:
    sda = tree.disk("sda", "8:0", rotational="1")
    tree.partition(sda, "sda1", "8:1")
    assert _follow((8, 1), tree.view, 16) == BackingDevice("sda", True, False)


def test_dm_over_one_disk_leads_to_it(tree: KernelTree) -> None:
    sda = tree.disk("sda", "8:0")
    first, second = tree.partition(sda, "sda1", "8:1"), tree.partition(sda, "sda2", "8:2")
    tree.stack("dm-0", "253:0", first, second)
    tree.stack("dm-1", "253:1", tree.view.sys / "devices/block/dm-0")
    assert name_of(tree, 253, 1) == "sda"


def test_dm_over_several_disks_stands_for_itself(tree: KernelTree) -> None:
    tree.stack("dm-0", "253:0", tree.disk("sda", "8:0"), tree.disk("sdb", "8:16"))
    assert name_of(tree, 253, 0) == "dm-0"


def test_loop_leads_to_the_disk_of_its_file(tree: KernelTree, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    major, minor = device_number(image.stat())
    tree.disk("nvme0n1", f"{major}:{minor}")
    loop = tree.disk("loop0", "7:0")
    (loop / "loop").mkdir()
    (loop / "loop/backing_file").write_text(f"{image}\n")
    assert name_of(tree, 7, 0) == "nvme0n1"
    (loop / "loop/backing_file").write_text("/gone (deleted)\n")
    assert name_of(tree, 7, 0) == "loop0"


def test_layers_are_bounded(tree: KernelTree) -> None:
    first = tree.disk("dm-0", "253:0")
    second = tree.stack("dm-1", "253:1", first)
    (first / "slaves").mkdir()
    (first / "slaves/dm-1").symlink_to(second)
    assert name_of(tree, 253, 0).startswith("dm-")


def test_a_file_system_without_a_disk_is_named_after_its_mount(tree: KernelTree) -> None:
    (tree.view.proc / "self/mountinfo").write_text(
        "30 1 0:44 / /run/my\\040files rw,nosuid shared:5 - tmpfs tmpfs rw\n"
    )
    assert name_of(tree, 0, 44) == "tmpfs:/run/my files"
    assert name_of(tree, 0, 45) == "device 0:45"
    assert tree.view.mounts() == [
        Mount((0, 44), "/run/my files", "tmpfs", "tmpfs", root="/", options=("rw",))
    ]


def test_the_kernel_may_keep_things_to_itself(tree: KernelTree) -> None:
    (tree.view.sys / "dev/block/9:9").symlink_to(tree.view.sys)
    assert _follow((9, 9), tree.view, 16).is_rotational is None
    assert tree.view.swap_paths() == []


def test_this_machine_has_a_device_under_this_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert find_backing_device(str(file)).name
    with pytest.raises(FileNotFoundError):
        find_backing_device(str(tmp_path / "missing"))


def test_a_file_in_shared_memory_has_no_disk() -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm here to look at")
    assert find_backing_device("/dev/shm").name.endswith(":/dev/shm")


def test_this_machines_nodes_are_looked_at(tmp_path: Path) -> None:
    view = SystemView()
    assert view.node("/dev/null") == ("char", (1, 3))
    assert view.node(str(tmp_path))[0] is None
    assert not view.is_held(str(tmp_path / "missing"))
    assert not view.is_held("/dev/null")


def test_a_block_device_that_somebody_has_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_path: str, flags: int) -> int:
        assert flags & os.O_EXCL
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(os, "open", busy)
    assert SystemView().is_held("/dev/sdb")
