from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.control import block_stack
from fairlead.control.backing import SystemView
from fairlead.control.block_stack import Place, find_place, look_again
from tests.support.kernel_tree import ALL_ELEVATORS, KernelTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> KernelTree:
    return KernelTree(tmp_path)


def place_of(tree: KernelTree, directory: Path) -> Place:
    return block_stack._walk([directory])


def elevators(place: Place) -> dict[str, str | None]:
    return {disk.name: disk.elevator for disk in place.disks}


def test_a_file_is_on_the_disk_of_its_file_system(tree: KernelTree, tmp_path: Path) -> None:
    disk = tree.disk_below(tmp_path, "sda", "bfq")
    number = (disk / "dev").read_text().strip()
    tree.mount(number, tmp_path, "ext4", "/dev/sda")
    file = tmp_path / "file"
    file.touch()
    [found] = find_place(str(file), tree.view).disks
    assert (found.name, found.elevator, found.elevators) == ("sda", "bfq", ALL_ELEVATORS)
    assert found.setting == "/sys/block/sda/queue/scheduler"
    assert find_place(str(file), tree.view).file_system == "ext4"


def test_what_is_not_there_yet_will_be_on_the_disk_of_its_directory(
    tree: KernelTree, tmp_path: Path
) -> None:
    tree.disk_below(tmp_path, "sda", "bfq")
    place = find_place(str(tmp_path / "no/such/file"), tree.view)
    assert elevators(place) == {"sda": "bfq"}


@pytest.mark.parametrize(("text", "guesses"), [("1\n", True), ("0\n", False), (None, False)])
def test_bfq_says_whether_it_guesses(
    tree: KernelTree, tmp_path: Path, text: str | None, guesses: bool
) -> None:
    disk = tree.disk_below(tmp_path, "sda", "bfq")
    if text is not None:
        (disk / "queue/iosched").mkdir()
        (disk / "queue/iosched/low_latency").write_text(text)
    [found] = find_place(str(tmp_path / "file"), tree.view).disks
    assert found.guesses is guesses


def test_a_partition_has_the_elevator_of_its_disk(tree: KernelTree) -> None:
    disk = tree.disk("sda", "8:0")
    tree.elevator(disk, "kyber")
    partition = tree.partition(disk, "sda1", "8:1")
    assert elevators(place_of(tree, partition)) == {"sda": "kyber"}


def test_a_loop_device_is_where_contexts_end(tree: KernelTree, tmp_path: Path) -> None:
    tree.disk_below(tmp_path, "sda", "mq-deadline")
    loop = tree.loop("loop0", "7:0", str(tmp_path))
    tree.elevator(loop, "bfq")
    [found] = place_of(tree, loop).disks
    assert (found.name, found.elevator, found.is_loop) == ("loop0", "bfq", True)
    # Also one of a kernel without elevators.
    tree.elevator(loop, "none", ("none",))
    assert elevators(place_of(tree, loop)) == {"loop0": "none"}


def test_dm_and_md_pass_on_to_every_disk_below(tree: KernelTree) -> None:
    sda, sdb = tree.disk("sda", "8:0"), tree.disk("sdb", "8:16")
    tree.elevator(sda, "bfq")
    tree.elevator(sdb, "none")
    md = tree.stack("md0", "9:0", tree.partition(sda, "sda1", "8:1"), sdb)
    # Older kernels show such devices a file with nothing to choose, newer ones show none.
    (md / "queue/scheduler").write_text("none\n")
    top = tree.stack("dm-0", "253:0", md)
    assert elevators(place_of(tree, top)) == {"sda": "bfq", "sdb": "none"}


def test_dm_that_queues_requests_is_the_first_disk(tree: KernelTree) -> None:
    sda = tree.disk("sda", "8:0")
    tree.elevator(sda, "bfq")
    multipath = tree.stack("dm-0", "253:0", sda)
    tree.elevator(multipath, "mq-deadline")
    assert elevators(place_of(tree, multipath)) == {"dm-0": "mq-deadline"}


