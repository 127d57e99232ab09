"""What a client asks for, and when. Randomness is an argument."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from fairlead.devices.interface import MS, SECOND
from fairlead.sched.cost import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from fairlead.sim.client import ClientConfig

_ALIGNMENT_BYTES: Final = 4096
"""Of what random requests begin at, and of where streams begin."""


class Schedule:
    """When a client is at work."""

    def __init__(self, client: ClientConfig, end_ns: int) -> None:
        """Take its times from its description; it ends at ``end_ns`` at the latest."""
        self.start_ns = round(client.start_s * SECOND)
        stop_ns = end_ns if client.stop_s is None else round(client.stop_s * SECOND)
        self.stop_ns = min(stop_ns, end_ns)
        self._on_ns = self._period_ns = 0
        if client.burst is not None:
            self._on_ns = client.burst.on_ms * MS
            self._period_ns = self._on_ns + client.burst.off_ms * MS

    def open_ns(self, at_ns: int) -> int | None:
        """Return the first time from this on at which it works; None: it does not any more."""
        at_ns = max(at_ns, self.start_ns)
        if self._period_ns:
            phase_ns = (at_ns - self.start_ns) % self._period_ns
            if phase_ns >= self._on_ns:
                at_ns += self._period_ns - phase_ns
        return at_ns if at_ns < self.stop_ns else None

    def times(self) -> Iterator[tuple[int, int]]:
        """Return from when to when it works."""
        if not self._period_ns:
            if self.start_ns < self.stop_ns:
                yield self.start_ns, self.stop_ns
            return
        for start_ns in range(self.start_ns, self.stop_ns, self._period_ns):
            yield start_ns, min(start_ns + self._on_ns, self.stop_ns)


class Load:
    """One client's requests."""

    def __init__(
        self, client: ClientConfig, random: Random, size_bytes: int, position: float
    ) -> None:
        """Begin.

        Args:
            client: its description.
            random: its own source of randomness.
            size_bytes: of the device.
            position: where on the device it begins if it is sequential, 0 to below 1.
        """
        self._random = random
        self._lengths = [length for length, _ in client.size]
        self._chances = list(accumulate(weight for _, weight in client.size))
        self._read_percent = client.read_percent
        self._is_sequential = client.access == "sequential"
        self._size_bytes = size_bytes
        self._next_bytes = int(size_bytes * position) // _ALIGNMENT_BYTES * _ALIGNMENT_BYTES
        # No request crosses the end of the device.
        self._places = max(1, (size_bytes - max(self._lengths)) // _ALIGNMENT_BYTES)
        self._interval_ns = 0.0
        if client.requests_per_s is not None:
            self._interval_ns = SECOND / client.requests_per_s
        self._is_even = client.arrivals == "even"
        self._due_ns = 0.0

    def draw(self) -> tuple[Operation, int, int]:
        """Return the next request: what, where and how long, in bytes."""
        random = self._random.random
        operation, length_bytes = Operation.READ, self._lengths[0]
        if self._read_percent < 100 and random() * 100 >= self._read_percent:
            operation = Operation.WRITE
        if len(self._lengths) > 1:
            place = random() * self._chances[-1]
            length_bytes = self._lengths[bisect_right(self._chances, place)]
        if not self._is_sequential:
            offset_bytes = int(random() * self._places) * _ALIGNMENT_BYTES
            return operation, offset_bytes, length_bytes
        offset_bytes = self._next_bytes
        if offset_bytes + length_bytes > self._size_bytes:
            offset_bytes = 0
        self._next_bytes = offset_bytes + length_bytes
        return operation, offset_bytes, length_bytes

    def arrival_ns(self, now_ns: int) -> int:
        """Return when the next request of an open loop comes, after one that came now."""
        # Kept with its fraction, so that the rate is met in the long run.
        if not now_ns - 1 < self._due_ns <= now_ns + 1:
            self._due_ns = now_ns
        if self._is_even:
            self._due_ns += self._interval_ns
        else:
            self._due_ns += self._random.expovariate(1.0) * self._interval_ns
        return max(now_ns + 1, int(self._due_ns))
