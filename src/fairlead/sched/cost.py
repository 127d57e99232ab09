"""What a request costs its device, estimated before it is sent: a linear model. Pure.

    cost = base (by operation, random or sequential) + length x time per byte (by operation)

All numbers are integers, so that the data plane comes to the same. Time per byte is given for
4 KiB, because a byte takes a few nanoseconds only, and a fraction of them matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from fairlead.errors import ConfigError

PAGE_BYTES: Final = 4096
_PAGE_SHIFT: Final = 12
# Nothing that a device does for one request, or for 4 KiB of it, lasts longer than this.
_NS_MAX: Final = 100_000_000_000


class Operation(IntEnum):
    """What a request asks a device to do."""

    READ = 0
    WRITE = 1
    FLUSH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCost:
    """What one kind of request costs.

    Attributes:
        random_ns: a request that does not continue its context's last one, without its data.
        sequential_ns: a request that does.
        page_ns: 4 KiB of data.

    Each is 0..10^11.
    """

    random_ns: int
    sequential_ns: int
    page_ns: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: says the value and the range.
        """
        for name in ("random_ns", "sequential_ns", "page_ns"):
            value = getattr(self, name)
            if not 0 <= value <= _NS_MAX:
                raise ConfigError(f"{name} {value} is out of range", remedy=f"0 to {_NS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """What requests cost one device.

    Attributes:
        read: reads.
        write: writes, at the rate that the device can keep up.
        flush: flushes; they have no data.
        granule_bytes: lengths count in multiples of this, rounded up; at least 1.
    """

    read: OperationCost
    write: OperationCost
    flush: OperationCost
    granule_bytes: int = 512

    def __post_init__(self) -> None:
        """Check the granule.

        Raises:
            ConfigError: it is below 1.
        """
        if self.granule_bytes < 1:
            raise ConfigError(
                f"granule_bytes {self.granule_bytes} is out of range", remedy="at least 1"
            )

    def estimate(self, operation: Operation, length_bytes: int, is_sequential: bool) -> int:
        """Return what a request will cost the device, in ns; at least 1."""
        cost = self._costs()[operation]
        granules = -(-length_bytes // self.granule_bytes)
        data_ns = granules * self.granule_bytes * cost.page_ns >> _PAGE_SHIFT
        return max(1, (cost.sequential_ns if is_sequential else cost.random_ns) + data_ns)

    def length_within(self, operation: Operation, cost_ns: int) -> int:
        """Return the longest random request, in whole pages, that costs at most this; 0: none."""
        cost = self._costs()[operation]
        if cost.page_ns == 0:
            raise ValueError(f"the length of a {operation.name} says nothing about its cost")
        return max(0, (cost_ns - cost.random_ns) // cost.page_ns) * PAGE_BYTES

    def _costs(self) -> tuple[OperationCost, OperationCost, OperationCost]:
        return self.read, self.write, self.flush


class Streams:
    """Tells which requests are sequential, on one device.

    A request is sequential if it starts where the last one of the same context ended. Nearly is
    not enough: a disk has to turn once more for it.
    """

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}

    def is_next(self, context: int, offset_bytes: int) -> bool:
        """Return whether a request that starts there would be sequential."""
        return self._ends.get(context) == offset_bytes

    def note(self, context: int, end_bytes: int) -> None:
        """Note where a context's request ends."""
        self._ends[context] = end_bytes

    def forget(self, context: int) -> None:
        """Forget a context that is no more."""
        self._ends.pop(context, None)
