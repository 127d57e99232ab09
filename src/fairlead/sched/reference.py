"""The scheduler's specification: which request a backing device gets next.

This file is to be read, and `flow.py` and `clock.py` after it; the data plane runs
`crates/sched/src/fair.rs`, which is held to it decision by decision. All numbers are integers, so
that both come to the same.

**The problem.** A device serves several requests at once and gives them back in its own order.
Each context (who the I/O is for) is due a share of it in proportion to its weight, for as long as
it has something to do; a share that somebody leaves goes to the others, and nobody is punished
later for having taken it.

**Shares: WF2Q+.** A clock of *virtual time* runs for each class. A context with something queued
has a start tag S and a finish tag F = S + cost / weight for its first request. Those with S up to
the clock are *eligible*; of these the smallest F goes first, and its F is the context's next S. The
clock runs by cost / (sum of weights), so it says how far a context is that gets just its share. A
context that comes back from a pause starts at the clock, or later if it was ahead: it has lost
nothing and has saved nothing up. Then, with c the most that a request may cost,

- for any two contexts that both want more than they get, the work given to each, divided by its
  weight w, differs by 2c / w of the one and of the other at most, over any time;
- a new request is with the device after the window, one more request and its own cost divided by
  its share;

however many contexts there are and however many requests are in flight.

**The window.** At most ``window_ns`` of estimated work is with the device. Without it the
device's own queue decides, and who has most requests there wins. What is first and finds no room is
waited for; if smaller ones went past it, it might wait for ever. A little is kept free of large
requests while somebody sends small ones, or those would wait behind all the large ones that the
device has taken.

**Limits and guarantees: GCRA.** A context ahead of its limit by more than its burst is *held* until
it is not, and does not take part. A context behind its guarantee goes before everybody else, of
whatever class. What it gets so does not run the clock, but counts towards its share: all together
it has its guarantee or its share, whichever is more. Guarantees that add up to more than the device
can do leave nothing to the others; whoever gives them has to see to that.

Tags are grouped in steps (a calendar's days); within a step who came first goes first. That is
what lets the data plane find the next request without a search, and adds two steps to what is said
above.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fairlead.sched.clock import Clock
from fairlead.sched.flow import Flow
from fairlead.sched.settings import Priority, Rate

if TYPE_CHECKING:
    from fairlead.sched.settings import Settings

VIRTUAL_SHIFT: Final = 16
"""Virtual time counts in 1/65536 ns at weight 1: finely enough for a request of 1 ns at 1000."""
STEPS: Final = 1000
"""Steps of the calendar that the most expensive request of the smallest weight takes; tags are
within four times as many, which is a ring of 4096."""
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
        window_ns: estimated work that it may have at a time; every request fits beside reserve_ns.
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
        cost_ns = self.cost(cost_ns)
        return cost_ns if self.place_ns is None else min(cost_ns, self.place_ns)

    @property
    def step_shift(self) -> int:
        """A step of the calendar in virtual time, as a power of two: a tag's is found by a shift.

        The most expensive request at weight 1 takes STEPS of them at most.
        """
        return ((self.cost_max_ns << VIRTUAL_SHIFT) // STEPS).bit_length()


class Scheduler:
    """Decides which request a device gets next. Pure: time is an argument and never goes back."""

    def __init__(self, device: Device) -> None:
        """Start with an idle device and no contexts."""
        self.device = device
        self._clocks = {priority: Clock(device.step_shift) for priority in Priority}
        self._flows: dict[int, Flow] = {}
        self._guaranteed: dict[int, Flow] = {}
        self._held: list[tuple[int, int]] = []
        self._in_flight_ns = 0
        self._large_in_flight_ns = 0
        self._small_seen: int | None = None

    def set(self, context: int, settings: Settings, now: int) -> None:
        """Give a context its settings, new or changed; what it has queued stays queued."""
        flow = self._flows.setdefault(context, Flow(context))
        old = flow.settings
        if settings == old:
            return
        self._stop(flow)
        clock = self._clocks[settings.priority]
        if settings.priority is old.priority:
            # What it is ahead by is so much work, and lasts the shorter the more it is due.
            work = (flow.start - clock.virtual) * old.weight
            flow.start = clock.virtual - (-work // settings.weight)
        else:
            # Each class has a clock of its own.
            flow.start = clock.virtual
        flow.start = min(flow.start, clock.virtual + self._ahead_max(settings))
        flow.change(settings, now)
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
            flow.wake(now)
            self._stop(flow)
            self._begin(flow, now)
        return True

    def next(self, now: int) -> Request | None:
        """Pick the request that the device gets now; None: nothing may go."""
        self._release(now)
        flow = self._behind_guarantee(now)
        is_guaranteed = flow is not None
        if flow is None:
            flow = next(
                (first for clock in self._clocks.values() if (first := clock.first())), None
            )
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
        """When the first of those held may go; None: nobody is held.

        Then `next` has to be asked again, as it has after a push, a change and a completion.
        """
        while self._held and not self._is_held(*self._held[0]):
            heapq.heappop(self._held)
        return self._held[0][0] if self._held else None

    # How it is done.

    def _clock(self, flow: Flow) -> Clock:
        return self._clocks[flow.settings.priority]

    def _virtual_cost(self, request: Request) -> int:
        return self.device.cost(request.cost_ns) << VIRTUAL_SHIFT

    def _ahead_max(self, settings: Settings) -> int:
        """Two of the most expensive requests, in virtual time.

        Who was guaranteed more than its share pays for no more than this later.
        """
        return (2 * self.device.cost_max_ns << VIRTUAL_SHIFT) // settings.weight

    def _stop(self, flow: Flow) -> None:
        """Take a context out of the state that it is in."""
        self._clock(flow).leave(flow)
        flow.held_until = None

    def _begin(self, flow: Flow, now: int) -> None:
        """Let a context take part, if it has something queued and its limit does not hold it."""
        ends = flow.limit_ends()
        if flow.queue and ends <= now:
            # Rounded up: a late clock is put right when nobody is eligible; an early one is not.
            cost = self._virtual_cost(flow.queue[0])
            flow.finish = flow.start - (-cost // flow.settings.weight)
            self._clock(flow).enter(flow)
            return
        self._clock(flow).pause(flow)
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

    def _behind_guarantee(self, now: int) -> Flow | None:
        """The context that is behind its guarantee for longest; of several, the lowest number."""
        behind = [flow for flow in self._guaranteed.values() if flow.is_behind(now)]
        return min(behind, key=lambda flow: (flow.guarantee_due(), flow.context), default=None)

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

    def _dispatch(self, flow: Flow, now: int, *, is_guaranteed: bool) -> Request:
        clock = self._clock(flow)
        request = flow.queue.popleft()
        self._count(request.cost_ns, +1)
        flow.charge(request.length_bytes, now, is_guaranteed=is_guaranteed)
        if is_guaranteed:
            # Not by the clock, but counted towards the share.
            most = clock.virtual + self._ahead_max(flow.settings)
            flow.finish = max(flow.start, min(flow.finish, most))
        else:
            clock.advance(self._virtual_cost(request), flow.finish)
        self._stop(flow)
        flow.start = flow.finish
        self._begin(flow, now)
        return request
