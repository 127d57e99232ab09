"""The scheduler's specification: which request a backing device gets next.

This file is to be read; the data plane runs `crates/sched/src/fair.rs`, which is held to it
decision by decision. All numbers are integers, so that both come to the same.

**The problem.** A device serves several requests at once and gives them back in its own order.
Each context (who the I/O is for) is due a share of it in proportion to its weight, for as long as
it has something to do; a share that somebody leaves goes to the others, and nobody is punished
later for having taken it.

**Shares: WF2Q+.** A clock of *virtual time* runs for each class. A context with something queued
has a start tag S and a finish tag F = S + cost / weight for its first request. Those with S up to
the clock are *eligible*; of these the smallest F goes first. The clock runs by cost / (sum of
weights of who waits), so it says how far a context is that gets just its share. A context that
comes back from a pause starts at the clock: it has lost nothing and has saved nothing up. For any
two contexts that both want more than they get, the work given to each, divided by its weight,
differs by at most two of their largest requests, however many contexts there are and however many
requests are in flight.

**The window.** At most ``window_ns`` of estimated work is with the device. Without it the
device's own queue decides, and who has most requests there wins. A little is kept free of large
requests while somebody sends small ones, or those would wait behind all the large ones that the
device has taken.

**Limits and guarantees: GCRA.** Each rate has a *theoretical arrival time*, which every request
moves on by what it lasts at that rate. A context ahead of its limit by more than its burst is
*held* until it is not, and does not take part. A context behind its guarantee goes before
everybody else. What it gets so counts towards its share.

Tags are grouped in steps (a calendar's days); within a step who came first goes first. That is
what lets the data plane find the next request without a search.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from fairlead.sched.settings import Priority, Rate, Settings

VIRTUAL_SHIFT: Final = 8
"""Virtual time counts in 1/256 ns at weight 1."""
STEPS: Final = 1024
"""Steps of the calendar that the most expensive request of the smallest weight takes."""
SMALL_ACTIVE_NS: Final = 2_000_000
"""Who has sent a small request within this time is expected to send another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that waits for its turn.

    Attributes:
        context: whose it is.
        token: its name.
        cost_ns: what it will cost the device, estimated; 1 at least and the device's
            ``cost_max_ns`` at most are charged, so that nobody goes for ever for nothing.
        length_bytes: what it moves, for rates in bytes.
    """

    context: int
    token: int
    cost_ns: int
    length_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What the scheduler knows of a backing device.

    Attributes:
        window_ns: estimated work that it may have at a time, at least cost_max_ns + reserve_ns.
        cost_max_ns: the most expensive request; what costs more is charged this.
        small_ns: requests up to this cost are small.
        reserve_ns: part of the window that large requests leave free while small ones come.
        place_ns: the most that a request takes of the window, whatever it costs; None: its cost.
            That of a small request makes the window count requests: right where one request,
            however large, keeps one server of the device busy.
    """

    window_ns: int
    cost_max_ns: int
    small_ns: int = 0
    reserve_ns: int = 0
    place_ns: int | None = None

    def __post_init__(self) -> None:
        """Check that every request fits into an empty window.

        Raises:
            ValueError: it does not.
        """
        if self.cost_max_ns <= 0 or (self.place_ns is not None and self.place_ns <= 0):
            raise ValueError(f"a request takes no place: {self}")
        most_ns = self.place(self.cost_max_ns)
        if most_ns > self.window_ns - self.reserve_ns:
            raise ValueError(f"a request of {most_ns} ns does not fit: {self}")

    def cost(self, cost_ns: int) -> int:
        """Return what a request of this cost is charged."""
        return max(1, min(cost_ns, self.cost_max_ns))

    def place(self, cost_ns: int) -> int:
        """Return what a request of this cost takes of the window."""
        cost_ns = min(cost_ns, self.cost_max_ns)
        return max(1, cost_ns) if self.place_ns is None else max(1, min(cost_ns, self.place_ns))

    @property
    def step_shift(self) -> int:
        """A step of the calendar in virtual time, as a power of two: a tag's is found by a shift.

        The most expensive request at weight 1 takes STEPS of them at most.
        """
        return ((self.cost_max_ns << VIRTUAL_SHIFT) // STEPS).bit_length()


@dataclass(slots=True, eq=False)
class _Flow:
    """A context, as the scheduler sees it."""

    context: int
    settings: Settings
    queue: deque[Request] = field(default_factory=deque)
    start: int = 0
    """How far it is, in virtual time: start tag of its next request."""
    finish: int = 0
    """Finish tag of its first request, while it takes part."""
    calendar: _Calendar | None = None
    """Where it is: waiting or eligible. None: it has nothing queued, or is held."""
    held_until: int | None = None
    # Theoretical arrival times: by requests and by bytes.
    limit_tat: list[int] = field(default_factory=lambda: [0, 0])
    guarantee_tat: list[int] = field(default_factory=lambda: [0, 0])

    def limit_ends(self) -> int:
        """When its next request may go, as far as its limit is concerned."""
        times = zip(self.limit_tat, self.settings.limit.times_ns(0), strict=True)
        tats = [tat for tat, time in times if time is not None]
        return max((tat - self.settings.burst_ns for tat in tats), default=0)

    def guarantee_due(self) -> int | None:
        """When it falls behind its guarantee; None: it has none."""
        times = zip(self.guarantee_tat, self.settings.guarantee.times_ns(0), strict=True)
        return min((tat for tat, time in times if time is not None), default=None)


def _advance(tats: list[int], times: tuple[int | None, int | None], not_before: int) -> None:
    for kind, time in enumerate(times):
        if time is not None:
            tats[kind] = max(tats[kind], not_before) + time


class _Calendar:
    """Contexts by a tag: the smallest step first, and within a step who came first."""

    def __init__(self, step_shift: int) -> None:
        self._step_shift = step_shift
        self._entries: dict[_Flow, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, _Flow]] = []
        self._count = 0

    def step(self, tag: int) -> int:
        return tag >> self._step_shift

    def enter(self, flow: _Flow, tag: int) -> None:
        self._count += 1
        self._entries[flow] = (self.step(tag), self._count)
        heapq.heappush(self._heap, (*self._entries[flow], flow))
        flow.calendar = self

    def leave(self, flow: _Flow) -> None:
        del self._entries[flow]
        flow.calendar = None

    def first(self) -> _Flow | None:
        while self._heap:
            *entry, flow = self._heap[0]
            if self._entries.get(flow) == tuple(entry):
                return flow
            heapq.heappop(self._heap)  # It has left meanwhile.
        return None


