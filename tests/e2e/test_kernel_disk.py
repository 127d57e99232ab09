"""The disk with a head under a loop device: through the kernel it takes as long as it should."""

from __future__ import annotations

import contextlib
import mmap
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.fairness import kernel_io
from bench.kernel_contexts.block_disk import BFQ, NONE, SeekingDisk, why_no_disks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.quiet,
    pytest.mark.root,
    pytest.mark.skipif(why_no_disks() is not None, reason=str(why_no_disks())),
]
PIECE = 128 << 10
SEQUENTIAL, APART = 60, 20


def test_half_a_disk_apart_it_is_at_least_five_times_slower(tmp_path: Path) -> None:
    with SeekingDisk(tmp_path, parts=2) as disk:
        disk.use(NONE)
        first, second = disk.volumes
        with _opened(first) as near, _opened(second) as far:
            in_order_s = [_read_s(near, place * PIECE) for place in range(SEQUENTIAL)]
            apart_s = [
                _read_s((near, far)[place % 2], (SEQUENTIAL + place) * PIECE)
                for place in range(APART)
            ]
    in_order_ms = statistics.median(in_order_s) * 1e3
    apart_ms = statistics.median(apart_s) * 1e3
    print(f"{in_order_ms:.2f} ms in order, {apart_ms:.2f} ms apart; {disk.stats}")
    assert in_order_ms >= 1.5
    assert apart_ms >= 16
    assert apart_ms / in_order_ms >= 5
    assert disk.stats["answered"] >= SEQUENTIAL + APART


def test_everything_is_given_back(tmp_path: Path) -> None:
    """After a Ctrl-C, too."""
    interrupted = contextlib.suppress(KeyboardInterrupt)
    with interrupted, SeekingDisk(tmp_path, parts=2) as disk:
        disk.use(NONE)
        place = kernel_io.disk_of(disk.volumes[0])
        device = disk.volumes[0].with_name(place.name)
        assert (place / "queue" / "rotational").read_text() == "1\n"
        raise KeyboardInterrupt
    assert not any(path.exists() for path in disk.volumes)
    attached = subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True)
    assert f"{device} " not in attached.stdout
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_an_elevator_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        SeekingDisk(tmp_path, parts=0) as disk,
        pytest.raises(kernel_io.KernelIoError, match="no elevator stairs"),
    ):
        disk.use("stairs")


def test_bfq_keeps_to_shares_alone(tmp_path: Path) -> None:
    with SeekingDisk(tmp_path, parts=0) as disk:
        place = kernel_io.disk_of(disk.volumes[0])
        before, known = kernel_io.elevators_of(place)
        if BFQ not in known:
            pytest.skip("the kernel has no BFQ")
        disk.use(BFQ)
        assert kernel_io.elevators_of(place)[0] == BFQ
        assert (place / "queue" / "iosched" / "low_latency").read_text() == "0\n"
    assert kernel_io.elevators_of(place)[0] == before


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_s(descriptor: int, offset: int) -> float:
    with mmap.mmap(-1, PIECE) as buffer:
        began_s = time.perf_counter()
        length = os.preadv(descriptor, [buffer], offset)
        took_s = time.perf_counter() - began_s
        assert length == PIECE
        assert not any(buffer[:4096])
        return took_s
