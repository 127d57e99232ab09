"""What load programs count by interval, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.fairness.evenness import (
    min_max,
    most_within,
    part_at_least,
    settled_after,
    share_error,
    share_of,
)
from bench.fairness.experiments.arrival import figures as arrival_figures
from bench.fairness.experiments.decisions import parse_churn
from bench.fairness.experiments.promises import guarantee_figures, limit_figures
from bench.fairness.timeline import Timeline, whole_intervals
from fairlead.sched.cost import CostModel, OperationCost

MS = 1_000_000
COSTS = CostModel(
    read=OperationCost(random_ns=10, sequential_ns=10, page_ns=100),
    write=OperationCost(random_ns=20, sequential_ns=20, page_ns=200),
    flush=OperationCost(random_ns=1, sequential_ns=1),
)


def timeline(reads: list[int], *, start_ns: int = 100 * MS, interval_ms: int = 100) -> Timeline:
    """A program of 4 KiB reads whose first interval is the one that it began in."""
    zeros = [0] * len(reads)
    intervals: dict[str, Any] = {
        "interval_ns": interval_ms * MS,
        "start_ns": start_ns,
        "first": start_ns // (interval_ms * MS),
        "reads": reads,
        "writes": zeros,
        "read_bytes": [count * 4096 for count in reads],
        "written_bytes": zeros,
    }
    return Timeline.from_json(intervals)


def test_programs_that_began_at_different_times_share_intervals() -> None:
    early, late = timeline([1, 2, 3, 4]), timeline([5, 6], start_ns=250 * MS)
    numbers = range(1, 5)
    assert early.requests(numbers) == [1, 2, 3, 4]
    assert late.requests(numbers) == [0, 5, 6, 0]


def test_intervals_in_which_somebody_came_or_left_are_not_whole() -> None:
    runs = [timeline([0] * 9, start_ns=100 * MS), timeline([0] * 9, start_ns=150 * MS)]
    assert whole_intervals(runs, run_s=0.5) == range(2, 6)
    assert not whole_intervals(runs, run_s=0.05)


def test_costs_are_those_of_requests_and_their_pages() -> None:
    assert timeline([3]).costs_ns(range(1, 2), COSTS) == [3 * 10 + 3 * 100]


def test_each_piece_of_a_large_request_has_its_fixed_cost() -> None:
    run = Timeline(
        interval_ns=100 * MS,
        start_ns=0,
        first=0,
        reads=(1,),
        writes=(1,),
        read_bytes=(65536,),
        written_bytes=(65536,),
    )
    assert run.costs_ns(range(1), COSTS) == [10 + 20 + 16 * 300]
    assert run.costs_ns(range(1), COSTS, piece_bytes=16384) == [4 * (10 + 20) + 16 * 300]
    assert run.costs_ns(range(1), COSTS, piece_bytes=1 << 20) == [10 + 20 + 16 * 300]


def test_shares_by_weight_are_even() -> None:
    amounts = {"one": [10.0, 10.0], "four": [40.0, 40.0]}
    weights = {"one": 1, "four": 4}
    assert share_of("four", amounts) == 0.8
    assert share_error(amounts, weights, width=1) == pytest.approx(0)
    assert min_max(amounts, weights) == 1


def test_the_worst_window_is_found_also_where_it_evens_out() -> None:
    amounts = {"one": [10.0, 20.0], "two": [20.0, 10.0]}
    weights = {"one": 1, "two": 1}
    assert share_error(amounts, weights, width=2) == 0
    assert share_error(amounts, weights, width=1) == pytest.approx(1 / 3)


def test_without_a_window_nothing_is_said_of_it() -> None:
    amounts: dict[str, list[float]] = {"one": [], "two": []}
    weights = {"one": 1, "two": 1}
    assert share_error(amounts, weights, width=1) is None
    assert share_of("one", amounts) is None
    assert min_max(amounts, weights) is None
    assert share_error({"one": [0.0], "two": [0.0]}, weights, width=1) is None


def test_windows_are_counted() -> None:
    assert part_at_least([5, 4, 5, 5], 5) == 0.75
    assert part_at_least([], 5) is None
    assert most_within([1, 5, 4, 1], 2) == 9
    assert most_within([1, 2], 5) == 3


def test_settled_is_who_stays() -> None:
    def after(*amounts: float) -> int | None:
        return settled_after(amounts, 10, tolerance=0.1, stays=2)

    assert after(10, 10, 5) == 1
    assert after(5, 10, 5, 9, 11) == 4
    assert after(5, 10, 5, 10) is None


def test_first_second_and_busiest_second_of_a_limit() -> None:
    """100 ms intervals: the second has ten, and one more of which a part belongs to it."""
    run = timeline([20] + [10] * 10 + [15] * 10)
    found = limit_figures(run, 100, run_s=2)
    assert found["first_second"] == pytest.approx((20 + 10 * 10) / 100)
    assert found["busiest_second"] == pytest.approx(1.5)
    assert found["whole"] == pytest.approx((20 + 100 + 150) / 200)


def test_a_guarantee_may_lack_one_request() -> None:
    """Of 100 a second, an interval has ten; the first and the last one are not whole."""
    run = timeline([0, 10, 9, 8, 10, 0], start_ns=150 * MS)
    found = guarantee_figures(run, 100, run_s=0.45)
    assert found["met"] == 0.75
    assert found["worst_window"] == pytest.approx(8 / 9)


def test_arrival_and_departure_are_found() -> None:
    resident = [20.0] * 10 + [15.0] + [10.0] * 19 + [12.0] + [20.0] * 20
    guest = [0.0] * 10 + [5.0] + [10.0] * 19 + [8.0] + [0.0] * 20
    found = arrival_figures(resident, guest, begin=10, end=30, bin_ms=10)
    assert found == {"arrive_ms": 20, "leave_ms": 20, "within": 0.95}


def test_who_never_settles_has_no_time() -> None:
    found = arrival_figures([10.0] * 40, [1.0] * 40, begin=10, end=30, bin_ms=10)
    assert found["arrive_ms"] is None
    assert found["within"] == 0


def test_the_result_of_the_scheduler_alone_is_its_last_line() -> None:
    calls = {"push": {"calls": 3, "longest_ns": 500}}
    assert parse_churn(f"Finished\n{json.dumps({'calls': calls})}\n") == calls
    with pytest.raises(ValueError, match="no result"):
        parse_churn("error: no such command")
