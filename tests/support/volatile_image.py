"""A disk image with a volatile cache: what no completed sync covers may be lost in a crash.

The image keeps two contents: what a reader sees now, and what is surely there after a crash.
Between them, each granule (4 KiB unless told otherwise) has the list of its later contents in the
order of the writes. A sync makes the newest content of each granule durable that was written before
the sync *arrived*; a crash picks for each granule, independently, the durable content or any later
one. So writes reach the medium in any order and a request over several granules may be torn between
them, as with a real disk's write cache or the kernel's page cache.

Pure: no I/O, no clock; randomness comes from a seed.
"""

from __future__ import annotations

import mmap
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A granule written very often without a sync has its oldest contents made durable beyond this many:
# a device may write back whenever it likes, and memory stays bounded.
VERSIONS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What a crash did, in granules."""

    volatile: int
    dropped: int
    torn_in_flight: int


@dataclass(frozen=True, slots=True)
class InFlightWrite:
    """A write not answered when the crash came; any of its granules may be on the medium."""

    offset_bytes: int
    data: bytes


class VolatileImage:
    """An image of ``size_bytes`` zeros, in granules of ``granule_bytes``.

    Not thread safe: the owner holds one lock around every call.
    """

    def __init__(self, size_bytes: int, *, granule_bytes: int = 4096) -> None:
        assert size_bytes > 0
        assert granule_bytes > 0
        assert granule_bytes % 512 == 0
        self.granule_bytes: Final = granule_bytes
        self.size_bytes = size_bytes
        self._seen = _zeros(size_bytes)
        self._durable = _zeros(size_bytes)
        self._volatile: dict[int, list[tuple[int, bytes]]] = {}
        self._lost: set[int] = set()
        self._writes = 0

    @property
    def volatile_granules(self) -> int:
        """Number of granules with a content that a crash may drop."""
        return len(self._volatile) + len(self._lost - self._volatile.keys())

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return what a reader sees now, short at the end of the file."""
        return self._seen[offset_bytes : min(offset_bytes + length_bytes, self.size_bytes)]

    def write(self, offset_bytes: int, data: bytes | memoryview, *, durable: bool = False) -> None:
        """Write, growing the file if need be; ``durable`` covers the granules of this write."""
        end = offset_bytes + len(data)
        if end > self.size_bytes:
            self.resize(end)
        self._seen[offset_bytes:end] = data
        self._note(offset_bytes, end, durable=durable)

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        """Punch a hole or zero a range; as volatile as a write, and never growing the file."""
        end = min(offset_bytes + length_bytes, self.size_bytes)
        if end > offset_bytes:
            self._seen[offset_bytes:end] = bytes(end - offset_bytes)
            self._note(offset_bytes, end, durable=False)

    def resize(self, size_bytes: int) -> None:
        """Set the size; at once durable, because a volume is sized before it is served."""
        kept = min(size_bytes, self.size_bytes)
        for content in (self._seen, self._durable):
            if size_bytes > len(content):
                content.resize(_whole_pages(size_bytes))
            content[size_bytes : self.size_bytes] = bytes(self.size_bytes - kept)
        first_gone = -(-size_bytes // self.granule_bytes)
        for granule in [g for g in self._volatile if g >= first_gone]:
            del self._volatile[granule]
        self.size_bytes = size_bytes

    def sync_point(self) -> int:
        """Return the point in the order of writes that a sync arriving now has to cover."""
        return self._writes

    def sync(self, point: int) -> None:
        """Make every write up to ``point`` durable."""
        for granule, versions in list(self._volatile.items()):
            covered = sum(1 for number, _ in versions if number <= point)
            if covered:
                self._store(granule, versions[covered - 1][1])
                self._forget_versions(granule, versions, covered)

    def fail_sync(self, point: int) -> None:
        """Fail a sync the way the kernel does: what it would have covered will never be written.

        Readers go on seeing the lost contents until a crash, later syncs succeed and do not bring
        them back; only writing the granule again does.
        """
        for granule, versions in list(self._volatile.items()):
            covered = sum(1 for number, _ in versions if number <= point)
            if covered:
                self._lost.add(granule)
                self._forget_versions(granule, versions, covered)

    def crash(self, seed: int, *, in_flight: Sequence[InFlightWrite] = ()) -> CrashReport:
        """Drop or keep each volatile content at random; the result is what is there from now on."""
        rng = random.Random(seed)
        touched = sorted(self._volatile.keys() | self._lost)
        dropped = 0
        for granule in touched:
            versions = self._volatile.get(granule, [])
            choice = rng.randint(0, len(versions))
            if choice:
                self._store(granule, versions[choice - 1][1])
            dropped += choice < len(versions) or not versions
            low, high = self._bounds(granule)
            self._seen[low:high] = self._durable[low:high]
        self._volatile.clear()
        self._lost.clear()
        torn = sum(self._tear(write, rng) for write in in_flight)
        return CrashReport(volatile=len(touched), dropped=dropped, torn_in_flight=torn)

    def _tear(self, write: InFlightWrite, rng: random.Random) -> int:
        """Put random granules of an unanswered write on the medium; return how many."""
        end = min(write.offset_bytes + len(write.data), self.size_bytes)
        reached = 0
        for granule in self._granules(write.offset_bytes, end):
            if rng.random() < 0.5:
                continue
            low, high = self._bounds(granule)
            low, high = max(low, write.offset_bytes), min(high, end)
            part = write.data[low - write.offset_bytes : high - write.offset_bytes]
            self._seen[low:high] = part
            self._durable[low:high] = part
            reached += 1
        return reached

    def _note(self, start: int, end: int, *, durable: bool) -> None:
        self._writes += 1
        for granule in self._granules(start, end):
            low, high = self._bounds(granule)
            content = self._seen[low:high]
            versions = self._volatile.get(granule)
            if durable:
                self._store(granule, content)
                self._volatile.pop(granule, None)
            elif versions is None:
                self._volatile[granule] = [(self._writes, content)]
            else:
                versions.append((self._writes, content))
                if len(versions) > VERSIONS_MAX:
                    self._store(granule, versions.pop(0)[1])

    def _store(self, granule: int, content: bytes) -> None:
        low, high = self._bounds(granule)
        self._durable[low:high] = content[: high - low]
        self._lost.discard(granule)

    def _forget_versions(self, granule: int, versions: list[tuple[int, bytes]], count: int) -> None:
        del versions[:count]
        if not versions:
            del self._volatile[granule]

    def _granules(self, start: int, end: int) -> Iterator[int]:
        return iter(range(start // self.granule_bytes, -(-end // self.granule_bytes)))

    def _bounds(self, granule: int) -> tuple[int, int]:
        low = granule * self.granule_bytes
        return low, min(low + self.granule_bytes, self.size_bytes)


def _whole_pages(size_bytes: int) -> int:
    return -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _zeros(size_bytes: int) -> mmap.mmap:
    """Anonymous memory: pages never written cost nothing, so a large image is cheap."""
    # Private, because a shared anonymous mapping cannot grow.
    return mmap.mmap(-1, _whole_pages(size_bytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
