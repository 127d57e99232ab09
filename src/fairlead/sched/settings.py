"""What a context is due: weight, limits, guarantees, class."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from fairlead.errors import ConfigError

WEIGHT_MAX: Final = 1000
QUEUED_MAX: Final = 8192
"""Requests that one context may have waiting for one device, unless set lower."""
DEFAULT_BURST_S: Final = 0.01
IOPS_MAX: Final = 1_000_000_000
BYTES_PER_S_MIN: Final = 1 << 20
"""Below one largest request a second, commands would be answered after initiators gave up."""
BYTES_PER_S_MAX: Final = 1 << 40
BURST_S_MAX: Final = 10.0
_BLOCK_BYTES: Final = 512
_NS: Final = 1_000_000_000


def _check(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise ConfigError(f"{name} {value} is out of range", remedy=f"{least} to {most}")


class Priority(IntEnum):
    """Who goes first. A class is served only while no higher one has anything that may go."""

    URGENT = 0
    NORMAL = 1
    IDLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Requests and bytes per second; None: not of this kind.

    Attributes:
        iops: requests per second, 1..10^9.
        bytes_per_s: 2^20..2^40.
    """

    iops: int | None = None
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: says the value and the range.
        """
        _check("iops", self.iops, 1, IOPS_MAX)
        _check("bytes_per_s", self.bytes_per_s, BYTES_PER_S_MIN, BYTES_PER_S_MAX)

    @property
    def per_s(self) -> tuple[int | None, int | None]:
        """Both rates: requests, and bytes."""
        return self.iops, self.bytes_per_s

    def times_ns(self, length_bytes: int, *, is_limit: bool) -> tuple[int | None, int | None]:
        """Return how long a request of this length lasts at this rate, by requests and by bytes.

        Rounded so that what is promised holds: up for a limit, down for a guarantee. A request that
        moves nothing counts for a block, and none lasts no time: it would be guaranteed for ever.
        """
        amounts = (_NS, max(length_bytes, _BLOCK_BYTES) * _NS)
        by_requests, by_bytes = (
            None if rate is None else max(1, (amount + (rate - 1) * is_limit) // rate)
            for amount, rate in zip(amounts, self.per_s, strict=True)
        )
        return by_requests, by_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a context is due.

    Attributes:
        weight: its share while others want the device too, 1..1000.
        priority: its class.
        limit: never more than this.
        burst_s: how far it may run ahead of its limit after a pause, 0..10 seconds of it; so much
            of its guarantee a pause saves up as well.
        guarantee: at least this, whatever the weights; at most the limit.
        queued_max: requests that may wait, 1..8192; the next is answered TASK SET FULL.
    """

    weight: int = 1
    priority: Priority = Priority.NORMAL
    limit: Rate = Rate()
    burst_s: float = DEFAULT_BURST_S
    guarantee: Rate = Rate()
    queued_max: int = QUEUED_MAX

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: says the value and the range.
        """
        _check("weight", self.weight, 1, WEIGHT_MAX)
        _check("burst_s", self.burst_s, 0, BURST_S_MAX)
        _check("queued_max", self.queued_max, 1, QUEUED_MAX)
        for name in ("iops", "bytes_per_s"):
            least, most = getattr(self.guarantee, name), getattr(self.limit, name)
            if least is not None and most is not None and least > most:
                raise ConfigError(
                    f"guarantee.{name} {least} is above limit.{name} {most}",
                    remedy="lower the guarantee or raise the limit",
                )

    @property
    def burst_ns(self) -> int:
        """The burst in nanoseconds."""
        return round(self.burst_s * _NS)
