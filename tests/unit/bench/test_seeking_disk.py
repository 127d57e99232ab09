"""The disk with a head: when it answers what, on a clock of our own."""

from __future__ import annotations

import os
import struct

import pytest

from bench.kernel_contexts.seeking_disk import SeekingFile
from fairlead.devices.presets import parse_device
from tests.support import fuse_wire as wire
from tests.support.fuse_wire import FuseOpcode, FuseRequest

SIZE_BYTES = 64 << 30
HALF = SIZE_BYTES // 2
PIECE = 128 << 10
MS = 1_000_000


class Bench:
    """A disk, its clock, and the answers that it gave."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.answers: list[tuple[int, int, int]] = []  # unique, error, length
        self.file = SeekingFile(parse_device("hdd-90,size=64G"), self._take, lambda: self.now_ns)
        self._unique = 0

    def _take(self, header: bytes, payload: bytes | memoryview) -> None:
        _length, error, unique = wire.OUT_HEADER.unpack(header)
        self.answers.append((unique, error, len(payload)))

    def ask(self, opcode: int, body: bytes = b"") -> int:
        self._unique += 1
        self.file.serve(FuseRequest(opcode, self._unique, 2, 1, memoryview(body)))
        return self._unique

    def transfer(self, opcode: int, offset: int, length: int = PIECE) -> int:
        return self.ask(opcode, wire.TRANSFER_IN.pack(1, offset, length, 0, 0, os.O_DIRECT, 0))

    def wait(self) -> float:
        """Let the next answer come; return the milliseconds that it took."""
        due_ns = self.file.due_ns
        assert due_ns is not None
        took_ms = (due_ns - self.now_ns) / MS
        self.now_ns = due_ns
        self.file.answer_due()
        return took_ms


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_follows_takes_its_transfer_and_the_overhead(bench: Bench) -> None:
    for place in range(3):
        unique = bench.transfer(FuseOpcode.READ, place * PIECE)
        assert not bench.answers[place:]
        assert bench.wait() == pytest.approx(PIECE / 90e3 + 0.1, abs=0.001)
        assert bench.answers[-1] == (unique, 0, PIECE)


def test_what_is_half_a_disk_away_takes_ten_times_as_long(bench: Bench) -> None:
    bench.transfer(FuseOpcode.READ, HALF)
    assert bench.wait() == pytest.approx(16.6, abs=0.5)
    bench.transfer(FuseOpcode.READ, 0)
    assert bench.wait() == pytest.approx(16.6, abs=0.5)


def test_one_after_the_other(bench: Bench) -> None:
    first = bench.transfer(FuseOpcode.READ, 0)
    second = bench.transfer(FuseOpcode.READ, PIECE)
    bench.wait()
    assert bench.wait() == pytest.approx(PIECE / 90e3, abs=0.001)
    assert [unique for unique, _, _ in bench.answers] == [first, second]


def test_answers_whose_time_has_passed_come_before_the_next_request(bench: Bench) -> None:
    bench.transfer(FuseOpcode.READ, 0)
    bench.now_ns = 100 * MS
    bench.transfer(FuseOpcode.READ, PIECE)
    assert len(bench.answers) == 1
    assert bench.file.due_ns == pytest.approx(100 * MS + PIECE / 90e-3 + 0.1 * MS, abs=1000)


def test_a_write_is_taken(bench: Bench) -> None:
    unique = bench.transfer(FuseOpcode.WRITE, 0)
    bench.wait()
    assert bench.answers == [(unique, 0, wire.WRITE_OUT.size)]


def test_a_flush_takes_the_overhead(bench: Bench) -> None:
    bench.ask(FuseOpcode.FSYNC, wire.FSYNC_IN.pack(1, 0, 0))
    assert bench.wait() == pytest.approx(0.1)


def test_beyond_the_end_there_is_nothing(bench: Bench) -> None:
    bench.transfer(FuseOpcode.READ, SIZE_BYTES - 4096)
    bench.wait()
    assert bench.answers[-1][2] == 4096


def test_its_size_is_the_models(bench: Bench) -> None:
    attributes: list[bytes] = []
    file = SeekingFile(
        parse_device("hdd-90,size=64G"), lambda _, body: attributes.append(bytes(body))
    )
    file.serve(FuseRequest(FuseOpcode.GETATTR, 1, 2, 1, memoryview(b"")))
    (size,) = struct.unpack_from("=Q", attributes[0], wire.ATTR_OUT_HEAD.size + 8)
    assert size == SIZE_BYTES


def test_it_tells_how_late_it_was(bench: Bench) -> None:
    bench.transfer(FuseOpcode.READ, 0)
    bench.now_ns = (bench.file.due_ns or 0) + 30_000
    bench.file.answer_due()
    stats = bench.file.stats()
    assert (stats["answered"], stats["late_p50_us"], stats["late_max_us"]) == (1, 30, 30)
    assert Bench().file.stats()["late_p99_us"] == 0
