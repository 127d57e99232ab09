"""What each client got, counted as it happens."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Bin:
    """What one client got within one bin of time.

    Attributes:
        cost_ns: estimated cost of what was done, pieces of requests included.
        length_bytes: of the same.
        requests: whole requests done.
    """

    cost_ns: int = 0
    length_bytes: int = 0
    requests: int = 0


@dataclass(slots=True)
class ClientTally:
    """What one client got; bins in which it got nothing are left out."""

    bins: dict[int, Bin] = field(default_factory=dict)
    refused: int = 0

    def bin(self, number: int) -> Bin:
        """Return a bin to count in."""
        found = self.bins.get(number)
        if found is None:
            found = self.bins[number] = Bin()
        return found


@dataclass(slots=True)
class GroupTally:
    """What the clients of one kind got.

    Attributes:
        clients: each of them.
        latencies_ns: of all their requests, in the order in which they were done.
        done: how many requests were done until the end of each bin; bins without any left out.
    """

    clients: list[ClientTally]
    latencies_ns: array[int] = field(default_factory=lambda: array("q"))
    done: dict[int, int] = field(default_factory=dict)

    def latencies_by_bin(self) -> Iterator[tuple[int, array[int]]]:
        """Return the bins in which requests were done, and their latencies."""
        start = 0
        for number, end in self.done.items():
            yield number, self.latencies_ns[start:end]
            start = end


@dataclass(slots=True)
class Tally:
    """What a run counted.

    Attributes:
        bin_ns: length of a bin.
        end_ns: length of the run.
        groups: for each entry of the scenario's clients.
        busy_ns: work of the device's servers, all together.
    """

    bin_ns: int
    end_ns: int
    groups: list[GroupTally]
    busy_ns: int = 0

    @property
    def bins(self) -> int:
        """How many bins there are; the last one may be short."""
        return -(-self.end_ns // self.bin_ns)
