"""What the kernel still holds for a killed process must not land on what comes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from fairlead.testing import cdb
from fairlead.testing.client import connect
from tests.durability.served_model import VOLUME
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.fault_plan import DataOp
from tests.support.target_process import STOP_TIMEOUT_S, ServedVolume, TargetProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.testing.client import Client

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))

BLOCKS: Final = 64
BLOCK_BYTES: Final = 4096
NAME: Final = "iqn.2026-01.example.restart:host"
# How long the new process is watched for not being ready. It would be, within half of this.
WATCHED_S: Final = 2.0


@pytest.mark.parametrize("kind", ["file", "direct"])
def test_restart_waits_for_the_last_write_of_the_killed_process(
    driver: str, kind: str, tmp_path: Path
) -> None:
    options = {"logical_block_bytes": BLOCK_BYTES}
    with FuseDisk(size_bytes=BLOCKS * BLOCK_BYTES) as disk:
        volume = ServedVolume(name=VOLUME, kind=kind, path=disk.path, options=options)
        with TargetProcess([volume], tmp_path, driver=driver) as target:
            _begin_writes(target, disk)
            target.kill(waits=False)
            old = target.detach()
            try:
                target.begin()
                assert not target.wait_ready(WATCHED_S), "served before the old writes had landed"
                assert disk.stats()["held_now"] > 0
            finally:
                disk.resume(shuffle_seed=1)
                old.wait(STOP_TIMEOUT_S)
            assert target.wait_ready(STOP_TIMEOUT_S), target.log_text()
            with _connected(target) as client:
                client.write_16(0, b"n" * (BLOCKS * BLOCK_BYTES))
                assert client.read_16(0, BLOCKS).data == b"n" * (BLOCKS * BLOCK_BYTES)
                client.synchronize_cache_16()
        assert disk.path.read_bytes() == b"n" * (BLOCKS * BLOCK_BYTES)


def _begin_writes(target: TargetProcess, disk: FuseDisk) -> None:
    """Have some writes held by the disk; the connection ends without their answers."""
    with _connected(target) as client:
        disk.stall(DataOp.WRITE)
        for lba in range(BLOCKS):
            client.submit(0, _write_16(lba), b"o" * BLOCK_BYTES)
        wait_until(lambda: disk.stats()["held_now"] >= 1, "a write is held by the disk")


def _connected(target: TargetProcess) -> Client:
    client = connect(target.portal, target.target_name(VOLUME), NAME)
    client.block_bytes = BLOCK_BYTES
    client.test_unit_ready()
    return client


def _write_16(lba: int) -> bytes:
    return cdb.rw_16(0x8A, lba, 1)
