"""Percentiles: ours over bins, and the load programs' histogram, against the whole list."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness import programs
from bench.harness.percentile import merge_bins, percentile_ns

FRACTIONS = (0.5, 0.9, 0.99, 0.999, 1.0)
# 64 buckets for every power of two: a percentile is at most so much too large.
BUCKET_SHARE = 1 / 64


def nearest_rank(values: list[int], fraction: float) -> int:
    ordered = sorted(values)
    return ordered[max(1, math.ceil(fraction * len(ordered))) - 1]


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from(FRACTIONS))
def test_bins_of_one_value_each_give_the_nearest_rank(values: list[int], fraction: float) -> None:
    bins = dict(Counter(values))
    assert percentile_ns(bins, fraction, max_ns=max(values)) == nearest_rank(values, fraction)


@given(st.lists(st.lists(st.integers(0, 1000), max_size=20), max_size=5))
def test_merged_bins_are_the_bins_of_all_values(runs: list[list[int]]) -> None:
    merged = merge_bins(list(Counter(run).items()) for run in runs)
    assert merged == Counter(value for run in runs for value in run)


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile_ns({}, 0.99, max_ns=0) == 0


def test_percentile_is_never_above_the_largest_value() -> None:
    """A bin's edge may be: the value 1000 is counted in the bin that ends at 1007."""
    assert percentile_ns({1007: 1}, 0.5, max_ns=1000) == 1000


@pytest.fixture(scope="module")
def histogram_program() -> str:
    for tool in ("cc", "make"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    programs.build(programs.HISTOGRAM_PERCENTILES)
    return str(programs.HISTOGRAM_PERCENTILES)


def run_histogram(program: str, values: list[int]) -> tuple[int, float, int, list[int]]:
    text = "\n".join(map(str, values))
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    total, mean, largest, *percentiles = done.stdout.split()
    return int(total), float(mean), int(largest), [int(value) for value in percentiles]


@pytest.mark.parametrize(
    "values",
    [
        [0],
        [63, 64, 127, 128],
        list(range(1, 5000)),
        [1 << power for power in range(41)],
        [(1 << power) - 1 for power in range(1, 41)],
        [round(value) for value in map(random.Random(3).lognormvariate, [11] * 9999, [2] * 9999)],
    ],
    ids=["zero", "linear end", "small", "powers", "below powers", "lognormal"],
)
def test_c_histogram_is_within_one_bucket_of_the_truth(
    histogram_program: str, values: list[int]
) -> None:
    total, mean, largest, percentiles = run_histogram(histogram_program, values)

    assert total == len(values)
    assert mean == pytest.approx(sum(values) / len(values), rel=1e-6, abs=1e-3)
    assert largest == max(values)
    for fraction, measured in zip(FRACTIONS, percentiles, strict=True):
        truth = nearest_rank(values, fraction)
        assert truth <= measured <= truth * (1 + BUCKET_SHARE)


def test_c_histogram_counts_what_is_beyond_its_range(histogram_program: str) -> None:
    beyond = 1 << 45
    total, _, largest, percentiles = run_histogram(histogram_program, [1, beyond])
    assert (total, largest) == (2, beyond)
    assert percentiles[0] == 1
    assert percentiles[-1] == (1 << 41) - 1  # The last bucket's edge.
