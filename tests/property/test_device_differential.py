"""The data plane's simulated devices take exactly as long as their readable form says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import _dataplane
from fairlead.devices.presets import PRESETS, parse_device
from fairlead.sched.cost import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.devices.interface import SimulatedDevice

DEVICES = (
    *PRESETS,
    "ssd-20k,channels=2,spread_percent=30",
    "ssd-gc,buffer=16M,gc_every=16M,spread_percent=10",
    "hdd-90,rotation=angular,queue=32,age_ms=20,size=3G",
    "hdd-15k,inner_percent=50,queue=4",
)
Requests = list[tuple[int, Operation, int, int]]


@st.composite
def requests(draw: st.DrawFn) -> Requests:
    """Requests as (ns after the last one, operation, offset, length)."""
    places = st.sampled_from([0, 1, 2, 5, 100_000, 262_143])
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 30_000, 2_000_000, 40_000_000]),
                st.sampled_from(Operation),
                st.one_of(places, st.integers(0, 262_143)).map(lambda page: page * 4096),
                st.sampled_from([0, 512, 4096, 65_536, 8 << 20]),
            ),
            max_size=40,
        )
    )


def completions(
    device: SimulatedDevice | _dataplane.SimulatedDevice,
    requests: Sequence[tuple[int, Operation, int, int]],
) -> list[tuple[int, int | None]]:
    """Returns what the device is done with when, its own work too."""
    done: list[tuple[int, int | None]] = []

    def take(until_ns: int | None) -> None:
        while (next_ns := device.next_completion_ns()) is not None:
            if until_ns is not None and next_ns > until_ns:
                return
            done.append((next_ns, device.complete()))

    now_ns = 0
    for token, (pause_ns, operation, offset_bytes, length_bytes) in enumerate(requests):
        now_ns += pause_ns
        take(now_ns)
        device.submit(token, operation, offset_bytes, length_bytes, now_ns)
    take(None)
    return done


@pytest.mark.parametrize("text", DEVICES)
@given(requests=requests())
def test_both_take_as_long(text: str, requests: Requests) -> None:
    parameters = parse_device(text)
    expected = completions(parameters.build(), requests)
    assert completions(_dataplane.SimulatedDevice(parameters.plain()), requests) == expected


def test_a_full_write_buffer_and_its_collections_take_as_long() -> None:
    parameters = parse_device("ssd-gc,buffer=16M,gc_every=16M")
    writes = [(7_000, Operation.WRITE, 0, 1 << 20)] * 100 + [(0, Operation.FLUSH, 0, 0)]
    expected = completions(parameters.build(), writes)
    assert None in [token for _, token in expected], "nothing was collected"
    assert completions(_dataplane.SimulatedDevice(parameters.plain()), writes) == expected
