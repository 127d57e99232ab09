"""What a request will cost a device, estimated: the same lines as `crates/sched/src/cost.rs`.

The data plane decides by these costs; the control plane estimates from its counters what each
context has had of a device. Only proportions matter for shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Cost of a direction.

    Attributes:
        base_ns: for each request.
        per_kib_ns: for each KiB.
    """

    base_ns: int
    per_kib_ns: int

    def of(self, requests: int, length_bytes: int) -> int:
        """Return what so many requests cost that move so many bytes together, in nanoseconds."""
        return requests * self.base_ns + length_bytes * self.per_kib_ns // 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """A device's costs."""

    read: Line
    write: Line


CPU: Final = CostModel(
    read=Line(base_ns=2_000, per_kib_ns=340), write=Line(base_ns=2_000, per_kib_ns=340)
)
"""What is answered from memory costs the submitter's CPU."""

FLASH: Final = CostModel(
    read=Line(base_ns=60_000, per_kib_ns=5_000), write=Line(base_ns=60_000, per_kib_ns=5_000)
)
"""A flash device as it is before anybody has measured it."""
