"""A disk: one head, which has to get to the data before it can read or write it.

With x the distance as a part of the capacity, a request that does not continue the last one takes

    seek      t0 + K sqrt(x) up to x = 1/3, with K such that 1/3 takes t_avg; beyond, straight on
              to t_max at x = 1
    rotation  half a turn (``mean``), or until the data's angle comes by (``angular``)
    overhead  of the command
    transfer  length / rate

and one that does takes the transfer alone, if it was there before the last one was done; if not,
the overhead, too. That is why two streams that take turns get a fraction of what one gets.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import isqrt
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from fairlead.devices.interface import (
    MB,
    MS,
    SECOND,
    US,
    DeviceParameters,
    MegabytesPerS,
    Microseconds,
    SimulatedDevice,
)
from fairlead.sched.cost import PAGE_BYTES, CostModel, Operation, OperationCost

_ROOT_SHIFT: Final = 20
"""Square roots are taken with this many binary digits behind the point."""


class DiskParameters(DeviceParameters):
    """A disk.

    Attributes:
        mb_per_s: transfer at the outer edge, where addresses begin.
        inner_percent: transfer at the inner edge, of that, 10..100.
        revolution_us: one turn.
        track_us: the shortest seek (t0).
        average_us: a seek over a third of the capacity (t_avg).
        full_us: a seek over all of it (t_max).
        overhead_us: of a command.
        rotation: ``mean`` counts half a turn, ``angular`` looks where the data is.
        queue: requests among which the disk takes the nearest first, 1..256; 1: as they come.
        age_ms: who has waited so long goes first all the same, 1..60000.
    """

    family: ClassVar[str] = "disk"

    mb_per_s: MegabytesPerS
    inner_percent: Annotated[int, Field(ge=10, le=100)] = 100
    revolution_us: Microseconds
    track_us: Microseconds
    average_us: Microseconds
    full_us: Microseconds
    overhead_us: Microseconds = 100
    rotation: Literal["mean", "angular"] = "mean"
    queue: Annotated[int, Field(ge=1, le=256)] = 1
    age_ms: Annotated[int, Field(ge=1, le=60_000)] = 500

    @model_validator(mode="after")
    def _seeks_grow(self) -> Self:
        if not self.track_us <= self.average_us <= self.full_us:
            raise ValueError(
                f"seeks of {self.track_us}, {self.average_us} and {self.full_us} us shrink with "
                "the distance; let track_us, average_us and full_us grow"
            )
        return self

    @property
    @override
    def servers(self) -> int:
        return 1

    @override
    def build(self) -> SimulatedDevice:
        return Disk(self)

    @override
    def cost_model(self) -> CostModel:
        """Return the cost by averages: a third of the way, half a turn, the middle's rate."""
        random_ns = self.average_us * US + self.revolution_us * US // 2 + self.overhead_us * US
        page_ns = transfer_ns(self, self.size // 2, PAGE_BYTES)
        data = OperationCost(
            random_ns=random_ns, sequential_ns=self.overhead_us * US, page_ns=page_ns
        )
        flush = OperationCost(random_ns=self.overhead_us * US, sequential_ns=self.overhead_us * US)
        return CostModel(read=data, write=data, flush=flush)


def seek_ns(parameters: DiskParameters, distance_bytes: int) -> int:
    """Return how long the head takes over a distance."""
    thrice, size = 3 * distance_bytes, parameters.size
    near_ns, average_ns = parameters.track_us * US, parameters.average_us * US
    if thrice <= size:
        root = isqrt((thrice << 2 * _ROOT_SHIFT) // size)
        return near_ns + ((average_ns - near_ns) * root >> _ROOT_SHIFT)
    further_ns = parameters.full_us * US - average_ns
    return average_ns + further_ns * (thrice - size) // (2 * size)


def transfer_ns(parameters: DiskParameters, offset_bytes: int, length_bytes: int) -> int:
    """Return how long the data takes to pass the head, which is slower further inside."""
    size = parameters.size
    lost = (100 - parameters.inner_percent) * offset_bytes
    bytes_per_s = parameters.mb_per_s * MB * (100 * size - lost) // (100 * size)
    return length_bytes * SECOND // bytes_per_s


@dataclass(slots=True)
class _Waiting:
    token: int
    operation: Operation
    offset_bytes: int
    length_bytes: int
    since_ns: int


class Disk(SimulatedDevice):
    """A disk at work."""

    def __init__(self, parameters: DiskParameters) -> None:
        """Start idle, the head at the first address."""
        self._parameters = parameters
        self._turn_ns = parameters.revolution_us * US
        self._track_bytes = max(1, parameters.mb_per_s * MB * self._turn_ns // SECOND)
        self._head_bytes = 0
        self._waiting: deque[_Waiting] = deque()
        self._serving: tuple[int, int] | None = None  # (end, token)
        self._started_ns = 0

    @override
    def submit(
        self, token: int, operation: Operation, offset_bytes: int, length_bytes: int, now_ns: int
    ) -> None:
        """Take a request."""
        self._waiting.append(_Waiting(token, operation, offset_bytes, length_bytes, now_ns))
        if self._serving is None:
            self._start(now_ns)

    @override
    def next_completion_ns(self) -> int | None:
        """Tell when the request that is served will be done."""
        return self._serving[0] if self._serving else None

    @override
    def complete(self) -> int | None:
        """Take it, and let the disk go on."""
        if self._serving is None:
            raise ValueError("the disk is idle")
        end_ns, token = self._serving
        self._serving = None
        if self._waiting:
            self._start(end_ns)
        return token

    @override
    def busy_ns(self, now_ns: int) -> int:
        """Return the working time of the head."""
        left_ns = max(0, self._serving[0] - now_ns) if self._serving else 0
        return self._started_ns - left_ns

    def _start(self, now_ns: int) -> None:
        place = self._choose(now_ns)
        request = self._waiting[place]
        del self._waiting[place]
        duration_ns = self._positioning_ns(request, now_ns)
        if request.operation is not Operation.FLUSH:
            duration_ns += transfer_ns(self._parameters, request.offset_bytes, request.length_bytes)
            self._head_bytes = request.offset_bytes + request.length_bytes
        self._started_ns += duration_ns
        self._serving = (now_ns + duration_ns, request.token)

    def _choose(self, now_ns: int) -> int:
        """Return the place in the queue of the request to serve."""
        seen = min(self._parameters.queue, len(self._waiting))
        oldest_ns = now_ns - self._waiting[0].since_ns
        if seen == 1 or oldest_ns > self._parameters.age_ms * MS:
            return 0
        return min(range(seen), key=lambda i: self._positioning_ns(self._waiting[i], now_ns))

    def _positioning_ns(self, request: _Waiting, now_ns: int) -> int:
        """Return how long it takes until the head is where a request begins."""
        overhead_ns = self._parameters.overhead_us * US
        if request.operation is Operation.FLUSH:
            return overhead_ns
        if request.offset_bytes == self._head_bytes:
            return 0 if request.since_ns < now_ns else overhead_ns
        distance_bytes = abs(request.offset_bytes - self._head_bytes)
        moved_ns = overhead_ns + seek_ns(self._parameters, distance_bytes)
        return moved_ns + self._rotation_ns(request.offset_bytes, now_ns + moved_ns)

    def _rotation_ns(self, offset_bytes: int, at_ns: int) -> int:
        if self._parameters.rotation == "mean":
            return self._turn_ns // 2
        angle_ns = offset_bytes % self._track_bytes * self._turn_ns // self._track_bytes
        return (angle_ns - at_ns) % self._turn_ns
