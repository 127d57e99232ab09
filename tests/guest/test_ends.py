"""Sessions and targets that end while Linux writes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.guest import load
from tests.guest.served import MIB, Served, serving
from tests.support.settings import GUEST_MIB, GUEST_ROUNDS
from tests.support.target_process import ServedVolume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.guest.figures import Figures
    from tests.guest.initiator import Disk, Initiator
    from tests.guest.machine.guest import Guest, Running

VOLUME = "own"
# A record is acknowledged several times a second; after a restart iscsid waits for some seconds.
PATIENCE_S = 120.0


@pytest.fixture
def own(driver: str, tmp_path: Path) -> Iterator[Served]:
    """A target that may be ended."""
    volume = ServedVolume(
        name=VOLUME, path=tmp_path / "own.img", size_bytes=320 * MIB, options={"thin": True}
    )
    with serving([volume], tmp_path, driver=driver) as served:
        yield served


def test_logout_under_load_leaves_nothing(
    guest: Guest, initiator: Initiator, served: Served, figures: Figures
) -> None:
    for _ in range(GUEST_ROUNDS):
        disk = initiator.login(served.target("solid"), served.portal)
        writing = guest.start(load.fio_command(disk.path, mib=GUEST_MIB, options="--loops=100"))
        load.wait_for_requests(guest, disk.name, 20)
        initiator.logout(disk)
        figures.fault()
        done = writing.wait()
        assert done.status != 0, "fio noticed nothing"
        served.wait_until_idle()


@pytest.mark.parametrize(
    ("driver", "number"),
    [
        pytest.param("io_uring", signal.SIGKILL, id="io_uring-kill -9"),
        pytest.param("threads", signal.SIGTERM, id="threads-stop"),
        pytest.param("io_uring", signal.SIGTERM, id="io_uring-stop", marks=pytest.mark.slow),
        pytest.param("threads", signal.SIGKILL, id="threads-kill -9", marks=pytest.mark.slow),
    ],
)
def test_a_file_system_outlives_a_restart_of_the_target(
    guest: Guest, initiator: Initiator, own: Served, figures: Figures, number: signal.Signals
) -> None:
    """Linux waits, logs in again and goes on; every record is there, none twice or torn."""
    disk = initiator.login(own.target(VOLUME), own.portal)
    load.make_file_system(guest, "ext4", disk.path)
    log = load.RecordLog(guest)
    writing = log.write()
    for _ in range(GUEST_ROUNDS):
        _wait_for_records(writing, 10)
        if number is signal.SIGKILL:
            own.process.kill()
        else:
            assert own.process.stop() == 0
        figures.fault()
        own.process.start()
        # Whatever was under way at the end, these were begun after the new start.
        _wait_for_records(writing, 10)
    last = load.acknowledged(writing.output)
    writing.kill()
    writing.wait()
    _check_records(guest, log, disk, last, figures)
    load.unmount(guest)
    load.check_file_system(guest, "ext4", disk.path)
    initiator.logout(disk)
    own.wait_until_idle()


def _wait_for_records(writing: Running, count: int) -> None:
    """Wait until that many more records are acknowledged."""
    number = load.acknowledged(writing.output) + count
    writing.wait_for(rf"^ack {number}$", PATIENCE_S)


def _check_records(
    guest: Guest, log: load.RecordLog, disk: Disk, last: int, figures: Figures
) -> None:
    # Once more from the disk, not from the guest's memory.
    load.unmount(guest)
    load.mount(guest, disk.path)
    intact = log.check()
    assert intact.count > last, f"record {last} was acknowledged; found {intact}"
    figures.verified(intact.size_bytes)
    figures.values["records"] = intact.count
