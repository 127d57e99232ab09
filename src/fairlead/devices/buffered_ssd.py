"""Flash with a write buffer that drains at a rate, and with pauses for garbage collection.

A write is done when its data is in the buffer. One that finds no room keeps its channel until there
is, so whoever writes faster than the buffer drains takes the channels from those who read. After
each so many bytes written, garbage collection takes some of the channels for a while.
"""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, model_validator
from typing_extensions import override

from fairlead.devices.interface import MB, MS, SECOND, US, MegabytesPerS, SimulatedDevice
from fairlead.devices.ssd import Ssd, SsdParameters
from fairlead.model.size import SizeBytes
from fairlead.sched.cost import PAGE_BYTES, CostModel, Operation, OperationCost

# The longest request of a client: it fits into the buffer, and causes at most one collection.
_LEAST_BYTES: Final = 16 << 20


class BufferedSsdParameters(SsdParameters):
    """An SSD with a write buffer.

    Attributes:
        buffer: what it holds of written data, at least 16M.
        drain_mb_per_s: at which rate that goes to flash.
        gc_every: bytes written from one garbage collection to the next, at least 16M.
        gc_ms: how long a collection takes, 1..10000.
        gc_channels: channels that it takes, at most all.
    """

    buffer: SizeBytes
    drain_mb_per_s: MegabytesPerS
    gc_every: SizeBytes
    gc_ms: Annotated[int, Field(ge=1, le=10_000)]
    gc_channels: Annotated[int, Field(ge=1, le=1024)]

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name in ("buffer", "gc_every"):
            if getattr(self, name) < _LEAST_BYTES:
                raise ValueError(f"{name} {getattr(self, name)} is too small; take at least 16M")
        if self.gc_channels > self.channels:
            raise ValueError(
                f"gc_channels {self.gc_channels} are more than there are; "
                f"take at most {self.channels}"
            )
        return self

    @override
    def build(self) -> SimulatedDevice:
        return BufferedSsd(self)

    @override
    def cost_model(self) -> CostModel:
        """Return the cost in the long run.

        Filling the buffer costs next to nothing, but who only writes gets the whole device for
        the rate at which the buffer drains, and garbage collection beside.
        """
        drained_ns = self.channels * SECOND * PAGE_BYTES // (self.drain_mb_per_s * MB)
        collected_ns = self.gc_channels * self.gc_ms * MS * PAGE_BYTES // self.gc_every
        page_ns = max(self.write_us * US, drained_ns + collected_ns)
        write = OperationCost(random_ns=0, sequential_ns=0, page_ns=page_ns)
        plain = self.channel_times()
        return CostModel(
            read=plain.read, write=write, flush=plain.flush, granule_bytes=plain.granule_bytes
        )


class BufferedSsd(Ssd):
    """Such an SSD at work."""

    def __init__(self, parameters: BufferedSsdParameters) -> None:
        """Start idle, with an empty buffer."""
        super().__init__(parameters)
        self._parameters = parameters
        self._bytes_per_s = parameters.drain_mb_per_s * MB
        # What is in the buffer or waits to be, and when that was so.
        self._held_bytes = 0
        self._held_at_ns = 0
        self._written_bytes = 0

    @override
    def _duration_ns(
        self, token: int | None, operation: Operation, length_bytes: int, now_ns: int
    ) -> int:
        if token is None:
            return self._parameters.gc_ms * MS
        duration_ns = super()._duration_ns(token, operation, length_bytes, now_ns)
        if operation is Operation.WRITE:
            return max(duration_ns, self._fill(length_bytes, now_ns))
        if operation is Operation.FLUSH:
            self._drain(now_ns)
            return duration_ns + self._draining_ns(self._held_bytes)
        return duration_ns

    def _fill(self, length_bytes: int, now_ns: int) -> int:
        """Put data into the buffer; return how long it takes until there is room."""
        self._drain(now_ns)
        self._held_bytes += length_bytes
        self._written_bytes += length_bytes
        if self._written_bytes >= self._parameters.gc_every:
            self._written_bytes -= self._parameters.gc_every
            pause = (None, Operation.FLUSH, 0)
            self._waiting.extendleft([pause] * self._parameters.gc_channels)
        return self._draining_ns(max(0, self._held_bytes - self._parameters.buffer))

    def _drain(self, now_ns: int) -> None:
        drained_bytes = (now_ns - self._held_at_ns) * self._bytes_per_s // SECOND
        if drained_bytes < self._held_bytes:
            # Only as far as whole bytes went, or many short steps would drain nothing.
            self._held_bytes -= drained_bytes
            self._held_at_ns += drained_bytes * SECOND // self._bytes_per_s
        else:
            self._held_bytes = 0
            self._held_at_ns = now_ns

    def _draining_ns(self, length_bytes: int) -> int:
        return length_bytes * SECOND // self._bytes_per_s
