"""The power fails, here and there: what was synced is on the disk, and file systems are whole.

The volume is on a disk that forgets what no flush covers. At a random request of the target it
"crashes", and fails what comes after; then the guest's power is cut and the target is killed. All
three start again on what is left.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.guest import load
from tests.guest.initiator import Initiator
from tests.guest.served import MIB, serving
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.settings import GUEST_ROUNDS, SEED
from tests.support.target_process import ServedVolume
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guest.figures import Figures
    from tests.guest.machine.guest import Guest
    from tests.guest.served import Served

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))

VOLUME = "forgetful"
SIZE_BYTES = 320 * MIB  # mkfs.xfs takes no less than 300.


@pytest.mark.parametrize(
    ("kind", "driver", "volume_kind"),
    [
        ("ext4", "io_uring", "file"),
        pytest.param("xfs", "threads", "direct", marks=pytest.mark.slow),
    ],
)
def test_synced_records_outlive_a_power_cut(  # noqa: PLR0917 -- fixtures and parameters
    guest: Guest, figures: Figures, tmp_path: Path, kind: str, driver: str, volume_kind: str
) -> None:
    rng = random.Random(f"{SEED} {kind}")
    with FuseDisk(size_bytes=SIZE_BYTES) as disk:
        volume = ServedVolume(
            name=VOLUME, kind=volume_kind, path=disk.path, options={"logical_block_bytes": 512}
        )
        with serving([volume], tmp_path, driver=driver) as own:
            device = Initiator(guest).login(own.target(VOLUME), own.portal).path
            load.make_file_system(guest, kind, device)
            count = 0
            for round_ in range(GUEST_ROUNDS):
                seed, requests = rng.getrandbits(32), rng.randint(40, 400)
                print(f"round {round_}: seed {seed}, crash at request {requests}")
                acknowledged = _write_until_crash(guest, disk, requests, seed)
                own.process.kill()
                figures.fault(3)
                own.process.start()
                guest.power_on()
                count = _check(guest, own, kind, max(count - 1, acknowledged), figures)
            guest.power_off()  # Its session would wait for a target that does not come back.
    figures.values["records"] = count


def _write_until_crash(guest: Guest, disk: FuseDisk, requests: int, seed: int) -> int:
    """Write records until the disk has crashed; return the last one that was acknowledged."""
    log = load.RecordLog(guest)
    writing = log.write()
    writing.wait_for(r"^ack \d+$")
    crashes = disk.stats()["crashes"]
    disk.crash_after(requests, seed=seed)
    wait_until(lambda: disk.stats()["crashes"] > crashes, "the disk has crashed", limit_s=120)
    guest.power_off()
    acknowledged = load.acknowledged(writing.output)
    print(f"acknowledged up to {acknowledged}")
    return acknowledged


def _check(guest: Guest, own: Served, kind: str, last: int, figures: Figures) -> int:
    """Check file system and records after the restart; return how many records there are."""
    device = Initiator(guest).login(own.target(VOLUME), own.portal).path
    load.mount(guest, device)
    load.unmount(guest)
    load.check_file_system(guest, kind, device)
    load.mount(guest, device)
    intact = load.RecordLog(guest).check()
    print(f"intact: {intact}")
    assert intact.count > last, f"record {last} was acknowledged; found {intact}"
    figures.verified(intact.size_bytes)
    return intact.count
