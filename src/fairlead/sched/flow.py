"""A context as the scheduler sees it: its queue, its place in virtual time, its rates.

Part of the specification in ``reference.py``, which says what it is all for.

A rate is kept by the generic cell rate algorithm (GCRA): a *theoretical arrival time*, for requests
and for bytes each, that every request moves on by what it lasts at that rate. It is compared with
the time that it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.sched.settings import Settings

if TYPE_CHECKING:
    from fairlead.sched.clock import Calendar
    from fairlead.sched.reference import Request
    from fairlead.sched.settings import Rate

LATE_MAX_NS: Final = 100_000_000
"""A guarantee that the device could not keep is made up for by what it is in this time."""


@dataclass(slots=True, eq=False)
class Flow:
    """A context. Made with settings that promise and forbid nothing."""

    context: int
    settings: Settings = field(default_factory=Settings)
    queue: deque[Request] = field(default_factory=deque)
    start: int = 0
    """How far it is, in virtual time: start tag of its next request."""
    finish: int = 0
    """Finish tag of its first request, while it takes part."""
    calendar: Calendar | None = None
    """Where it is: waiting, eligible, or paused and ahead. None: paused and not ahead."""
    held_until: int | None = None
    """When it may go on that has something queued, and is paused by its limit."""
    # Theoretical arrival times: by requests and by bytes.
    limit_tats: list[int] = field(default_factory=lambda: [0, 0])
    guarantee_tats: list[int] = field(default_factory=lambda: [0, 0])

    def limit_ends(self) -> int:
        """When its next request may go, as far as its limit is concerned."""
        tats = _those_of(self.limit_tats, self.settings.limit)
        return max((tat - self.settings.burst_ns for tat in tats), default=0)

    def guarantee_due(self) -> int | None:
        """When it falls behind its guarantee; None: it has none."""
        return min(_those_of(self.guarantee_tats, self.settings.guarantee), default=None)

    def is_behind(self, now: int) -> bool:
        """Tell whether it has something that may go, and is behind its guarantee."""
        due = self.guarantee_due()
        return bool(self.queue) and self.held_until is None and due is not None and due <= now

    def wake(self, now: int) -> None:
        """Come back from a pause, which saves up no more of a guarantee than the burst."""
        earliest = now - self.settings.burst_ns
        self.guarantee_tats = [max(tat, earliest) for tat in self.guarantee_tats]

    def charge(self, length_bytes: int, now: int, *, is_guaranteed: bool) -> None:
        """Count a request that goes now towards its rates.

        As in mClock, what it gets by its share uses up nothing of its guarantee. Nor does what it
        gets for the sake of one kind of guarantee use up anything of the other.
        """
        limit, guarantee = self.settings.limit, self.settings.guarantee
        times = limit.times_ns(length_bytes, is_limit=True)
        _advance(self.limit_tats, times, now, now + self.settings.burst_ns)
        if is_guaranteed:
            times = guarantee.times_ns(length_bytes, is_limit=False)
            _advance(self.guarantee_tats, times, now - LATE_MAX_NS, now)

    def change(self, settings: Settings, now: int) -> None:
        """Go over to other settings. A burst is saved up by a pause: who is new has none yet."""
        old, self.settings = self.settings, settings
        _change(self.limit_tats, old.limit, settings.limit, now + settings.burst_ns, now)
        _change(self.guarantee_tats, old.guarantee, settings.guarantee, now, now)


def _those_of(tats: list[int], rate: Rate) -> list[int]:
    """Times of the kinds that a rate has."""
    return [tat for tat, per_s in zip(tats, rate.per_s, strict=True) if per_s is not None]


def _advance(
    tats: list[int], times: tuple[int | None, int | None], earliest: int, latest: int
) -> None:
    """Move on by what a request lasts, from no earlier and no later than this."""
    for kind, time in enumerate(times):
        if time is not None:
            tats[kind] = max(earliest, min(tats[kind], latest)) + time


def _change(tats: list[int], old: Rate, new: Rate, fresh: int, now: int) -> None:
    """Go over to another rate: what is owed lasts shorter at a higher one, but never longer."""
    for kind, (before, after) in enumerate(zip(old.per_s, new.per_s, strict=True)):
        if before is None:
            tats[kind] = fresh
        elif after is not None and after > before and tats[kind] > now:
            tats[kind] = now + (tats[kind] - now) * before // after