class _Class:
    """The contexts of one priority that have something to do, and their clock."""

    def __init__(self, step_shift: int) -> None:
        self.virtual = 0
        self.weights = 0
        self.waiting = _Calendar(step_shift)
        self.eligible = _Calendar(step_shift)
        self._remainder = 0

    def advance(self, cost_ns: int) -> None:
        """Run the clock: this much was given to those who wait."""
        self._remainder += cost_ns << VIRTUAL_SHIFT
        self.virtual += self._remainder // self.weights
        self._remainder %= self.weights

    def first(self) -> _Flow | None:
        """The eligible context with the smallest finish tag."""
        self._make_eligible()
        if self.eligible.first() is None and (flow := self.waiting.first()):
            # All that wait have had more than their share: the clock goes on to the first of them.
            self.virtual, self._remainder = flow.start, 0
            self._make_eligible()
        return self.eligible.first()

    def _make_eligible(self) -> None:
        clock = self.waiting.step(self.virtual)
        while (flow := self.waiting.first()) and self.waiting.step(flow.start) <= clock:
            self.waiting.leave(flow)
            self.eligible.enter(flow, flow.finish)


class Scheduler:
    """Decides which request a device gets next. Pure: time is an argument and never goes back."""

    def __init__(self, device: Device) -> None:
        """Start with an idle device and no contexts."""
        self.device = device
        self._classes = {priority: _Class(device.step_shift) for priority in Priority}
        self._flows: dict[int, _Flow] = {}
        self._guaranteed: dict[int, _Flow] = {}
        self._held: list[tuple[int, int]] = []
        self._in_flight_ns = 0
        self._large_in_flight_ns = 0
        self._small_seen: int | None = None

    def set(self, context: int, settings: Settings, now: int) -> None:
        """Give a context its settings, new or changed; what it has queued stays queued."""
        flow = self._flows.setdefault(context, _Flow(context, settings))
        self._stop(flow)
        if settings.priority is not flow.settings.priority:
            # Each class has a clock of its own.
            flow.start = self._classes[settings.priority].virtual
        flow.settings = settings
        self._guaranteed.pop(context, None)
        if settings.guarantee != Rate():
            self._guaranteed[context] = flow
        self._begin(flow, now)

    def set_window(self, window_ns: int) -> None:
        """Let the device have more or less at a time; at least its largest request and reserve."""
        self.device = replace(self.device, window_ns=window_ns)

    def push(self, request: Request, now: int) -> bool:
        """Queue a request of a known context; False: its queue is full, answer TASK SET FULL."""
        flow = self._flows[request.context]
        if len(flow.queue) >= flow.settings.queued_max:
            return False
        flow.queue.append(request)
        if self.device.cost(request.cost_ns) <= self.device.small_ns:
            self._small_seen = now
        if len(flow.queue) == 1:
            self._stop(flow)
            self._begin(flow, now)
        return True

    def next(self, now: int) -> Request | None:
        """Pick the request that the device gets now; None: nothing may go."""
        self._release(now)
        flow = self._behind_guarantee(now)
        is_guaranteed = flow is not None
        if flow is None:
            flow = next((first for c in self._classes.values() if (first := c.first())), None)
        if flow is None or not self._fits(flow.queue[0], now):
            return None
        return self._dispatch(flow, now, is_guaranteed=is_guaranteed)

    def complete(self, cost_ns: int) -> None:
        """Count off a request, by its cost, that the device has given back."""
        self._count(cost_ns, -1)

    def remove(self, context: int, token: int, now: int) -> bool:
        """Take a queued request back; False: it is not queued (any more)."""
        flow = self._flows[context]
        place = next((i for i, queued in enumerate(flow.queue) if queued.token == token), None)
        if place is None:
            return False
        del flow.queue[place]
        if place == 0:
            self._stop(flow)
            self._begin(flow, now)
        return True

    def close(self, context: int) -> list[int]:
        """Forget a context; return the tokens of what it had queued."""
        flow = self._flows.pop(context)
        self._guaranteed.pop(context, None)
        self._stop(flow)
        return [request.token for request in flow.queue]

    def wake_at(self) -> int | None:
        """When `next` may have an answer without a push or a completion; None: never."""
        while self._held and not self._is_held(*self._held[0]):
            heapq.heappop(self._held)
        return self._held[0][0] if self._held else None

    # How it is done.

    def _class(self, flow: _Flow) -> _Class:
        return self._classes[flow.settings.priority]

    def _stop(self, flow: _Flow) -> None:
        """Let a context not take part, in whatever state it was."""
        class_ = self._class(flow)
        if flow.calendar is not None:
            flow.calendar.leave(flow)
            class_.weights -= flow.settings.weight
        else:
            # Back from a pause: what others had meanwhile is not owed to it.
            flow.start = max(flow.start, class_.virtual)
        flow.held_until = None

    def _begin(self, flow: _Flow, now: int) -> None:
        """Let a context take part, if it has something queued and its limit does not hold it."""
        if not flow.queue:
            return
        ends = flow.limit_ends()
        if ends > now:
            flow.held_until = ends
            heapq.heappush(self._held, (ends, flow.context))
            return
        virtual_cost = self.device.cost(flow.queue[0].cost_ns) << VIRTUAL_SHIFT
        # Rounded up: a late clock is put right when nobody is eligible; an early one is not.
        flow.finish = flow.start - (-virtual_cost // flow.settings.weight)
        self._class(flow).weights += flow.settings.weight
        self._class(flow).waiting.enter(flow, flow.start)

    def _release(self, now: int) -> None:
        """Let those go on whose limit has held them long enough."""
        while self._held and self._held[0][0] <= now:
            ends, context = heapq.heappop(self._held)
            if self._is_held(ends, context):
                self._stop(self._flows[context])
                self._begin(self._flows[context], now)

    def _is_held(self, ends: int, context: int) -> bool:
        """Whether an entry of the list of those held is still true."""
        flow = self._flows.get(context)
        return flow is not None and flow.held_until == ends

    def _behind_guarantee(self, now: int) -> _Flow | None:
        """The context that is behind its guarantee for longest."""
        behind = [
            (due, flow.context)
            for flow in self._guaranteed.values()
            if flow.calendar is not None
            and (due := flow.guarantee_due()) is not None
            and due <= now
        ]
        return self._flows[min(behind)[1]] if behind else None

    def _fits(self, request: Request, now: int) -> bool:
        place = self.device.place(request.cost_ns)
        if self._in_flight_ns + place > self.device.window_ns:
            return False
        is_small = self.device.cost(request.cost_ns) <= self.device.small_ns
        if is_small or self._small_seen is None or now - self._small_seen > SMALL_ACTIVE_NS:
            return True
        return self._large_in_flight_ns + place <= self.device.window_ns - self.device.reserve_ns

    def _count(self, cost_ns: int, sign: int) -> None:
        place = self.device.place(cost_ns)
        self._in_flight_ns += sign * place
        if self.device.cost(cost_ns) > self.device.small_ns:
            self._large_in_flight_ns += sign * place

    def _dispatch(self, flow: _Flow, now: int, *, is_guaranteed: bool) -> Request:
        settings, class_ = flow.settings, self._class(flow)
        request = flow.queue.popleft()
        self._count(request.cost_ns, +1)
        _advance(flow.limit_tat, settings.limit.times_ns(request.length_bytes), now)
        times = settings.guarantee.times_ns(request.length_bytes)
        if is_guaranteed:
            _advance(flow.guarantee_tat, times, now - settings.burst_ns)
            # It may have come far beyond its share, which is not to be paid for for long.
            ahead = (self.device.cost_max_ns << VIRTUAL_SHIFT) // settings.weight
            flow.finish = min(flow.finish, class_.virtual + ahead)
        else:
            class_.advance(self.device.cost(request.cost_ns))
        self._stop(flow)
        flow.start = flow.finish
        self._begin(flow, now)
        return request
