from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.control.kernel_findings import effective_user, find_kernel
from fairlead.dataplane.fake import FakeProbe
from fairlead.dataplane.kernel import KernelProbe
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> KernelTree:
    return KernelTree(tmp_path)


def test_a_kernel_that_has_everything(tree: KernelTree) -> None:
    directory = tree.blkio()
    probe = FakeProbe()
    found = find_kernel(tree.view, probe, wants_cgroups=True, is_polled=True)
    assert found.release == "6.1.0-test"
    assert (found.user, found.is_root) == (0, True)
    assert found.capabilities == ("CAP_SYS_ADMIN", "CAP_SYS_NICE")
    assert (found.io_uring_disabled, found.io_uring_remedy) == (None, None)
    assert found.cgroup.usable == str(directory)
    assert found.probe == KernelProbe()
    assert probe.asked == [(str(directory), True)]


def test_the_effective_user_counts(tree: KernelTree) -> None:
    tree.user(1000)
    found = find_kernel(tree.view, FakeProbe(), wants_cgroups=False, is_polled=False)
    assert (found.user, found.is_root, found.capabilities) == (1000, False, ())
    (tree.view.proc / "self/status").unlink()
    assert effective_user(tree.view) == -1  # Nobody's, and so not root's.


@pytest.mark.parametrize(("setting", "has_remedy"), [("0", False), ("1", True), ("2", True)])
def test_a_setting_that_forbids_rings_is_named(
    tree: KernelTree, setting: str, has_remedy: bool
) -> None:
    tree.write("sys/kernel/io_uring_disabled", f"{setting}\n")
    found = find_kernel(tree.view, FakeProbe(), wants_cgroups=False, is_polled=False)
    assert found.io_uring_disabled == int(setting)
    assert (found.io_uring_remedy is not None) is has_remedy


def test_the_kernel_has_the_last_word_about_groups(tree: KernelTree) -> None:
    directory = tree.blkio()
    probe = FakeProbe(cgroup="Read-only file system (os error 30)")
    found = find_kernel(tree.view, probe, wants_cgroups=True, is_polled=False)
    assert found.cgroup.usable is None
    assert found.cgroup.reason == (
        f"no group can be made in {directory}: Read-only file system (os error 30)"
    )


def test_groups_that_nobody_wants_are_not_tried(tree: KernelTree) -> None:
    tree.blkio()
    probe = FakeProbe(cgroup="not asked")
    found = find_kernel(tree.view, probe, wants_cgroups=False, is_polled=False)
    assert probe.asked == [(None, False)]
    assert found.cgroup.reason is None
