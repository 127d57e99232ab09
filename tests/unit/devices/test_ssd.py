from __future__ import annotations

import pytest

from fairlead.devices.presets import parse_device
from fairlead.sched.cost import Operation
from tests.support.sim_device import run_device

READ, WRITE, FLUSH = Operation


def test_as_many_requests_as_channels_are_served_at_a_time() -> None:
    done = run_device(parse_device("ssd-100k"), [(0, READ, 0, 4096)] * 17)
    assert done == [80_000] * 8 + [160_000] * 8 + [240_000]


def test_a_large_request_holds_one_channel() -> None:
    """64 KiB take 16 times 4 KiB, less 15 times the fixed part."""
    done = run_device(parse_device("ssd-100k"), [(0, READ, 0, 65536)])
    assert done == [16 * 80_000 - 15 * 8_000]


def test_parts_of_pages_count_as_pages() -> None:
    done = run_device(parse_device("ssd-100k,channels=1"), [(0, READ, 0, 512), (0, READ, 0, 4608)])
    assert done == [80_000, 80_000 + 8_000 + 2 * 72_000]


def test_values_of_a_preset_can_be_changed() -> None:
    done = run_device(
        parse_device("ssd-20k,channels=2,read_us=500,write_us=700,flush_us=900"),
        [(0, READ, 0, 4096), (0, WRITE, 0, 4096), (0, FLUSH, 0, 0)],
    )
    assert done == [500_000, 700_000, 1_400_000]


def test_the_cost_model_is_exact() -> None:
    parameters = parse_device("ssd-20k,channels=1")
    costs = parameters.cost_model()
    for operation in (READ, WRITE):
        for length_bytes in (512, 4096, 12_288, 1 << 20):
            [done] = run_device(parameters, [(0, operation, 0, length_bytes)])
            assert done == costs.estimate(operation, length_bytes, False)
    [done] = run_device(parameters, [(0, FLUSH, 0, 0)])
    assert done == costs.estimate(FLUSH, 0, False)


def test_an_idle_device_says_so_and_counts_no_work() -> None:
    device = parse_device("ssd-100k").build()
    assert device.next_completion_ns() is None
    device.submit(7, READ, 0, 4096, 1_000)
    assert device.next_completion_ns() == 81_000
    assert device.busy_ns(41_000) == 40_000
    assert device.complete() == 7
    assert device.next_completion_ns() is None
    assert device.busy_ns(1_000_000) == 80_000


def test_service_times_spread_evenly_and_the_same_each_time() -> None:
    parameters = parse_device("ssd-100k,channels=1,spread_percent=20")
    requests = [(0, READ, 0, 4096)] * 2000
    done = run_device(parameters, requests)
    times = [end - start for start, end in zip([0, *done], done, strict=False)]
    assert min(times) == 64_000
    assert max(times) == 96_000
    assert sum(times) / len(times) == pytest.approx(80_000, rel=0.01)
    assert done == run_device(parameters, requests)
