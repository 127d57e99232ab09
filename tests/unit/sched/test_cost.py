from __future__ import annotations

import pytest

from fairlead.errors import ConfigError
from fairlead.sched.cost import CostModel, Operation, OperationCost, Streams

COSTS = CostModel(
    read=OperationCost(random_ns=8_000, sequential_ns=1_000, page_ns=72_000),
    write=OperationCost(random_ns=10_000, sequential_ns=2_000, page_ns=45_511),
    flush=OperationCost(random_ns=200_000, sequential_ns=200_000),
)


@pytest.mark.parametrize(
    ("operation", "length_bytes", "is_sequential", "cost_ns"),
    [
        (Operation.READ, 4096, False, 80_000),
        (Operation.READ, 4096, True, 73_000),
        (Operation.READ, 65536, False, 8_000 + 16 * 72_000),
        (Operation.WRITE, 512, False, 10_000 + 45_511 // 8),
        (Operation.WRITE, 1 << 30, True, 2_000 + (45_511 << 18)),
        (Operation.FLUSH, 0, False, 200_000),
    ],
)
def test_cost_is_linear(
    operation: Operation, length_bytes: int, is_sequential: bool, cost_ns: int
) -> None:
    assert COSTS.estimate(operation, length_bytes, is_sequential) == cost_ns


def test_lengths_count_in_granules() -> None:
    model = CostModel(read=COSTS.read, write=COSTS.write, flush=COSTS.flush, granule_bytes=4096)
    assert model.estimate(Operation.READ, 1, False) == 80_000
    assert model.estimate(Operation.READ, 4097, False) == 8_000 + 2 * 72_000


def test_nothing_is_free() -> None:
    free = OperationCost(random_ns=0, sequential_ns=0)
    model = CostModel(read=free, write=free, flush=free)
    assert model.estimate(Operation.READ, 4096, True) == 1


def test_the_longest_request_within_a_cost_is_found() -> None:
    for cost_ns in (80_000, 320_000, 1_000_000):
        length_bytes = COSTS.length_within(Operation.READ, cost_ns)
        assert COSTS.estimate(Operation.READ, length_bytes, False) <= cost_ns
        assert COSTS.estimate(Operation.READ, length_bytes + 4096, False) > cost_ns
    assert COSTS.length_within(Operation.READ, 7_999) == 0
    with pytest.raises(ValueError, match="FLUSH"):
        COSTS.length_within(Operation.FLUSH, 1)


@pytest.mark.parametrize("name", ["random_ns", "sequential_ns", "page_ns"])
@pytest.mark.parametrize("value", [-1, 10**12])
def test_costs_out_of_range_are_refused(name: str, value: int) -> None:
    values = {"random_ns": 1, "sequential_ns": 1, "page_ns": 1} | {name: value}
    with pytest.raises(ConfigError, match=f"{name} {value} is out of range"):
        OperationCost(**values)


def test_a_granule_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="granule_bytes 0"):
        CostModel(read=COSTS.read, write=COSTS.write, flush=COSTS.flush, granule_bytes=0)


def test_sequential_is_what_continues_the_same_contexts_last_request() -> None:
    streams = Streams()
    assert not streams.is_next(1, 0)
    streams.note(1, 4096)
    assert streams.is_next(1, 4096)
    assert not streams.is_next(1, 8192), "a gap"
    assert not streams.is_next(2, 4096), "another context"
    streams.forget(1)
    assert not streams.is_next(1, 4096)
    streams.forget(1)
