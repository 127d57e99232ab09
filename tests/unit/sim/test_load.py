from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from fairlead.sched.cost import Operation
from fairlead.sim.client import ClientConfig
from fairlead.sim.load import Load, Schedule

S, MS = 1_000_000_000, 1_000_000
SIZE = 1 << 30
SEED = 11


def client(**values: Any) -> ClientConfig:
    return ClientConfig.model_validate({"name": "c"} | values)


def load(position: float = 0.0, size_bytes: int = SIZE, **values: Any) -> Load:
    return Load(client(**values), random.Random(SEED), size_bytes, position)


def test_a_client_works_from_its_start_to_its_stop() -> None:
    schedule = Schedule(client(start_s=1, stop_s=2), 10 * S)
    assert schedule.open_ns(0) == S
    assert schedule.open_ns(S + 5) == S + 5
    assert schedule.open_ns(2 * S) is None
    assert list(schedule.times()) == [(S, 2 * S)]
    assert list(Schedule(client(start_s=1), S).times()) == []


def test_bursts_begin_with_work() -> None:
    schedule = Schedule(client(start_s=1, burst={"on_ms": 100, "off_ms": 400}), 2 * S)
    assert schedule.open_ns(S + 99 * MS) == S + 99 * MS
    assert schedule.open_ns(S + 100 * MS) == S + 500 * MS
    assert schedule.open_ns(S + 600 * MS) is None
    assert list(schedule.times()) == [
        (S, S + 100 * MS),
        (S + 500 * MS, S + 600 * MS),
    ]


def test_random_requests_are_everywhere_and_aligned() -> None:
    source = load(size="64K")
    offsets = [source.draw()[1] for _ in range(4000)]
    assert all(offset % 4096 == 0 and 0 <= offset <= SIZE - 65536 for offset in offsets)
    quarters = Counter(offset * 4 // SIZE for offset in offsets)
    assert all(count == pytest.approx(1000, rel=0.15) for count in quarters.values())


def test_a_stream_goes_on_from_its_position_and_starts_again_at_the_end() -> None:
    source = load(position=0.5, access="sequential", size="16M", size_bytes=64 << 20)
    assert [source.draw()[1] for _ in range(4)] == [32 << 20, 48 << 20, 0, 16 << 20]


def test_sizes_and_operations_come_as_often_as_asked_for() -> None:
    source = load(size={"4K": 3, "64K": 1}, read_percent=70)
    drawn = [source.draw() for _ in range(8000)]
    lengths = Counter(length for _, _, length in drawn)
    operations = Counter(operation for operation, _, _ in drawn)
    assert lengths[65536] / 8000 == pytest.approx(0.25, abs=0.02)
    assert operations[Operation.READ] / 8000 == pytest.approx(0.7, abs=0.02)
    assert set(Counter(load(read_percent=0).draw()[0] for _ in range(9))) == {Operation.WRITE}


@pytest.mark.parametrize("requests_per_s", [3, 7000, 300_000])
def test_even_arrivals_keep_their_rate_exactly(requests_per_s: int) -> None:
    source = load(requests_per_s=requests_per_s)
    now = 0
    for _ in range(requests_per_s):
        now = source.arrival_ns(now)
    assert now == pytest.approx(S, abs=2)


def test_random_arrivals_keep_it_on_average() -> None:
    source = load(requests_per_s=1000, arrivals="random")
    times = [0]
    for _ in range(10_000):
        times.append(source.arrival_ns(times[-1]))
    assert times[-1] == pytest.approx(10 * S, rel=0.03)
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    assert gaps[5000] == pytest.approx(0.693 * MS, rel=0.05), "the median of an exponential"


def test_after_a_pause_arrivals_do_not_catch_up() -> None:
    source = load(requests_per_s=1000)
    assert source.arrival_ns(0) == MS
    assert source.arrival_ns(S) == S + MS


def test_the_same_source_of_randomness_gives_the_same_requests() -> None:
    first, second = (load(size={"4K": 1, "8K": 1}, read_percent=50) for _ in range(2))
    assert [first.draw() for _ in range(100)] == [second.draw() for _ in range(100)]
