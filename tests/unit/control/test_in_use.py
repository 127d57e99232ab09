from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.control import in_use
from fairlead.control.backing import SystemView
from fairlead.control.in_use import check_unused
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class Machine:
    """A disk sda with a partition sda1, and what uses them."""

    def __init__(self, root: Path) -> None:
        self.view = SystemView(sys=root / "sys", proc=root / "proc")
        self.disk = root / "sys/devices/sda"
        self.partition = self.disk / "sda1"
        self.partition.mkdir(parents=True)
        (self.disk / "dev").write_text("8:0\n")
        (self.partition / "dev").write_text("8:1\n")
        (self.partition / "partition").write_text("1\n")
        (root / "sys/dev/block").mkdir(parents=True)
        (root / "sys/dev/block/8:0").symlink_to(self.disk)
        (root / "sys/dev/block/8:1").symlink_to(self.partition)
        (root / "proc/self").mkdir(parents=True)
        self.mount("")

    def mount(self, text: str) -> None:
        (self.view.proc / "self/mountinfo").write_text(text)

    def in_the_way(self, path: str, device: tuple[int, int]) -> str:
        with pytest.raises(ConfigError) as caught:
            check_unused(path, device, self.view)
        return str(caught.value)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


MOUNTED = "30 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n"


def test_an_unused_device_is_taken(machine: Machine) -> None:
    check_unused("/dev/sda", (8, 0), machine.view)


def test_a_mounted_device_is_refused(machine: Machine) -> None:
    machine.mount(MOUNTED)
    assert machine.in_the_way("/dev/sda1", (8, 1)) == (
        "/dev/sda1 is mounted on /srv (unmount it first: umount /srv)"
    )


def test_a_disk_with_a_mounted_partition_is_refused(machine: Machine) -> None:
    machine.mount(MOUNTED)
    assert machine.in_the_way("/dev/sda", (8, 0)).startswith("/dev/sda1 is mounted on /srv")


def test_a_device_that_others_are_built_on_is_refused(machine: Machine) -> None:
    (machine.partition / "holders/dm-0").mkdir(parents=True)
    assert machine.in_the_way("/dev/sda", (8, 0)) == (
        "/dev/sda is in use by dm-0 (serve /dev/dm-0 instead, or take it apart first)"
    )


def test_a_swap_device_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.view.proc / "swaps").write_text("Filename Type Size\n/dev/sda1 partition 1\n")
    monkeypatch.setattr(in_use, "block_device_number", {"/dev/sda1": (8, 1)}.get)
    assert machine.in_the_way("/dev/sda", (8, 0)) == (
        "/dev/sda1 is used for swapping (first: swapoff /dev/sda1)"
    )


def test_a_swap_file_out_of_sight_is_no_obstacle(machine: Machine) -> None:
    (machine.view.proc / "swaps").write_text("Filename Type Size\n/gone/swap file 1\n")
    check_unused("/dev/sda", (8, 0), machine.view)
