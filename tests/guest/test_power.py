"""The power fails, here and there: what was synced is on the disk, and file systems are whole.

The volume is on a disk that forgets what no flush covers. At a random request of the target it
"crashes", and fails what comes after; then the guest's power is cut and the target is killed. All
three start again on what is left.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.guest import load
from tests.guest.initiator import Initiator
from tests.guest.served import MIB, Served, serving
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.settings import GUEST_ROUNDS, SEED
from tests.support.target_process import ServedVolume
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.guest.figures import Figures
    from tests.guest.machine.guest import Guest

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
    with _forgetful_volume(tmp_path, driver, volume_kind) as (disk, own):
        load.make_file_system(guest, kind, _device(guest, own))
        count = 0
        for round_ in range(GUEST_ROUNDS):
            seed, requests = rng.getrandbits(32), rng.randint(40, 400)
            print(f"round {round_}: seed {seed}, crash at request {requests}")
            acknowledged = _write_until_power_fails(guest, own, disk, requests, seed)
            figures.fault(3)
            intact = _check(guest, own, kind, max(count - 1, acknowledged))
            figures.verified(intact.size_bytes)
            count = intact.count
        guest.power_off()  # Its session would wait for a target that does not come back.
    figures.values["records"] = count


@pytest.mark.slow
def test_a_host_that_does_not_flush_loses_records(guest: Guest, tmp_path: Path) -> None:
    """The test above can fail: without barriers, ext4 asks for no flush, and records are lost."""
    with _forgetful_volume(tmp_path, "io_uring", "file") as (disk, own):
        device = _device(guest, own)
        load.make_file_system(guest, "ext4", device)
        load.unmount(guest)
        load.mount(guest, device, "nobarrier")
        acknowledged = _write_until_power_fails(guest, own, disk, requests=300, seed=SEED)
        with pytest.raises(AssertionError) as found:
            _check(guest, own, "ext4", acknowledged)
        print(found.value)
        guest.power_off()


@contextlib.contextmanager
def _forgetful_volume(folder: Path, driver: str, kind: str) -> Iterator[tuple[FuseDisk, Served]]:
    with FuseDisk(size_bytes=SIZE_BYTES) as disk:
        options = {"logical_block_bytes": 512}
        volume = ServedVolume(name=VOLUME, kind=kind, path=disk.path, options=options)
        with serving([volume], folder, driver=driver) as own:
            yield disk, own


def _device(guest: Guest, own: Served) -> str:
    return Initiator(guest).login(own.target(VOLUME), own.portal).path


def _write_until_power_fails(
    guest: Guest, own: Served, disk: FuseDisk, requests: int, seed: int
) -> int:
    """Write records until all has failed, and start all again.

    Returns:
        the number of the last record that was acknowledged, -1 for none.
    """
    writing = load.RecordLog(guest).write()
    writing.wait_for(r"^ack \d+$")
    crashes = disk.stats()["crashes"]
    disk.crash_after(requests, seed=seed)
    wait_until(lambda: disk.stats()["crashes"] > crashes, "the disk has crashed", limit_s=120)
    guest.power_off()
    own.process.kill()
    acknowledged = load.acknowledged(writing.output)
    print(f"acknowledged up to {acknowledged}")
    own.process.start()
    guest.power_on()
    return acknowledged


def _check(guest: Guest, own: Served, kind: str, last: int) -> load.Intact:
    """Check file system and records after the restart; return which records there are.

    Raises:
        AssertionError: the file system is damaged, or a record up to ``last`` is not there.
    """
    device = _device(guest, own)
    load.mount(guest, device)
    load.unmount(guest)
    load.check_file_system(guest, kind, device)
    load.mount(guest, device)
    intact = load.RecordLog(guest).check()
    print(f"found {intact}")
    assert intact.count > last, f"record {last} was acknowledged; found {intact}"
    return intact
