"""The FUSE disk itself: what it promises to the tests that rely on it, by plain system calls."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.block_model import BlockModel, Effect, IllegalBlockError
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.fault_plan import DataOp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE_BYTES = 4 << 20
BLOCK_BYTES = 4096
_PUNCH_HOLE = 0x02 | 0x01
_ZERO_RANGE = 0x10 | 0x01

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))


@pytest.fixture
def disk() -> Iterator[FuseDisk]:
    """An empty disk without a page cache in front of it."""
    with FuseDisk(size_bytes=SIZE_BYTES) as mounted:
        yield mounted


@pytest.fixture
def cached_disk() -> Iterator[FuseDisk]:
    """An empty disk with the kernel's page cache in front of it."""
    with FuseDisk(size_bytes=SIZE_BYTES, has_page_cache=True) as mounted:
        yield mounted


def test_every_system_call_reaches_the_disk(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        for _ in range(3):
            os.pwrite(fd, b"a" * 512, 0)
            assert os.pread(fd, 512, 0) == b"a" * 512
        os.fsync(fd)
        os.fdatasync(fd)
    stats = disk.stats()
    assert (stats["write"], stats["read"]) == (3, 3)
    assert (stats["fsync"], stats["fdatasync"]) == (1, 1)


def test_page_cache_keeps_reads_from_the_disk(cached_disk: FuseDisk) -> None:
    with _opened(cached_disk) as fd:
        os.pwrite(fd, b"a" * BLOCK_BYTES, 0)
        for _ in range(3):
            os.pread(fd, BLOCK_BYTES, 0)
    stats = cached_disk.stats()
    assert (stats["write"], stats["read"]) == (1, 0)


def test_unsynced_writes_are_dropped_and_kept_at_random(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        for block in range(64):
            os.pwrite(fd, b"a" * BLOCK_BYTES, block * BLOCK_BYTES)
        report = disk.forget(seed=1)
    assert report["volatile"] == 64
    with _opened(disk) as fd:
        survivors = [os.pread(fd, BLOCK_BYTES, b * BLOCK_BYTES) for b in range(64)]
    assert set(survivors) == {b"a" * BLOCK_BYTES, bytes(BLOCK_BYTES)}
    assert survivors.count(bytes(BLOCK_BYTES)) == report["dropped"]


def test_same_seed_forgets_the_same() -> None:
    images = []
    for _ in range(2):
        with FuseDisk(size_bytes=SIZE_BYTES) as disk:
            with _opened(disk) as fd:
                for block in range(SIZE_BYTES // BLOCK_BYTES):
                    os.pwrite(fd, b"a" * BLOCK_BYTES, block * BLOCK_BYTES)
                disk.forget(seed=99)
            images.append(_content(disk))
    assert images[0] == images[1]
    assert set(images[0]) == {0, ord("a")}


@pytest.mark.parametrize("sync", [os.fsync, os.fdatasync])
def test_synced_writes_survive(disk: FuseDisk, sync: Callable[[int], None]) -> None:
    with _opened(disk) as fd:
        os.pwrite(fd, b"a" * SIZE_BYTES, 0)
        sync(fd)
        disk.forget(seed=2)
    assert _content(disk) == b"a" * SIZE_BYTES


@pytest.mark.parametrize("flag", [os.RWF_DSYNC, os.RWF_SYNC])
def test_write_with_sync_flag_survives_alone(disk: FuseDisk, flag: int) -> None:
    """The kernel hands RWF_DSYNC of a direct_io file down in the request, without an fsync."""
    with _opened(disk) as fd:
        os.pwrite(fd, b"b" * (SIZE_BYTES // 2), SIZE_BYTES // 2)
        os.pwritev(fd, [b"a" * (SIZE_BYTES // 2)], 0, flag)
        assert disk.stats()["durable_writes"] >= 1
        assert disk.stats()["sync"] == 0
        disk.forget(seed=3)
    content = _content(disk)
    assert content[: SIZE_BYTES // 2] == b"a" * (SIZE_BYTES // 2)
    assert content[SIZE_BYTES // 2 :].count(0) > 0


@pytest.mark.parametrize("flag", [os.O_DSYNC, os.O_SYNC, os.O_DSYNC | os.O_DIRECT])
def test_write_through_open_flag_survives(disk: FuseDisk, flag: int) -> None:
    data = mmap.mmap(-1, SIZE_BYTES)
    data.write(b"a" * SIZE_BYTES)
    with _opened(disk, flag) as fd:
        os.pwritev(fd, [data], 0)
        disk.forget(seed=4)
    assert _content(disk) == b"a" * SIZE_BYTES


def test_page_cache_forgets_what_the_disk_forgot(cached_disk: FuseDisk) -> None:
    with _opened(cached_disk) as fd:
        os.pwrite(fd, b"a" * SIZE_BYTES, 0)
        assert os.pread(fd, SIZE_BYTES, 0) == b"a" * SIZE_BYTES
        assert cached_disk.forget(seed=5)["dropped"] > 0
    assert 0 in _content(cached_disk)


def test_rewritten_block_may_hold_any_later_content(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        os.pwrite(fd, b"a" * SIZE_BYTES, 0)
        os.fdatasync(fd)
        for letter in b"bcd":
            os.pwrite(fd, bytes([letter]) * SIZE_BYTES, 0)
        disk.forget(seed=7)
    assert set(_content(disk)) == set(b"abcd")


def test_descriptors_from_before_the_crash_are_dead(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        disk.forget(seed=8)
        for call in (
            lambda: os.pread(fd, 512, 0),
            lambda: os.pwrite(fd, b"late", 0),
            lambda: os.fdatasync(fd),
        ):
            with pytest.raises(OSError, match="Input/output error"):
                call()
    assert _content(disk) == bytes(SIZE_BYTES)


@pytest.mark.parametrize("mode", [_PUNCH_HOLE, _ZERO_RANGE])
def test_zeroing_is_volatile_until_synced(disk: FuseDisk, mode: int) -> None:
    with _opened(disk) as fd:
        os.pwritev(fd, [b"a" * SIZE_BYTES], 0, os.RWF_DSYNC)
        _fallocate(fd, mode, 0, SIZE_BYTES // 2)
        os.fdatasync(fd)
        _fallocate(fd, mode, SIZE_BYTES // 2, SIZE_BYTES // 2)
        assert os.pread(fd, SIZE_BYTES, 0) == bytes(SIZE_BYTES)
        disk.forget(seed=9)
    content = _content(disk)
    assert content[: SIZE_BYTES // 2] == bytes(SIZE_BYTES // 2)
    assert set(content[SIZE_BYTES // 2 :]) == {0, ord("a")}


def test_truncate_sets_the_size(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        os.pwrite(fd, b"a" * SIZE_BYTES, 0)
        os.ftruncate(fd, 1000)
        os.ftruncate(fd, 2 * SIZE_BYTES)
        assert os.fstat(fd).st_size == 2 * SIZE_BYTES
        assert os.pread(fd, 2 * SIZE_BYTES, 0) == b"a" * 1000 + bytes(2 * SIZE_BYTES - 1000)


def test_failed_sync_loses_what_it_would_have_covered(disk: FuseDisk) -> None:
    """The kernel reports a failed write-back once; a retried fsync proves nothing."""
    with _opened(disk) as fd:
        os.pwrite(fd, b"a" * SIZE_BYTES, 0)
        disk.fail(DataOp.SYNC, errno.EIO)
        with pytest.raises(OSError, match="Input/output error"):
            os.fdatasync(fd)
        os.fdatasync(fd)
        assert os.pread(fd, SIZE_BYTES, 0) == b"a" * SIZE_BYTES
        disk.forget(seed=10)
    assert _content(disk) == bytes(SIZE_BYTES)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_fails_the_request_it_is_told_to(disk: FuseDisk, error: int) -> None:
    disk.fail(DataOp.WRITE, error, count=2, start_bytes=8192, end_bytes=12288)
    with _opened(disk) as fd:
        os.pwrite(fd, b"a" * 4096, 4096)
        for _ in range(2):
            with pytest.raises(OSError, match=os.strerror(error)):
                os.pwrite(fd, b"a" * 4096, 8192)
        os.pwrite(fd, b"a" * 4096, 8192)
        disk.fail(DataOp.READ, errno.EIO)
        disk.fail(DataOp.ZERO, error)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.pread(fd, 512, 0)
        with pytest.raises(OSError, match=os.strerror(error)):
            _fallocate(fd, _PUNCH_HOLE, 0, 4096)


def test_stalled_writes_block_nothing_else(disk: FuseDisk) -> None:
    """More writes are held than the disk has threads, and reads are still answered."""
    with _opened(disk) as fd:
        disk.stall(DataOp.WRITE)
        threads = [
            threading.Thread(target=os.pwrite, args=(fd, b"w" * 4096, index * 4096))
            for index in range(20)
        ]
        for thread in threads:
            thread.start()
        _until(lambda: disk.stats()["held_now"] == 20)
        assert os.pread(fd, 20 * 4096, 0) == bytes(20 * 4096)
        assert disk.resume() == 20
        for thread in threads:
            thread.join()
        assert os.pread(fd, 20 * 4096, 0) == b"w" * (20 * 4096)


def test_frozen_disk_answers_after_the_thaw(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        disk.freeze()
        writing = threading.Thread(target=os.pwrite, args=(fd, b"w" * 4096, 0))
        writing.start()
        writing.join(timeout=0.2)
        was_waiting = writing.is_alive()
        disk.thaw()
        writing.join()
        assert was_waiting
        assert disk.stats()["write"] == 1


def test_crash_tears_the_request_it_hits(disk: FuseDisk) -> None:
    with _opened(disk) as fd:
        os.pwrite(fd, b"a" * BLOCK_BYTES, 0)
        os.fdatasync(fd)
        disk.crash_after(2, seed=11)
        os.pwrite(fd, b"b" * BLOCK_BYTES, BLOCK_BYTES)
        with pytest.raises(OSError, match="Input/output error"):
            os.pwrite(fd, b"c" * (256 * BLOCK_BYTES), 8 * BLOCK_BYTES)
    content = _content(disk)
    assert content[:BLOCK_BYTES] == b"a" * BLOCK_BYTES
    assert set(content[8 * BLOCK_BYTES : 264 * BLOCK_BYTES]) == {0, ord("c")}


def test_writes_are_fast_enough_for_random_tests(disk: FuseDisk) -> None:
    """Some thousand a second, so that a model test of seconds sees many crashes."""
    count = 3000
    with _opened(disk) as fd:
        began = time.monotonic()
        for index in range(count):
            os.pwrite(fd, b"w" * 4096, index % 512 * 4096)
        elapsed_s = time.monotonic() - began
    print(f"{count / elapsed_s:.0f} writes of 4 KiB a second")
    assert elapsed_s < 3.0


@pytest.mark.parametrize("seed", range(4))
def test_client_that_flushes_passes_the_model(seed: int) -> None:
    _run_client(seed, flushes=True)


def test_client_without_its_flush_is_caught() -> None:
    """One fdatasync deleted: a few seeds must find it, or the whole set-up proves nothing."""
    found = 0
    for seed in range(4):
        try:
            _run_client(seed, flushes=False)
        except IllegalBlockError:
            found += 1
    assert found


def _run_client(seed: int, *, flushes: bool) -> None:
    """Write at random and flush now and then, crash, and compare with the model; three rounds."""
    rng = random.Random(seed)
    blocks = 128
    model = BlockModel(blocks=blocks, block_bytes=BLOCK_BYTES)
    with FuseDisk(size_bytes=blocks * BLOCK_BYTES) as disk:
        for _ in range(3):
            disk.crash_after(rng.randint(20, 60), seed=rng.getrandbits(32))
            with _opened(disk) as fd:
                _write_until_crash(fd, model, rng, flushes=flushes)
            image = _content(disk, blocks * BLOCK_BYTES)
            model.check_after_crash(0, image)
            model.restart(image, is_durable=True)


def _write_until_crash(fd: int, model: BlockModel, rng: random.Random, *, flushes: bool) -> None:
    while True:
        if rng.random() < 0.2:
            began = model.begin_flush()
            try:
                if flushes:
                    os.fdatasync(fd)
            except OSError:
                return
            model.end_flush(began)
            continue
        count = rng.randint(1, 8)
        lba = rng.randrange(model.blocks - count)
        data = model.new_data(lba, count)
        operation = model.begin_write(lba, data)
        try:
            os.pwrite(fd, data, lba * BLOCK_BYTES)
        except OSError:
            return
        model.end_write(operation, Effect.HAPPENED)


class _opened:  # noqa: N801 - reads as a verb in a with statement
    """Opens the disk's file for reading and writing."""

    def __init__(self, disk: FuseDisk, flags: int = 0) -> None:
        self._disk, self._flags = disk, flags

    def __enter__(self) -> int:
        self._fd = os.open(self._disk.path, os.O_RDWR | self._flags)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _content(disk: FuseDisk, length_bytes: int = SIZE_BYTES) -> bytes:
    with _opened(disk) as fd:
        return os.pread(fd, length_bytes, 0)


def _fallocate(fd: int, mode: int, offset_bytes: int, length_bytes: int) -> None:
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if call(fd, mode, offset_bytes, length_bytes) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _until(condition: Callable[[], bool], *, limit_s: float = 10.0) -> None:
    """Wait for something another thread does; the disk's counters have no event to wait for."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
