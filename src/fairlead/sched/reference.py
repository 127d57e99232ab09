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

VIRTUAL_SHIFT: Final = 16
"""Virtual time counts in 1/65536 ns at weight 1: finely enough for a request of 1 ns at 1000."""
STEPS: Final = 1000
"""Steps of the calendar that the most expensive request of the smallest weight takes; tags are
within four times as many, which is a ring of 4096."""
LATE_MAX_NS: Final = 100_000_000
"""A guarantee that the device could not keep is made up for by what it is in this time."""
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
    settings: Settings = field(default_factory=Settings)
    queue: deque[Request] = field(default_factory=deque)
    start: int = 0
    """How far it is, in virtual time: start tag of its next request."""
    finish: int = 0
    """Finish tag of its first request, while it takes part."""
    calendar: _Calendar | None = None
    """Where it is: waiting, eligible, or paused and ahead. None: paused and not ahead."""
    held_until: int | None = None
    """When it may go on that has something queued, and is paused by its limit."""
    # Theoretical arrival times: by requests and by bytes.
    limit_tat: list[int] = field(default_factory=lambda: [0, 0])
    guarantee_tat: list[int] = field(default_factory=lambda: [0, 0])

    def limit_ends(self) -> int:
        """When its next request may go, as far as its limit is concerned."""
        rates = zip(self.limit_tat, self.settings.limit.per_s, strict=True)
        tats = [tat for tat, rate in rates if rate is not None]
        return max((tat - self.settings.burst_ns for tat in tats), default=0)

    def guarantee_due(self) -> int | None:
        """When it falls behind its guarantee; None: it has none."""
        rates = zip(self.guarantee_tat, self.settings.guarantee.per_s, strict=True)
        return min((tat for tat, rate in rates if rate is not None), default=None)


def _advance(
    tats: list[int], times: tuple[int | None, int | None], earliest: int, latest: int
) -> None:
    for kind, time in enumerate(times):
        if time is not None:
            tats[kind] = max(earliest, min(tats[kind], latest)) + time


