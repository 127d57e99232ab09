"""What measurements say about a device: the knee, what requests cost, what it can promise. Pure.

A device that is given more requests at a time does more, up to a point; beyond that they only wait
longer. That point is the knee. There the device is busy all the time and a request costs it the
time between two completions: 1 / rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from fairlead.sched.device_cost import BASE_NS_MAX, PER_KIB_NS_MAX, LinearCost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Operation: TypeAlias = Literal["read", "write"]

DEPTHS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SMALL_BYTES: Final = 4 << 10
LARGE_BYTES: Final = 128 << 10
KNEE_PART: Final = 0.95
"""Of the best rate: who has that much has no use for a greater depth."""

# Two doublings in a row that bring less than this say that there is no more to come.
_WORTHWHILE: Final = 1.05
_FIGURES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A kind of request that is measured.

    Attributes:
        operation: what is asked for.
        is_sequential: one request begins where the one before it ends.
        length_bytes: of each.
    """

    operation: Operation
    is_sequential: bool
    length_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a device does with so many requests at a time.

    Attributes:
        depth: so many.
        iops: requests per second.
        p50_us: half of them took no longer.
        p99_us: 99 of 100.
        mean_us: on average.
    """

    depth: int
    iops: float
    p50_us: float
    p99_us: float
    mean_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A load at growing depths.

    Attributes:
        load: what was asked for.
        points: at least one, by depth; the first is of depth 1.
    """

    load: Load
    points: tuple[Point, ...]

    @property
    def knee(self) -> Point:
        """The smallest depth that has nearly the best rate."""
        best = max(point.iops for point in self.points)
        return next(point for point in self.points if point.iops >= KNEE_PART * best)

    @property
    def bytes_per_s(self) -> float:
        """What it moves at the knee."""
        return self.knee.iops * self.load.length_bytes

    @property
    def cost_ns(self) -> float:
        """What a request costs the device."""
        return 1e9 / self.knee.iops


def is_saturated(points: Sequence[Point]) -> bool:
    """Tell whether a greater depth would bring nothing, from points of doubling depth."""
    if len(points) < 3:
        return False
    before = max(point.iops for point in points[:-2])
    return max(point.iops for point in points[-2:]) < _WORTHWHILE * before


def fit(small: Curve, large: Curve) -> LinearCost:
    """Return the line through what small and large requests cost.

    Where large ones cost more than their length says, or less than small ones, the line goes
    through the large or the small ones alone: no cost is below nothing.
    """
    kib_small, kib_large = (curve.load.length_bytes / 1024 for curve in (small, large))
    per_kib_ns = max((large.cost_ns - small.cost_ns) / (kib_large - kib_small), 0.0)
    base_ns = small.cost_ns - kib_small * per_kib_ns
    if base_ns < 1:
        base_ns, per_kib_ns = 1.0, large.cost_ns / kib_large
    return LinearCost(
        base_ns=min(max(_rounded(base_ns), 1), BASE_NS_MAX),
        per_kib_ns=min(_rounded(per_kib_ns), PER_KIB_NS_MAX),
    )


def floor_of(values: Iterable[float]) -> int:
    """Return the least, rounded down to two figures, at least 1: what may be relied upon."""
    least = int(min(values))
    unit = int(10 ** max(len(str(least)) - 2, 0))
    return max(least // unit * unit, 1)


def _rounded(value: float) -> int:
    """Return the nearest integer, of three figures: more were not measured."""
    return round(float(f"{value:.{_FIGURES}g}"))
