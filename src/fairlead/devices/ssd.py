"""Flash: several channels, each of which serves one request at a time.

A request takes ONE channel for a fixed time and a time for each 4 KiB page that it touches; its
pages are not spread over channels. So 64 KiB cost 16 times 4 KiB, less 15 times the fixed part, and
a large request holds a channel for as long as its pages take. Real devices spread large requests,
but then these meet in every channel those of everybody else; for who gets how much of the device
both come to the same, and this is simpler.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator
from typing_extensions import override

from fairlead.devices.interface import US, DeviceParameters, Microseconds, SimulatedDevice
from fairlead.sched.cost import PAGE_BYTES, CostModel, Operation, OperationCost

# A linear congruential generator (Knuth's MMIX): the same numbers in every language.
_FACTOR: Final = 6364136223846793005
_STEP: Final = 1442695040888963407
_MASK: Final = (1 << 64) - 1
_HIGH_BITS: Final = 33


class SsdParameters(DeviceParameters):
    """An SSD.

    Attributes:
        channels: requests served at a time, 1..1024.
        base_us: what every read and write takes beside its pages, below read_us and write_us.
        read_us: reading 4 KiB.
        write_us: writing 4 KiB.
        flush_us: a flush.
        spread_percent: service times differ by up to this from request to request, 0..90.
    """

    family: ClassVar[str] = "ssd"

    channels: Annotated[int, Field(ge=1, le=1024)]
    base_us: Microseconds
    read_us: Microseconds
    write_us: Microseconds
    flush_us: Microseconds
    spread_percent: Annotated[int, Field(ge=0, le=90)] = 0

    @model_validator(mode="after")
    def _base_is_a_part(self) -> Self:
        least = min(self.read_us, self.write_us)
        if self.base_us >= least:
            raise ValueError(
                f"base_us {self.base_us} leaves nothing for the data; take less than {least}"
            )
        return self

    @property
    @override
    def servers(self) -> int:
        return self.channels

    @override
    def build(self) -> SimulatedDevice:
        return Ssd(self)

    @override
    def cost_model(self) -> CostModel:
        return self.channel_times()

    def channel_times(self) -> CostModel:
        """Return how long a channel takes for each kind of request."""
        return CostModel(
            read=self.operation_cost(self.read_us),
            write=self.operation_cost(self.write_us),
            flush=OperationCost(random_ns=self.flush_us * US, sequential_ns=self.flush_us * US),
            granule_bytes=PAGE_BYTES,
        )

    def operation_cost(self, page_us: int) -> OperationCost:
        """Return the cost of an operation of which 4 KiB take so long."""
        base_ns = self.base_us * US
        return OperationCost(
            random_ns=base_ns, sequential_ns=base_ns, page_ns=page_us * US - base_ns
        )


class Ssd(SimulatedDevice):
    """An SSD at work: one queue, first come first served, and whichever channel is free."""

    def __init__(self, parameters: SsdParameters) -> None:
        """Start idle."""
        self._free = parameters.channels
        self._times = parameters.channel_times()
        self._spread_percent = parameters.spread_percent
        self._random = 0
        self._waiting: deque[tuple[int | None, Operation, int]] = deque()
        self._serving: list[tuple[int, int, int | None]] = []  # (end, number, token)
        self._started = 0
        self._started_ns = 0

    @override
    def submit(
        self, token: int, operation: Operation, offset_bytes: int, length_bytes: int, now_ns: int
    ) -> None:
        """Take a request; where it is on the medium makes no difference."""
        self._waiting.append((token, operation, length_bytes))
        self._start(now_ns)

    @override
    def next_completion_ns(self) -> int | None:
        """Tell when the next channel will be done."""
        return self._serving[0][0] if self._serving else None

    @override
    def complete(self) -> int | None:
        """Take that channel's request, and let the channel go on."""
        end_ns, _, token = heapq.heappop(self._serving)
        self._free += 1
        self._start(end_ns)
        return token

    @override
    def busy_ns(self, now_ns: int) -> int:
        """Return the working time of all channels."""
        return self._started_ns - sum(max(0, end - now_ns) for end, _, _ in self._serving)

    def _start(self, now_ns: int) -> None:
        while self._free and self._waiting:
            token, operation, length_bytes = self._waiting.popleft()
            duration_ns = self._duration_ns(token, operation, length_bytes, now_ns)
            self._free -= 1
            self._started += 1
            self._started_ns += duration_ns
            heapq.heappush(self._serving, (now_ns + duration_ns, self._started, token))

    def _duration_ns(
        self,
        token: int | None,  # noqa: ARG002  a device with work of its own looks at it
        operation: Operation,
        length_bytes: int,
        now_ns: int,  # noqa: ARG002  and a device with a memory at the time
    ) -> int:
        """Return how long a channel takes for a request that starts now."""
        duration_ns = self._times.estimate(operation, length_bytes, is_sequential=False)
        return self._vary(duration_ns) if self._spread_percent else duration_ns

    def _vary(self, duration_ns: int) -> int:
        self._random = (self._random * _FACTOR + _STEP) & _MASK
        widest = self._spread_percent
        percent = 100 - widest + (self._random >> _HIGH_BITS) % (2 * widest + 1)
        return duration_ns * percent // 100
