from __future__ import annotations

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

if TYPE_CHECKING:
    from pathlib import Path


class Tree:
    """A /sys and /proc with the disks of the test."""

    def __init__(self, root: Path) -> None:
        self.view = SystemView(sys=root / "sys", proc=root / "proc")
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/mountinfo").write_text("")
        (root / "sys/dev/block").mkdir(parents=True)

    def disk(self, name: str, number: str, *, rotational: str = "0", below: str = "block") -> Path:
        directory = self.view.sys / "devices" / below / name
        (directory / "queue").mkdir(parents=True)
        (directory / "queue/rotational").write_text(f"{rotational}\n")
        (directory / "queue/discard_max_bytes").write_text("0\n")
        self._number(directory, number)
        return directory

    def partition(self, disk: Path, name: str, number: str) -> Path:
        directory = disk / name
        directory.mkdir()
        (directory / "partition").write_text("1\n")
        self._number(directory, number)
        return directory

    def stack(self, name: str, number: str, *below: Path) -> Path:
        directory = self.disk(name, number)
        (directory / "slaves").mkdir()
        for slave in below:
            (directory / "slaves" / slave.name).symlink_to(slave)
        return directory

    def _number(self, directory: Path, number: str) -> None:
        (directory / "dev").write_text(f"{number}\n")
        (self.view.sys / "dev/block" / number).symlink_to(directory)

    def name(self, major: int, minor: int) -> str:
        return _follow((major, minor), self.view, 16).name


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_partition_leads_to_its_disk(tree: Tree) -> None:
    sda = tree.disk("sda", "8:0", rotational="1")
    tree.partition(sda, "sda1", "8:1")
    assert _follow((8, 1), tree.view, 16) == BackingDevice("sda", True, False)


def test_dm_over_one_disk_leads_to_it(tree: Tree) -> None:
    sda = tree.disk("sda", "8:0")
    first, second = tree.partition(sda, "sda1", "8:1"), tree.partition(sda, "sda2", "8:2")
    tree.stack("dm-0", "253:0", first, second)
    tree.stack("dm-1", "253:1", tree.view.sys / "devices/block/dm-0")
    assert tree.name(253, 1) == "sda"


def test_dm_over_several_disks_stands_for_itself(tree: Tree) -> None:
    tree.stack("dm-0", "253:0", tree.disk("sda", "8:0"), tree.disk("sdb", "8:16"))
    assert tree.name(253, 0) == "dm-0"


def test_loop_leads_to_the_disk_of_its_file(tree: Tree, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    major, minor = device_number(image.stat())
    tree.disk("nvme0n1", f"{major}:{minor}")
    loop = tree.disk("loop0", "7:0")
    (loop / "loop").mkdir()
    (loop / "loop/backing_file").write_text(f"{image}\n")
    assert tree.name(7, 0) == "nvme0n1"
    (loop / "loop/backing_file").write_text("/gone (deleted)\n")
    assert tree.name(7, 0) == "loop0"


def test_layers_are_bounded(tree: Tree) -> None:
    first = tree.disk("dm-0", "253:0")
    second = tree.stack("dm-1", "253:1", first)
    (first / "slaves").mkdir()
    (first / "slaves/dm-1").symlink_to(second)
    assert tree.name(253, 0).startswith("dm-")


def test_a_file_system_without_a_disk_is_named_after_its_mount(tree: Tree) -> None:
    (tree.view.proc / "self/mountinfo").write_text(
        "30 1 0:44 / /run/my\\040files rw,nosuid shared:5 - tmpfs tmpfs rw\n"
    )
    assert tree.name(0, 44) == "tmpfs:/run/my files"
    assert tree.name(0, 45) == "device 0:45"
    assert tree.view.mounts() == [Mount((0, 44), "/run/my files", "tmpfs", "tmpfs")]


def test_the_kernel_may_keep_things_to_itself(tree: Tree) -> None:
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
