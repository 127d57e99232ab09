"""The disk's model against rates that are known, each within 1 %."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from fairlead.devices.disk import DiskParameters, seek_ns, transfer_ns
from fairlead.devices.presets import parse_device
from fairlead.sched.cost import Operation
from tests.support.sim_device import run_device

if TYPE_CHECKING:
    from collections.abc import Iterator

READ, WRITE, FLUSH = Operation
KIB128 = 128 << 10
MS = 1_000_000
SECOND = 1_000_000_000


def disk(text: str) -> DiskParameters:
    parameters = parse_device(text)
    assert isinstance(parameters, DiskParameters)
    return parameters


def stream(start_bytes: int, length_bytes: int = KIB128) -> Iterator[int]:
    offset = start_bytes
    while True:
        yield offset
        offset += length_bytes


def mb_per_s(parameters: DiskParameters, offsets: list[int], length_bytes: int = KIB128) -> float:
    """The rate of requests that are all there from the beginning."""
    done = run_device(parameters, [(0, READ, offset, length_bytes) for offset in offsets])
    return len(offsets) * length_bytes / done[-1] * 1000


def take_turns(parameters: DiskParameters, gap: float, run: int = 1) -> list[int]:
    """Two streams so far apart, this many requests of one and then of the other."""
    first = stream(0)
    second = stream(int(parameters.size * gap) // 4096 * 4096)
    return [offset for _ in range(100) for one in (first, second) for offset in islice(one, run)]


def test_one_stream_gets_the_rate_of_the_medium() -> None:
    assert mb_per_s(disk("hdd-90"), list(islice(stream(0), 1000))) == pytest.approx(90, rel=0.01)


def test_two_interleaved_streams_get_a_fraction() -> None:
    parameters = disk("hdd-90")
    assert mb_per_s(parameters, take_turns(parameters, 0.11)) == pytest.approx(12.0, rel=0.01)


def test_two_streams_far_apart_get_less() -> None:
    parameters = disk("hdd-90")
    assert mb_per_s(parameters, take_turns(parameters, 1 / 3)) == pytest.approx(9.2, rel=0.01)


def test_two_streams_in_slices_of_100_ms_get_nearly_all() -> None:
    parameters = disk("hdd-90")
    of_slice = round(100 * MS / transfer_ns(parameters, 0, KIB128))
    assert mb_per_s(parameters, take_turns(parameters, 0.11, of_slice)) == pytest.approx(
        82.2, rel=0.01
    )


def test_a_stream_that_is_waited_for_each_time_gets_a_fraction() -> None:
    """8 ms from an answer to the next request: what idling for the wrong one costs."""
    device = disk("hdd-90").build()
    now = 0
    for number in range(100):
        device.submit(number, READ, number * KIB128, KIB128, now)
        end_ns = device.next_completion_ns()
        assert end_ns is not None
        device.complete()
        now = end_ns + 8 * MS
    assert 100 * KIB128 / now * 1000 == pytest.approx(13.7, rel=0.01)


@pytest.mark.parametrize(
    ("length_bytes", "expected_mb_per_s"),
    [
        (64 << 10, 4.9),
        (128 << 10, 9.2),
        (256 << 10, 16.7),
        (512 << 10, 28),
        (1 << 20, 43),
        (4 << 20, 71),
        (8 << 20, 79),
    ],
)
def test_interleaving_costs_less_the_longer_requests_are(
    length_bytes: int, expected_mb_per_s: float
) -> None:
    parameters = disk("hdd-90")
    near = stream(0, length_bytes)
    far = stream(parameters.size // 3, length_bytes)
    offsets = [offset for _ in range(50) for offset in (next(near), next(far))]
    rate = mb_per_s(parameters, offsets, length_bytes)
    assert rate == pytest.approx(expected_mb_per_s, rel=0.015)


@pytest.mark.parametrize("preset", ["hdd-90", "hdd-250", "hdd-15k", "hdd-54"])
def test_seeks_take_what_the_table_says(preset: str) -> None:
    parameters = disk(preset)
    points = [(0, parameters.track_us), (parameters.size // 3, parameters.average_us)]
    points.append((parameters.size, parameters.full_us))
    for distance_bytes, expected_us in points:
        assert seek_ns(parameters, distance_bytes) == pytest.approx(expected_us * 1000, rel=1e-4)
    steps = [seek_ns(parameters, parameters.size * i // 1000) for i in range(1001)]
    assert steps == sorted(steps)


def test_the_inner_edge_is_slower() -> None:
    parameters = disk("hdd-90,inner_percent=50")
    outer, inner = (transfer_ns(parameters, at, 1 << 20) for at in (0, parameters.size))
    assert inner == pytest.approx(2 * outer, rel=1e-6)


@pytest.mark.parametrize("preset", ["hdd-90", "hdd-15k"])
def test_by_angle_random_requests_wait_half_a_turn_on_average(preset: str) -> None:
    seed = 3
    print("seed", seed)
    rng = random.Random(seed)
    mean, angular = disk(preset), disk(f"{preset},rotation=angular")
    offsets = [rng.randrange(mean.size // 4096) * 4096 for _ in range(3000)]
    assert mb_per_s(angular, offsets) == pytest.approx(mb_per_s(mean, offsets), rel=0.01)


def test_by_angle_the_same_place_comes_by_once_a_turn() -> None:
    parameters = disk("hdd-90,rotation=angular")
    done = run_device(parameters, [(0, READ, 4096, 4096)] * 3)
    turn_ns = parameters.revolution_us * 1000
    assert (done[2] - done[1]) % turn_ns in (0, 1, turn_ns - 1)
    assert done[2] - done[1] <= turn_ns + 1


def order_of_four(text: str) -> list[int]:
    """Four requests at once; the first finds the disk idle."""
    parameters = disk(text)
    places = [at * parameters.size // 1000 // 4096 * 4096 for at in (500, 900, 1, 510)]
    done = run_device(parameters, [(0, READ, place, 4096) for place in places])
    return sorted(range(4), key=done.__getitem__)


def test_with_a_queue_the_nearest_goes_first() -> None:
    assert order_of_four("hdd-90,queue=32") == [0, 3, 1, 2]
    assert order_of_four("hdd-90") == [0, 1, 2, 3]


def test_who_has_waited_too_long_goes_first_all_the_same() -> None:
    assert order_of_four("hdd-90,queue=32,age_ms=1") == [0, 1, 2, 3]


def test_a_queue_is_worth_something() -> None:
    seed = 5
    print("seed", seed)
    rng = random.Random(seed)
    plain, queueing = disk("hdd-90"), disk("hdd-90,queue=32,age_ms=60000")
    offsets = [rng.randrange(plain.size // 4096) * 4096 for _ in range(300)]
    assert mb_per_s(queueing, offsets, 4096) > 1.5 * mb_per_s(plain, offsets, 4096)


def test_a_flush_costs_the_overhead_and_leaves_the_head_where_it_is() -> None:
    parameters = disk("hdd-90")
    done = run_device(
        parameters, [(0, WRITE, 0, KIB128), (0, FLUSH, 0, 0), (0, WRITE, KIB128, KIB128)]
    )
    assert done[1] - done[0] == 100_000
    assert done[2] - done[1] == transfer_ns(parameters, KIB128, KIB128)


def test_work_is_counted_to_the_moment() -> None:
    device = disk("hdd-90").build()
    device.submit(1, READ, 0, KIB128, 0)
    end_ns = device.next_completion_ns()
    assert end_ns is not None
    assert device.busy_ns(end_ns - 1000) == end_ns - 1000
    assert device.complete() == 1
    assert device.busy_ns(SECOND) == end_ns
    with pytest.raises(ValueError, match="idle"):
        device.complete()


def test_the_cost_model_has_the_averages() -> None:
    costs = disk("hdd-90").cost_model()
    assert costs.estimate(READ, KIB128, False) == pytest.approx(14.2 * MS, rel=0.01)
    assert costs.estimate(READ, KIB128, True) == pytest.approx(1.556 * MS, rel=0.01)


@pytest.mark.parametrize("change", ["track_us=9000", "full_us=1000"])
def test_seeks_that_shrink_with_the_distance_are_refused(change: str) -> None:
    with pytest.raises(ValueError, match="shrink with the distance"):
        disk(f"hdd-90,{change}")