def _change(tats: list[int], old: Rate, new: Rate, fresh: int, now: int) -> None:
    """Go over to other rates: what is owed lasts shorter at a higher one, but never longer."""
    for kind, (before, after) in enumerate(zip(old.per_s, new.per_s, strict=True)):
        if before is None:
            tats[kind] = fresh
        elif after is not None and after > before and tats[kind] > now:
            tats[kind] = now + (tats[kind] - now) * before // after


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
    """The contexts of one priority that count, and their clock.

    Who has nothing (more) to do, but has had more than its share, counts until the clock has come
    to where it is: the clock runs by all to whom the work of this time is due. Else each of a
    crowd that goes would make it run faster for those that are left, who would all be late then
    and all go before whoever comes anew.
    """

    def __init__(self, step_shift: int) -> None:
        self.virtual = 0
        self.weights = 0
        self.waiting = _Calendar(step_shift)
        self.eligible = _Calendar(step_shift)
        self.ahead = _Calendar(step_shift)
        self._step_shift = step_shift
        self._remainder = 0

    def enter(self, flow: _Flow) -> None:
        """Let a context take part."""
        self.weights += flow.settings.weight
        self.waiting.enter(flow, flow.start)

    def pause(self, flow: _Flow) -> None:
        """Let a context count that does not take part (any more), if it is ahead."""
        if flow.start > self.virtual:
            self.weights += flow.settings.weight
            self.ahead.enter(flow, flow.start)

    def leave(self, flow: _Flow) -> None:
        """Take a context out, wherever it is; from a pause it comes back at the clock."""
        if flow.calendar not in (self.waiting, self.eligible):
            flow.start = max(flow.start, self.virtual)
        if flow.calendar is not None:
            flow.calendar.leave(flow)
            self.weights -= flow.settings.weight

    def advance(self, cost_ns: int, finish: int) -> None:
        """Run the clock: this much was given, of what is due to those who count.

        It does not pass the finish tag of what was given, which is the smallest: who is late is
        late by one request and no more, even if others ended that were ahead.
        """
        # The weights may be fewer than those of which something remained.
        work = min(self._remainder, self.weights) + (cost_ns << VIRTUAL_SHIFT)
        ahead, self._remainder = divmod(work, self.weights)
        self._go_to(max(self.virtual, min(self.virtual + ahead, finish)))

    def first(self) -> _Flow | None:
        """The eligible context with the smallest finish tag."""
        self._make_eligible()
        if self.eligible.first() is None and (flow := self.waiting.first()):
            # All that wait have had more than their share: the clock goes on to the first of them.
            self._remainder = 0
            self._go_to(self.waiting.step(flow.start) << self._step_shift)
            self._make_eligible()
        return self.eligible.first()

    def _go_to(self, virtual: int) -> None:
        self.virtual = virtual
        while (flow := self.ahead.first()) and self.ahead.step(flow.start) < self.ahead.step(
            virtual
        ):
            self.leave(flow)

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
        flow = self._flows.setdefault(context, _Flow(context))
        old = flow.settings
        if settings == old:
            return
        self._stop(flow)
        class_ = self._classes[settings.priority]
        if settings.priority is old.priority:
            # What it is ahead by is so much work, and lasts the shorter the more it is due.
            ahead = (flow.start - class_.virtual) * old.weight
            flow.start = class_.virtual + min(-(-ahead // settings.weight), self._most(settings))
        else:
            # Each class has a clock of its own.
            flow.start = class_.virtual
        # A burst is saved up by a pause; who is new has none yet.
        _change(flow.limit_tat, old.limit, settings.limit, now + settings.burst_ns, now)
        _change(flow.guarantee_tat, old.guarantee, settings.guarantee, now, now)
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
            # A pause saves up no more than the burst.
            flow.guarantee_tat = [
                max(tat, now - flow.settings.burst_ns) for tat in flow.guarantee_tat
            ]
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

    def _most(self, settings: Settings) -> int:
        """What the most expensive request lasts in virtual time."""
        return (self.device.cost_max_ns << VIRTUAL_SHIFT) // settings.weight

    def _stop(self, flow: _Flow) -> None:
        """Take a context out of the state that it is in."""
        self._class(flow).leave(flow)
        flow.held_until = None

    def _begin(self, flow: _Flow, now: int) -> None:
        """Let a context take part, if it has something queued and its limit does not hold it."""
        class_ = self._class(flow)
        ends = flow.limit_ends()
        if flow.queue and ends <= now:
            virtual_cost = self.device.cost(flow.queue[0].cost_ns) << VIRTUAL_SHIFT
            # Rounded up: a late clock is put right when nobody is eligible; an early one is not.
            flow.finish = flow.start - (-virtual_cost // flow.settings.weight)
            class_.enter(flow)
            return
        class_.pause(flow)
        if flow.queue:
            flow.held_until = ends
            heapq.heappush(self._held, (ends, flow.context))

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
            if flow.queue
            and flow.held_until is None
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
        times = settings.limit.times_ns(request.length_bytes, is_limit=True)
        _advance(flow.limit_tat, times, now, now + settings.burst_ns)
        if is_guaranteed:
            # What it gets for the sake of one kind of guarantee uses up nothing of the other.
            times = settings.guarantee.times_ns(request.length_bytes, is_limit=False)
            _advance(flow.guarantee_tat, times, now - LATE_MAX_NS, now)
            # It may have come far beyond its share, which is not to be paid for for long.
            most = class_.virtual + 2 * self._most(settings)
            flow.finish = max(flow.start, min(flow.finish, most))
        else:
            class_.advance(self.device.cost(request.cost_ns), flow.finish)
        self._stop(flow)
        flow.start = flow.finish
        self._begin(flow, now)
        return request
