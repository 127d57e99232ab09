from __future__ import annotations

import pytest

from fairlead.devices.presets import PRESETS, parse_device
from fairlead.errors import ConfigError
from fairlead.sched.cost import Operation
from fairlead.sim.window import derive_window, piece_lengths, places


def test_flash_has_a_quarter_more_than_its_channels_and_a_reserve() -> None:
    window = derive_window(parse_device("ssd-100k"))
    assert (window.window_ns, window.cost_max_ns) == (800_000, 320_000)
    assert (window.small_ns, window.reserve_ns) == (80_000, 160_000)


@pytest.mark.parametrize(("servers", "wanted"), [(1, 2), (2, 3), (4, 5), (8, 10), (64, 80)])
def test_there_is_always_a_request_behind_those_that_are_served(servers: int, wanted: int) -> None:
    assert places(servers) == wanted


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("split_bytes", [None, 4096, 1 << 20, 16 << 20])
def test_large_requests_have_a_place_for_each_server(name: str, split_bytes: int | None) -> None:
    parameters = parse_device(name)
    window = derive_window(parameters, split_bytes=split_bytes)
    place_ns = window.place(window.cost_max_ns)
    assert (window.window_ns - window.reserve_ns) // place_ns == parameters.servers
    costs = parameters.cost_model()
    pieces = piece_lengths(costs, window, split_bytes)
    for operation, length_bytes in pieces.items():
        assert costs.estimate(operation, length_bytes, False) <= window.cost_max_ns
        if split_bytes is None:
            assert costs.estimate(operation, length_bytes + 4096, False) > window.cost_max_ns


def test_pieces_are_as_long_as_four_small_reads_last() -> None:
    parameters = parse_device("ssd-100k")
    pieces = piece_lengths(parameters.cost_model(), derive_window(parameters))
    assert pieces == {Operation.READ: 16 << 10, Operation.WRITE: 8 << 10}


def test_a_piece_is_at_least_a_page_however_slow_it_is() -> None:
    parameters = parse_device("ssd-100k,write_us=5000")
    window = derive_window(parameters)
    assert piece_lengths(parameters.cost_model(), window)[Operation.WRITE] == 4096
    assert window.cost_max_ns == 5_000_000


def test_a_window_can_be_given_if_a_request_fits() -> None:
    parameters = parse_device("ssd-100k")
    wide, narrow = (derive_window(parameters, window_us=us) for us in (1000, 80))
    assert (wide.window_ns, wide.reserve_ns) == (1_000_000, 360_000)
    assert (narrow.window_ns, narrow.reserve_ns) == (80_000, 0)
    with pytest.raises(ConfigError, match="at least 80") as caught:
        derive_window(parameters, window_us=79)
    assert caught.value.where == "window_us"