def test_a_disk_that_can_have_no_elevator_says_so(tree: KernelTree) -> None:
    assert elevators(place_of(tree, tree.disk("zram0", "252:0"))) == {"zram0": None}


def test_layers_that_hand_writes_to_threads_are_named(tree: KernelTree) -> None:
    sda = tree.disk("sda", "8:0")
    crypt = tree.stack("dm-0", "253:0", sda)
    raid = tree.stack("md0", "9:0", crypt)
    mirror = tree.stack("md1", "9:1", raid)
    for directory, name, text in (
        (crypt, "dm/uuid", "CRYPT-LUKS2-0123-x\n"),
        (raid, "md/level", "raid5\n"),
        (mirror, "md/level", "raid1\n"),
    ):
        (directory / name).parent.mkdir()
        (directory / name).write_text(text)
    place = place_of(tree, mirror)
    assert place.writes_by_threads == ("md0 (raid5)", "dm-0 (dm-crypt)")
    assert elevators(place) == {"sda": None}


def test_btrfs_is_on_all_its_devices(
    tree: KernelTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = [tree.disk("sda", "8:0"), tree.disk("sdb", "8:16"), tree.disk("sdc", "8:32")]
    for disk in disks:
        tree.elevator(disk, "bfq")
    devices = tree.view.sys / "fs/btrfs/0123/devices"
    devices.mkdir(parents=True)
    for disk in disks[:2]:
        (devices / disk.name).symlink_to(disk)
    monkeypatch.setattr(block_stack, "block_device_number", {"/dev/sda": (8, 0)}.get)
    # Its subvolumes have numbers that no mount has; the longest mount point tells.
    tree.mount("0:1", "/", "ext4", "/dev/sdc")
    tree.mount("0:2", tmp_path, "btrfs", "/dev/sda")
    place = find_place(str(tmp_path), tree.view)
    assert elevators(place) == {"sda": "bfq", "sdb": "bfq"}
    assert place.file_system == "btrfs"


def test_the_number_of_a_mount_says_more_than_its_place(tree: KernelTree, tmp_path: Path) -> None:
    number = (tree.disk_below(tmp_path, "sda", "bfq") / "dev").read_text().strip()
    tree.mount(number, "/elsewhere", "xfs", "/dev/sda")
    tree.mount("0:9", tmp_path, "nfs", "server:/share")
    assert find_place(str(tmp_path), tree.view).file_system == "xfs"


@pytest.mark.parametrize(
    ("file_system", "is_threaded"),
    [
        ("ext4", False),
        ("fuse", True),
        ("fuse.sshfs", True),
        ("fuseblk", True),
        ("nfs4", True),
        ("xfs", False),
        (None, False),
    ],
)
def test_file_systems_that_answer_by_threads(file_system: str | None, is_threaded: bool) -> None:
    assert Place(disks=(), file_system=file_system).is_threaded is is_threaded


def test_a_file_system_without_a_disk_has_none(tree: KernelTree, tmp_path: Path) -> None:
    tree.mount("0:9", tmp_path, "tmpfs", "tmpfs")
    place = find_place(str(tmp_path), tree.view)
    assert (place.disks, place.file_system) == ((), "tmpfs")


def test_a_second_look_sees_another_elevator(tree: KernelTree) -> None:
    disk = tree.disk("sda", "8:0")
    tree.elevator(disk, "bfq")
    place = place_of(tree, disk)
    tree.elevator(disk, "none")
    assert elevators(place) == {"sda": "bfq"}
    assert elevators(look_again(place)) == {"sda": "none"}


def test_a_block_device_is_on_itself() -> None:
    # Every machine has one that needs no right to be looked at.
    for name in ("/dev/loop0", "/dev/vda", "/dev/sda", "/dev/nvme0n1"):
        try:
            place = find_place(name, SystemView())
        except OSError:
            continue
        if place.file_system is None:
            assert place.disks
            return
    pytest.skip("no block device here to look at")
