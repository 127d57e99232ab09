"""Measures of who got what of a device, from amounts by interval. Pure.

Amounts are of any one kind: requests where all are alike, otherwise device time by the cost model.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def share_of(name: str, amounts: Mapping[str, Sequence[float]]) -> float | None:
    """Return a client's part (0..1) of all that was done; None where nothing was."""
    total = sum(sum(of_client) for of_client in amounts.values())
    return sum(amounts[name]) / total if total else None


def share_error(
    amounts: Mapping[str, Sequence[float]], weights: Mapping[str, int], *, width: int
) -> float | None:
    """Return the largest part by which anybody was off in any so many intervals in a row.

    In each window, what was done is divided by weight; 0.01 is one part in a hundred more or less
    than that. Windows begin with every interval. None: there is no such window, or nothing was
    done in one.
    """
    sums = {name: [0.0, *accumulate(of_client)] for name, of_client in amounts.items()}
    length = min(len(of_client) for of_client in amounts.values())
    all_weights = sum(weights[name] for name in amounts)
    worst: float | None = None
    for start in range(length - width + 1):
        got = {name: ends[start + width] - ends[start] for name, ends in sums.items()}
        total = sum(got.values())
        if not total:
            return None
        for name, amount in got.items():
            off = abs(amount * all_weights / (total * weights[name]) - 1)
            worst = off if worst is None else max(worst, off)
    return worst


def min_max(amounts: Mapping[str, Sequence[float]], weights: Mapping[str, int]) -> float | None:
    """Return the smallest amount by weight divided by the largest; None where nothing was done."""
    by_weight = [sum(of_client) / weights[name] for name, of_client in amounts.items()]
    largest = max(by_weight, default=0.0)
    return min(by_weight) / largest if largest else None


def part_at_least(amounts: Sequence[float], least: float) -> float | None:
    """Return the part (0..1) of the intervals in which at least so much was done; None: no one."""
    met = [amount >= least for amount in amounts]
    return sum(met) / len(met) if met else None


def most_within(amounts: Sequence[float], width: int) -> float:
    """Return the most of any so many intervals in a row, or of all where they are fewer."""
    sums = [0.0, *accumulate(amounts)]
    width = min(width, len(amounts))
    return max(sums[end] - sums[end - width] for end in range(width, len(sums)))


def settled_after(
    amounts: Sequence[float], wanted: float, *, tolerance: float, stays: int
) -> int | None:
    """Return after how many intervals an amount is where it should be, and stays there.

    The first interval that is within ``tolerance`` (0.05: a twentieth) of ``wanted``, as are the
    ``stays - 1`` after it, counts as one. None: there is none.
    """
    good = [abs(amount - wanted) <= tolerance * wanted for amount in amounts]
    for place in range(len(good) - stays + 1):
        if all(good[place : place + stays]):
            return place + 1
    return None
