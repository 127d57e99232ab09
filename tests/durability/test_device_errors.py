"""What an initiator sees of a device that fails, and what a volume does after a failed flush."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import pytest

from fairlead.testing import cdb
from fairlead.testing.client import connect
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.fault_plan import DataOp
from tests.support.target_process import ServedVolume, TargetProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fairlead.testing.client import Client

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))

BLOCK_BYTES: Final = 4096
VOLUME: Final = "failing"
NAME: Final = "iqn.2026-01.example.errors:host"
MEDIUM_ERROR: Final = 0x03
HARDWARE_ERROR: Final = 0x04
DATA_PROTECT: Final = 0x07
BUSY: Final = 0x08


@pytest.fixture
def disk() -> Iterator[FuseDisk]:
    """A disk of 1 MiB."""
    with FuseDisk(size_bytes=1 << 20) as mounted:
        yield mounted


@pytest.fixture(params=["file", "direct"])
def target(
    request: pytest.FixtureRequest, driver: str, disk: FuseDisk, tmp_path: Path
) -> Iterator[TargetProcess]:
    """Serves the disk."""
    options = {"logical_block_bytes": BLOCK_BYTES, "thin": True}
    volume = ServedVolume(name=VOLUME, kind=str(request.param), path=disk.path, options=options)
    with TargetProcess([volume], tmp_path, driver=driver) as process:
        yield process


@pytest.fixture
def client(disk: FuseDisk, target: TargetProcess) -> Iterator[Client]:
    """A logged-in initiator with no unit attention pending; afterwards the disk goes on."""
    with connect(target.portal, target.target_name(VOLUME), NAME, timeout_s=10.0) as connected:
        connected.block_bytes = BLOCK_BYTES
        connected.test_unit_ready()
        try:
            yield connected
        finally:
            disk.resume()


def test_unreadable_block_is_a_medium_error(disk: FuseDisk, client: Client) -> None:
    disk.fail(DataOp.READ, errno.EIO, start_bytes=4 * BLOCK_BYTES, end_bytes=5 * BLOCK_BYTES)
    result = client.read_16(4, 1)
    assert result.sense_code is not None
    assert result.sense_code[:2] == (MEDIUM_ERROR, 0x11)
    assert client.read_16(4, 1).is_good


def test_unwritable_block_is_a_medium_error(disk: FuseDisk, client: Client) -> None:
    disk.fail(DataOp.WRITE, errno.EIO)
    result = client.write_16(0, b"a" * BLOCK_BYTES)
    assert result.sense_code is not None
    assert result.sense_code[:2] == (MEDIUM_ERROR, 0x0C)
    assert client.write_16(0, b"a" * BLOCK_BYTES).is_good


def test_full_file_system_is_told_as_such(disk: FuseDisk, client: Client) -> None:
    """Spec: SBC-3, thin provisioning: SPACE ALLOCATION FAILED WRITE PROTECT."""
    disk.fail(DataOp.WRITE, errno.ENOSPC)
    result = client.write_16(0, b"a" * BLOCK_BYTES)
    assert result.sense_code == (DATA_PROTECT, 0x27, 0x07)


def test_failed_unmap_is_told(disk: FuseDisk, client: Client) -> None:
    disk.fail(DataOp.ZERO, errno.EIO, count=2)
    assert not client.unmap([(0, 256)]).is_good


def test_failed_flush_refuses_writes_until_cleared(
    disk: FuseDisk, target: TargetProcess, client: Client
) -> None:
    """The kernel reports lost data once; a second flush that succeeds would be a lie."""
    assert client.write_16(0, b"a" * BLOCK_BYTES).is_good
    disk.fail(DataOp.SYNC, errno.EIO)
    failed = client.synchronize_cache_16()
    assert failed.sense_code is not None
    assert failed.sense_code[0] in {MEDIUM_ERROR, HARDWARE_ERROR}
    assert not client.synchronize_cache_16().is_good
    assert not client.write_16(1, b"b" * BLOCK_BYTES).is_good
    assert not client.write_same_16(1, 1, b"b" * BLOCK_BYTES).is_good
    assert not client.unmap([(1, 1)]).is_good
    assert client.read_16(0, 1).data == b"a" * BLOCK_BYTES
    assert client.read_16(1, 1).data == bytes(BLOCK_BYTES)
    assert disk.stats()["sync"] == 0, "a flush went to the device after one had failed"
    assert [volume["fault"] for volume in target.volumes()] != [None]
    wait_until(lambda: bool(target.log_lines("volume.faulted", VOLUME)), "the fault is logged")

    target.ask("clear_fault", volume=VOLUME)
    assert client.write_16(1, b"b" * BLOCK_BYTES).is_good
    assert client.synchronize_cache_16().is_good
    assert [volume["fault"] for volume in target.volumes()] == [None]


def test_failed_forced_write_is_not_answered_good(disk: FuseDisk, client: Client) -> None:
    """FUA may be a flag of the write or a sync after it; whichever fails, the command fails."""
    disk.fail(DataOp.WRITE, errno.EIO)
    disk.fail(DataOp.SYNC, errno.EIO)
    result = client.write_16(0, b"a" * BLOCK_BYTES, flags=cdb.FUA)
    assert not result.is_good


def test_flushes_at_the_same_time_are_joined(disk: FuseDisk, client: Client) -> None:
    """One flush in flight for each volume: those that come meanwhile share the next one."""
    assert client.write_16(0, b"a" * BLOCK_BYTES).is_good
    before = disk.stats()["sync"]
    disk.stall(DataOp.SYNC)
    tags = [client.submit(0, cdb.rw_16(0x91, 0, 0)) for _ in range(20)]
    wait_until(lambda: disk.stats()["held_now"] >= 1, "the first flush is held")
    assert client.read_16(0, 1).is_good
    assert disk.stats()["held_now"] == 1
    disk.resume()
    assert all(client.wait(tag).is_good for tag in tags)
    assert disk.stats()["sync"] - before <= 2


def test_flush_that_joins_covers_its_own_writes(disk: FuseDisk, client: Client) -> None:
    """A flush that came while one was in flight is not covered by that one."""
    assert client.write_16(0, b"a" * BLOCK_BYTES).is_good
    disk.stall(DataOp.SYNC)
    first = client.submit(0, cdb.rw_16(0x91, 0, 0))
    wait_until(lambda: disk.stats()["held_now"] == 1, "the first flush is held")
    second = client.submit(0, cdb.rw_16(0x91, 0, 0))
    before = disk.stats()["sync"]
    disk.resume()
    assert client.wait(first).is_good
    assert client.wait(second).is_good
    assert disk.stats()["sync"] - before == 2
