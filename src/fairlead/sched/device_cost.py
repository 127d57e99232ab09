"""What requests cost a device, as the data plane counts it: a line for each direction. Pure.

    cost = base + length in KiB x time for each

The cost of a request is the device's time: one second of it is shared by all. What is called so in
`fairlead.sched.cost` is finer, and for simulated devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fairlead.errors import ConfigError

BASE_NS_MAX: Final = 1_000_000_000
"""A request that takes a device longer than a second says that it is broken."""
PER_KIB_NS_MAX: Final = 10_000_000
"""100 KiB a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearCost:
    """Cost of a direction.

    Attributes:
        base_ns: of each request, 1..10^9.
        per_kib_ns: of each KiB, 0..10^7.
    """

    base_ns: int
    per_kib_ns: int

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: says the value and the range.
        """
        _check("base_ns", self.base_ns, 1, BASE_NS_MAX)
        _check("per_kib_ns", self.per_kib_ns, 0, PER_KIB_NS_MAX)

    def of(self, length_bytes: int) -> int:
        """Return what a request of this length costs, in ns."""
        return self.base_ns + length_bytes * self.per_kib_ns // 1024

    def times(self, factor: float) -> LinearCost:
        """Return so many times this cost, within the ranges."""
        return LinearCost(
            base_ns=min(max(round(self.base_ns * factor), 1), BASE_NS_MAX),
            per_kib_ns=min(round(self.per_kib_ns * factor), PER_KIB_NS_MAX),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCost:
    """Costs of a device: of its reads and of its writes."""

    read: LinearCost
    write: LinearCost


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} {value} is out of range", remedy=f"{least} to {most}")
