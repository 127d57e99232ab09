from __future__ import annotations

from typing import Any

import pytest

from fairlead.devices.presets import parse_device
from fairlead.sched.settings import Priority
from fairlead.sim.client import ClientConfig
from fairlead.sim.demand import Want, divide, mean_cost

COSTS = parse_device("ssd-100k").cost_model()


def want(weight: float = 1, most: float = 100, least: float = 0, **values: Any) -> Want:
    priority = values.get("priority", Priority.NORMAL)
    return Want(weight=weight, priority=priority, least=least, most=most)


@pytest.mark.parametrize(
    ("wants", "due"),
    [
        ([], []),
        ([want()], [8]),
        ([want(1), want(3)], [2, 6]),
        ([want(1, most=0.5), want(1), want(2)], [0.5, 2.5, 5]),
        ([want(1, most=2), want(1, most=3)], [2, 3]),
        ([want(1, least=4), want(7)], [4, 4]),
        ([want(4, least=1), want(4)], [4, 4]),
        ([want(1, priority=Priority.URGENT), want(9)], [8, 0]),
        ([want(1, most=3, priority=Priority.URGENT), want(9)], [3, 5]),
        ([want(1, priority=Priority.URGENT), want(9, least=1)], [7, 1]),
        ([want(1, most=2), want(1, priority=Priority.IDLE)], [2, 6]),
    ],
)
def test_shares_are_max_min_fair_by_weight(wants: list[Want], due: list[float]) -> None:
    assert divide(8, wants) == pytest.approx(due)


def mean(**values: Any) -> Any:
    return mean_cost(ClientConfig.model_validate({"name": "c"} | values), COSTS)


def test_a_closed_loop_asks_for_what_its_turn_around_leaves() -> None:
    assert mean(depth=1, turn_around_us=20).demanded == pytest.approx(0.8)
    assert mean(depth=4, sessions=2, turn_around_us=20).demanded == pytest.approx(6.4)
    assert mean(depth=0).demanded == 0


def test_an_open_loop_asks_for_its_rate() -> None:
    assert mean(requests_per_s=1000).demanded == pytest.approx(0.08)


def test_mixes_are_averaged() -> None:
    mixed = mean(size={"4K": 3, "64K": 1}, read_percent=50)
    reads, writes = (3 * 80 + 1160) / 4, (3 * 160 + 8 + 16 * 152) / 4
    assert mixed.cost_ns == pytest.approx(1000 * (reads + writes) / 2)
    assert mixed.length_bytes == (3 * 4096 + 65536) / 4


def test_the_tighter_of_two_rates_counts() -> None:
    assert mean(limit={"iops": 10_000}).limited == pytest.approx(0.8)
    assert mean(limit={"iops": 10_000, "bytes_per_s": 4_096_000}).limited == pytest.approx(0.08)
    assert mean(guarantee={"iops": 10_000}).guaranteed == pytest.approx(0.8)
    assert mean().guaranteed == 0
    assert mean().limited == mean().demanded
