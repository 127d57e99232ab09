from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fairlead.control.backing import SystemView
from fairlead.control.blkio_group import BlkioGroup, find_blkio_group, remove_leftovers
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> KernelTree:
    return KernelTree(tmp_path)


def test_the_own_group_serves(tree: KernelTree) -> None:
    directory = tree.blkio("/machine/fairlead")
    found = find_blkio_group(tree.view, 0)
    assert found == BlkioGroup(directory=str(directory), version=1)
    assert found.usable == str(directory)


def test_a_container_sees_a_part_of_the_hierarchy(tree: KernelTree) -> None:
    directory = tree.blkio("/")
    mountinfo = tree.view.proc / "self/mountinfo"
    mountinfo.write_text(mountinfo.read_text().replace(" / ", " /docker/1 "))
    tree.write("self/cgroup", "7:cpu,blkio:/docker/1\n")
    assert find_blkio_group(tree.view, 0).usable == str(directory)
    tree.write("self/cgroup", "7:blkio:/elsewhere\n")
    found = find_blkio_group(tree.view, 0)
    assert found.usable is None
    assert found.reason == (f"the blkio group of this process is not to be seen below {directory}")


def test_without_bfq_groups_have_no_weights(tree: KernelTree) -> None:
    tree.blkio(has_weights=False)
    found = find_blkio_group(tree.view, 0)
    assert (found.usable, found.version, found.remedy) == (None, 1, "modprobe bfq")
    assert "CONFIG_BFQ_GROUP_IOSCHED" in (found.reason or "")


def test_who_may_not_write_is_told_how_to_be_allowed(
    tree: KernelTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tree.blkio()
    monkeypatch.setattr(SystemView, "can_write", lambda *_: False)
    found = find_blkio_group(tree.view, 1000)
    assert found.reason == f"user 1000 may not make groups in {directory}"
    assert found.remedy == f"sudo chown -R 1000 {directory}"


def test_cgroup_v2_has_groups_for_processes_alone(tree: KernelTree, tmp_path: Path) -> None:
    tree.mount("0:36", tmp_path, "cgroup2", "cgroup2")
    (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")
    found = find_blkio_group(tree.view, 0)
    assert (found.version, found.usable, found.remedy) == (2, None, None)
    assert "by process" in (found.reason or "")


def test_what_is_not_mounted_can_be(tree: KernelTree, tmp_path: Path) -> None:
    found = find_blkio_group(tree.view, 0)
    assert (found.version, found.usable) == (None, None)
    assert "mount -t cgroup -o blkio" in (found.remedy or "")
    # A v2 hierarchy without the controller is no better and no worse.
    tree.mount("0:36", tmp_path / "none", "cgroup2", "cgroup2")
    assert find_blkio_group(tree.view, 0) == found


def test_a_process_that_cannot_see_what_is_mounted_has_no_groups(tree: KernelTree) -> None:
    (tree.view.proc / "self/mountinfo").unlink()
    found = find_blkio_group(tree.view, 0)
    assert (found.usable, found.version) == (None, None)
    assert "mountinfo" in (found.reason or "")


def test_leftovers_of_dead_processes_go(tree: KernelTree) -> None:
    directory = tree.blkio()
    (tree.view.proc / "7").mkdir()
    for name in ("fairlead.7.0", "fairlead.8.0", "fairlead.8.1", "fairlead.x.1", "other.9.1"):
        (directory / name).mkdir()
    (directory / "fairlead.8.1/tasks").touch()  # Not empty: the kernel refuses, and so be it.
    assert remove_leftovers(str(directory), tree.view) == ["fairlead.8.0"]
    assert sorted(path.name for path in directory.iterdir() if path.is_dir()) == [
        *("fairlead.7.0", "fairlead.8.1", "fairlead.x.1", "other.9.1")
    ]


def test_this_machine_is_looked_at_without_harm() -> None:
    found = find_blkio_group(SystemView(), os.geteuid())
    assert (found.usable is None) == (found.reason is not None)
