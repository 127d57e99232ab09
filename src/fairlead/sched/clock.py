"""Virtual time: the calendar that contexts are in, and the clock of a class.

Part of the specification in ``reference.py``, which says what it is all for.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.sched.flow import Flow


class Calendar:
    """Contexts by a tag: the smallest step first, and within a step who came first.

    In the data plane a ring of lists, one for each step; here a heap.
    """

    def __init__(self, step_shift: int) -> None:
        """Start empty, with steps of ``1 << step_shift`` of virtual time."""
        self._step_shift = step_shift
        self._entries: dict[Flow, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, Flow]] = []
        self._count = 0

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._entries)

    def step(self, tag: int) -> int:
        """The step that a tag is in."""
        return tag >> self._step_shift

    def enter(self, flow: Flow, tag: int) -> None:
        """Put a context in."""
        self._count += 1
        self._entries[flow] = (self.step(tag), self._count)
        heapq.heappush(self._heap, (*self._entries[flow], flow))
        flow.calendar = self

    def leave(self, flow: Flow) -> None:
        """Take a context out."""
        del self._entries[flow]
        flow.calendar = None

    def first(self) -> Flow | None:
        """The first of the smallest step."""
        while self._heap:
            *entry, flow = self._heap[0]
            if self._entries.get(flow) == tuple(entry):
                return flow
            heapq.heappop(self._heap)  # It has left meanwhile.
        return None


class Clock:
    """The contexts of one priority that count, and their virtual time.

    Who takes part is *waiting*, for the clock to come to its start tag, or *eligible*. Who does
    not, but has had more than its share, is *ahead*, and counts until the clock has come to where
    it is: the clock runs by all those to whom the work of this time is due. Else each of a crowd
    that goes would make it run faster for those that are left, who would all be late then and all
    go before whoever comes anew.
    """

    def __init__(self, step_shift: int) -> None:
        """Start with nobody, at 0."""
        self.virtual = 0
        self.weights = 0
        self.waiting = Calendar(step_shift)
        self.eligible = Calendar(step_shift)
        self.ahead = Calendar(step_shift)
        self._step_shift = step_shift
        self._remainder = 0

    def enter(self, flow: Flow) -> None:
        """Let a context take part, by its tags."""
        self.weights += flow.settings.weight
        self.waiting.enter(flow, flow.start)

    def pause(self, flow: Flow) -> None:
        """Let a context not take part; it counts if it is ahead."""
        if flow.start > self.virtual:
            self.weights += flow.settings.weight
            self.ahead.enter(flow, flow.start)

    def leave(self, flow: Flow) -> None:
        """Take a context out, wherever it is; from a pause it comes back at the clock."""
        if flow.calendar not in (self.waiting, self.eligible):
            flow.start = max(flow.start, self.virtual)
        if flow.calendar is not None:
            flow.calendar.leave(flow)
            self.weights -= flow.settings.weight

    def advance(self, virtual_work: int, finish: int) -> None:
        """Run by work that was given, at weight 1, of what is due to those who count.

        It does not pass the finish tag of that work, the smallest there was: who is late is late
        by one request and no more, even if others have ended that were ahead.
        """
        # The weights may be fewer than those of which something remained.
        work = min(self._remainder, self.weights) + virtual_work
        on, self._remainder = divmod(work, self.weights)
        self._go_to(max(self.virtual, min(self.virtual + on, finish)))

    def first(self) -> Flow | None:
        """The eligible context with the smallest finish tag."""
        self._make_eligible()
        if self.eligible.first() is None and (flow := self.waiting.first()):
            # All have had more than their share. To the beginning of the step: nobody is late.
            self._remainder = 0
            self._go_to(self.waiting.step(flow.start) << self._step_shift)
            self._make_eligible()
        return self.eligible.first()

    def _go_to(self, virtual: int) -> None:
        self.virtual = virtual
        now = self.ahead.step(virtual)
        while (flow := self.ahead.first()) and self.ahead.step(flow.start) < now:
            self.leave(flow)

    def _make_eligible(self) -> None:
        now = self.waiting.step(self.virtual)
        while (flow := self.waiting.first()) and self.waiting.step(flow.start) <= now:
            self.waiting.leave(flow)
            self.eligible.enter(flow, flow.finish)
