"""What Linux makes of our disks: what it knows of them, file systems on them, space given back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.guest import load
from tests.guest.served import MIB
from tests.support.settings import GUEST_MIB

if TYPE_CHECKING:
    from tests.guest.figures import Figures
    from tests.guest.initiator import Initiator
    from tests.guest.machine.guest import Guest
    from tests.guest.served import Served

# What Linux has under /sys/block/*/, for volumes of 512 MiB. A solid volume cannot unmap, and one
# that is written through has no cache that would have to be flushed.
KNOWN = {
    "thin": {
        "size": "1048576",
        "queue/logical_block_size": "512",
        "queue/physical_block_size": "4096",
        "queue/write_cache": "write back",
        "queue/fua": "1",
        "device/scsi_disk/*/cache_type": "write back",
        "device/scsi_disk/*/thin_provisioning": "1",
        "device/scsi_disk/*/provisioning_mode": "unmap",
        "device/vendor": "FAIRLEAD",
        "ro": "0",
    },
    "solid": {
        "size": "1048576",
        "queue/logical_block_size": "512",
        "queue/discard_max_bytes": "0",
        "queue/write_cache": "write back",
        "device/scsi_disk/*/thin_provisioning": "0",
        "device/scsi_disk/*/provisioning_mode": "full",
    },
    "deep": {
        "size": "1048576",
        "queue/logical_block_size": "4096",
        "queue/physical_block_size": "4096",
        "queue/write_cache": "write through",
        "device/scsi_disk/*/cache_type": "write through",
        "device/scsi_disk/*/thin_provisioning": "1",
    },
}


@pytest.mark.parametrize("volume", KNOWN)
def test_the_kernel_knows_what_the_volume_is(
    guest: Guest, initiator: Initiator, served: Served, volume: str
) -> None:
    disk = initiator.login(served.target(volume), served.portal)
    # The disk is there before all has been asked of it.
    guest.run(f"udevadm settle; test -b {disk.path}")
    names = [*KNOWN[volume], "queue/discard_granularity"]
    paths = " ".join(f"/sys/block/{disk.name}/{name}" for name in names)
    *lines, granularity = guest.run(f"cat {paths}").output.splitlines()
    assert dict(zip(names, map(str.strip, lines), strict=False)) == KNOWN[volume]
    if volume != "solid":
        assert int(granularity) % 4096 == 0
        assert int(granularity) > 0


@pytest.mark.parametrize(
    ("volume", "kind"),
    [
        ("thin", "ext4"),
        ("deep", "xfs"),
        pytest.param("thin", "xfs", marks=pytest.mark.slow),
        pytest.param("deep", "ext4", marks=pytest.mark.slow),
    ],
)
def test_a_file_system_keeps_what_was_written(  # noqa: PLR0917 -- fixtures and parameters
    guest: Guest, initiator: Initiator, served: Served, figures: Figures, volume: str, kind: str
) -> None:
    disk = initiator.login(served.target(volume), served.portal)
    load.make_file_system(guest, kind, disk.path)
    figures.verified(load.fio(guest, f"{load.MOUNT}/data"))
    load.unmount(guest)
    initiator.logout(disk)
    served.wait_until_idle()
    # Another session: nothing of it is in the guest's memory any more.
    disk = initiator.login(served.target(volume), served.portal)
    load.check_file_system(guest, kind, disk.path)
    load.mount(guest, disk.path)
    figures.verified(load.fio(guest, f"{load.MOUNT}/data", options="--verify_only"))
    load.unmount(guest)


@pytest.mark.slow
def test_both_ways_of_writing_reach_the_disk(
    guest: Guest, initiator: Initiator, served: Served, figures: Figures
) -> None:
    """fio on the bare disk: past the guest's page cache, and through it with a sync at the end."""
    disk = initiator.login(served.target("solid"), served.portal)
    figures.verified(load.fio(guest, disk.path))
    through = "--direct=0 --ioengine=psync --fsync=0 --end_fsync=1 --invalidate=1"
    figures.verified(load.fio(guest, disk.path, options=through))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_fstrim_gives_space_back(
    guest: Guest, initiator: Initiator, served: Served, figures: Figures, kind: str
) -> None:
    """Space that the guest's file system has freed is free on this machine."""
    disk = initiator.login(served.target("thin"), served.portal)
    load.make_file_system(guest, kind, disk.path)
    guest.run(f"fstrim {load.MOUNT}", timeout=120)
    empty = served.stored_bytes("thin")
    size = max(GUEST_MIB, 8) * MIB
    guest.run(f"head -c {size} /dev/urandom >{load.MOUNT}/data && sync", timeout=120)
    full = served.stored_bytes("thin")
    assert full - empty >= size
    guest.run(f"rm {load.MOUNT}/data && sync")
    trimmed = guest.run(f"fstrim -v {load.MOUNT}", timeout=120).output
    assert re.search(r"trimmed", trimmed)
    left = served.stored_bytes("thin")
    figures.values["bytes_freed"] = full - left
    assert left - empty < size // 8, f"{full - left} of {size} bytes came back"
    load.unmount(guest)
    load.check_file_system(guest, kind, disk.path)
