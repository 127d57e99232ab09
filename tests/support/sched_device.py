"""A scheduler at work in virtual time: contexts that send, and an ideal device that serves.

With K servers a request of cost c keeps one of them for c * K nanoseconds, so that the device does
one nanosecond of work in a nanosecond. Without a number of servers it serves everything at once,
each request for its cost, and is never the bottleneck.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from fairlead.sched.reference import VIRTUAL_SHIFT, Device, Request, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fairlead.sched.settings import Settings

US: Final = 1_000
MS: Final = 1_000_000
S: Final = 1_000_000_000


def step_ns(device: Device) -> int:
    """A step of the calendar, as service at weight 1; rounded up."""
    return -(-(1 << device.step_shift) >> VIRTUAL_SHIFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a context sends.

    Attributes:
        costs_ns: costs of its requests, again and again.
        length_bytes: length of each.
        outstanding: requests it has sent and not got back; None: something is queued always.
        total: it sends so many; None: it does not stop.
    """

    costs_ns: Sequence[int]
    length_bytes: int = 4096
    outstanding: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that went to the device."""

    at_ns: int
    pushed_ns: int
    context: int
    cost_ns: int
    length_bytes: int


class Simulation:
    """Drives one scheduler; `sent` is what it decided, in order."""

    def __init__(self, device: Device, servers: int | None = None) -> None:
        self.scheduler = Scheduler(device)
        self.now = 0
        self.sent: list[Sent] = []
        self._servers = servers
        self._free_at = [0] * (servers or 0)
        self._loads: dict[int, Load] = {}
        self._pushed: dict[int, int] = defaultdict(int)
        self._pushed_ns: dict[int, int] = {}
        self._tokens = count()
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._event_numbers = count()
        self._wakes: set[int] = set()

    def at(self, time_ns: int, action: Callable[[], object]) -> None:
        """Have something done at a time."""
        heapq.heappush(self._events, (time_ns, next(self._event_numbers), action))

    def set(self, context: int, settings: Settings) -> None:
        """Give a context its settings now."""
        self.scheduler.set(context, settings, self.now)

    def start(self, context: int, load: Load) -> None:
        """Let a context send from now on."""
        self._loads[context] = load
        for _ in range(load.outstanding or 2):
            self._push(context)

    def stop(self, context: int) -> None:
        """Let a context send nothing more; what it has queued stays."""
        del self._loads[context]

    def run(self, until_ns: int, most: int = 1 << 62) -> list[Sent]:
        """Go on to a time, or until so many were sent; return what was sent since the beginning."""
        self._dispatch()
        while self._events and self._events[0][0] <= until_ns and len(self.sent) < most:
            self.now = self._events[0][0]
            while self._events and self._events[0][0] == self.now:
                heapq.heappop(self._events)[2]()
            self._dispatch()
        if len(self.sent) < most:
            self.now = until_ns
        return self.sent

    def _push(self, context: int) -> None:
        load = self._loads.get(context)
        if load is None or self._pushed[context] == load.total:
            return
        cost_ns = load.costs_ns[self._pushed[context] % len(load.costs_ns)]
        request = Request(
            context=context,
            token=next(self._tokens),
            cost_ns=cost_ns,
            length_bytes=load.length_bytes,
        )
        self._pushed[context] += 1
        self._pushed_ns[request.token] = self.now
        assert self.scheduler.push(request, self.now)

    def _dispatch(self) -> None:
        while request := self.scheduler.next(self.now):
            self.sent.append(
                Sent(
                    at_ns=self.now,
                    pushed_ns=self._pushed_ns.pop(request.token),
                    context=request.context,
                    cost_ns=request.cost_ns,
                    length_bytes=request.length_bytes,
                )
            )
            self.at(self._served_at(request.cost_ns), partial(self._complete, request))
            load = self._loads.get(request.context)
            if load is not None and load.outstanding is None:
                self._push(request.context)
        wake_ns = self.scheduler.wake_at()
        if wake_ns is not None and wake_ns not in self._wakes:
            assert wake_ns > self.now, "somebody held may go, and did not"
            self._wakes.add(wake_ns)
            self.at(wake_ns, lambda: None)

    def _served_at(self, cost_ns: int) -> int:
        if self._servers is None:
            return self.now + cost_ns
        begins = max(self.now, heapq.heappop(self._free_at))
        ends = begins + cost_ns * self._servers
        heapq.heappush(self._free_at, ends)
        return ends

    def _complete(self, request: Request) -> None:
        self.scheduler.complete(request.cost_ns)
        load = self._loads.get(request.context)
        if load is not None and load.outstanding is not None:
            self._push(request.context)


def work_ns(sent: Sequence[Sent], context: int, since_ns: int = 0, until_ns: int = 1 << 62) -> int:
    """Cost of what a context had sent in ``since_ns <= at < until_ns``."""
    return sum(
        one.cost_ns for one in sent if one.context == context and since_ns <= one.at_ns < until_ns
    )


def counts(sent: Sequence[Sent], context: int, window_ns: int, until_ns: int) -> list[int]:
    """How many requests of a context were sent in each window of a length, one after the other."""
    found = [0] * (until_ns // window_ns)
    for one in sent:
        if one.context == context and one.at_ns // window_ns < len(found):
            found[one.at_ns // window_ns] += 1
    return found
