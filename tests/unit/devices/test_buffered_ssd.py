from __future__ import annotations

import pytest

from fairlead.devices.presets import parse_device
from fairlead.sched.cost import Operation
from tests.support.sim_device import run_device

READ, WRITE, FLUSH = Operation
MIB = 1 << 20
# Drains a MiB in 10 ms; 16 MiB fit.
DEVICE = "ssd-gc,buffer=16M,drain_mb_per_s=104,gc_every=64M,gc_ms=20,gc_channels=4"
SECOND = 1_000_000_000


def test_writes_go_into_the_buffer_until_it_is_full_and_then_as_fast_as_it_drains() -> None:
    parameters = parse_device(DEVICE)
    done = run_device(parameters, [(0, WRITE, 0, MIB)] * 64)
    filled = [end for end in done if end < 20_000_000]
    assert len(filled) in range(15, 19)
    rest_s = (done[-1] - done[20]) / SECOND
    assert (len(done) - 21) * MIB / rest_s == pytest.approx(104e6, rel=0.01)


def test_a_write_without_room_keeps_its_channel() -> None:
    parameters = parse_device(DEVICE)
    writes = [(0, WRITE, 0, 16 * MIB)] * 9
    *_, read = run_device(parameters, [*writes, (1, READ, 0, 4096)])
    [alone] = run_device(parameters, [(1, READ, 0, 4096)])
    assert read > 100 * alone, "all channels are held by writes"


def test_the_buffer_drains_while_nothing_is_written() -> None:
    parameters = parse_device(DEVICE)
    fill = [(0, WRITE, 0, 16 * MIB)]
    at_once = run_device(parameters, [*fill, (100_000_000, WRITE, 0, 16 * MIB)])[1]
    later = run_device(parameters, [*fill, (200_000_000, WRITE, 0, 16 * MIB)])[1]
    write_ns = parameters.cost_model().read.random_ns + 4096 * 12_000
    assert later == 200_000_000 + write_ns, "there was room"
    assert at_once > 100_000_000 + write_ns, "there was not"


def test_many_short_steps_drain_as_much_as_a_long_one() -> None:
    parameters = parse_device(DEVICE)
    fill = [(0, WRITE, 0, 16 * MIB)] * 2
    peeks = [(60_000_000 + 1_001 * i, WRITE, 0, 512) for i in range(1000)]
    flushed = run_device(parameters, [*fill, *peeks, (70_000_000, FLUSH, 0, 0)])[-1]
    bytes_in = 32 * MIB + 512 * 1000
    assert flushed - 200_000 == pytest.approx(bytes_in / 104e6 * SECOND, rel=0.001)


def test_garbage_collection_takes_channels_for_a_while() -> None:
    quiet = parse_device("ssd-gc,buffer=16M,gc_every=1G")
    collecting = parse_device("ssd-gc,gc_every=16M,gc_ms=20,gc_channels=8")
    requests = [(0, WRITE, 0, 16 * MIB), (1_000_000_000, READ, 0, 4096)]
    assert run_device(quiet, requests)[1] == 1_000_080_000
    soon = [(0, WRITE, 0, 16 * MIB), (1_000, READ, 0, 4096)]
    assert run_device(collecting, soon)[1] > 20_000_000


def test_the_cost_of_writing_is_that_of_the_long_run() -> None:
    parameters = parse_device("ssd-gc")
    cost_ns = parameters.cost_model().estimate(WRITE, 1 << 20, False)
    per_s = parameters.servers * SECOND / cost_ns
    assert per_s * MIB == pytest.approx(200e6, rel=0.02)
    done = run_device(parameters, [(0, WRITE, 0, MIB)] * 1024)
    took_s = (done[-1] - done[200]) / SECOND
    assert (len(done) - 201) / took_s == pytest.approx(per_s, rel=0.03)


@pytest.mark.parametrize("change", ["buffer=1M", "gc_every=1M", "gc_channels=9"])
def test_impossible_values_are_refused(change: str) -> None:
    with pytest.raises(ValueError, match=change.partition("=")[0]):
        parse_device(f"ssd-gc,{change}")
