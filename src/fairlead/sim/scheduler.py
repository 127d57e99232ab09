"""The schedulers that can be compared, behind one interface."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

from fairlead.dataplane.scheduler import EngineScheduler
from fairlead.errors import ConfigError
from fairlead.sched import reference
from fairlead.sim.window import places

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.sched.reference import Device, Request
    from fairlead.sched.settings import Settings


class Scheduler(Protocol):
    """Decides which request a device gets next; see `fairlead.sched.reference.Scheduler`."""

    def set(self, context: int, settings: Settings, now: int) -> None:
        """Give a context its settings, new or changed."""
        ...

    def set_window(self, window_ns: int) -> None:
        """Let the device have more or less at a time."""
        ...

    def push(self, request: Request, now: int) -> bool:
        """Queue a request of a known context; False: its queue is full."""
        ...

    def next(self, now: int) -> Request | None:
        """Pick the request that the device gets now; None: nothing may go."""
        ...

    def complete(self, cost_ns: int) -> None:
        """Count off a request, by its cost, that the device has given back."""
        ...

    def remove(self, context: int, token: int, now: int) -> bool:
        """Take a queued request back; False: it is not queued (any more)."""
        ...

    def close(self, context: int) -> list[int]:
        """Forget a context; return the tokens of what it had queued."""
        ...

    def wake_at(self) -> int | None:
        """When `next` may have an answer without a push or a completion; None: never."""
        ...


class Fifo(Scheduler):
    """One queue for the whole device: first come, first served, so many requests at a time."""

    def __init__(self, in_flight_max: int | None) -> None:
        """Start empty.

        Args:
            in_flight_max: requests that the device may have, at least 1; None: all.
        """
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._queue: deque[Request] = deque()
        self._settings: dict[int, Settings] = {}
        self._queued: Counter[int] = Counter()

    @override
    def set(self, context: int, settings: Settings, now: int) -> None:
        """Know a context; of its settings only the length of the queue counts."""
        self._settings[context] = settings

    @override
    def set_window(self, window_ns: int) -> None:
        """Do nothing: this window counts requests."""

    @override
    def push(self, request: Request, now: int) -> bool:
        """Queue a request at the end."""
        context = request.context
        if self._queued[context] >= self._settings[context].queued_max:
            return False
        self._queued[context] += 1
        self._queue.append(request)
        return True

    @override
    def next(self, now: int) -> Request | None:
        """Pick who came first."""
        is_full = self._in_flight_max is not None and self._in_flight >= self._in_flight_max
        if is_full or not self._queue:
            return None
        self._in_flight += 1
        request = self._queue.popleft()
        self._queued[request.context] -= 1
        return request

    @override
    def complete(self, cost_ns: int) -> None:
        """Count off a request."""
        self._in_flight -= 1

    @override
    def remove(self, context: int, token: int, now: int) -> bool:
        """Take a queued request back."""
        for place, request in enumerate(self._queue):
            if (request.context, request.token) == (context, token):
                del self._queue[place]
                self._queued[context] -= 1
                return True
        return False

    @override
    def close(self, context: int) -> list[int]:
        """Forget a context and what it had queued."""
        del self._settings[context], self._queued[context]
        tokens = [request.token for request in self._queue if request.context == context]
        self._queue = deque(request for request in self._queue if request.context != context)
        return tokens

    @override
    def wake_at(self) -> int | None:
        """Tell that time alone changes nothing."""
        return None


ENGINES: Final[dict[str, Callable[[Device], Scheduler]]] = {
    "reference": reference.Scheduler,
    "rust": EngineScheduler,
}
"""Implementations of fair queueing, by the name that ``--engine`` takes."""


def make_scheduler(policy: str, engine: str, device: Device, servers: int) -> Scheduler:
    """Return the scheduler of a policy.

    Args:
        policy: ``fair``, ``fifo`` or ``none``.
        engine: which implementation of ``fair``.
        device: what the scheduler is told about the device.
        servers: of the device.

    Raises:
        ConfigError: there is no such engine.
    """
    if policy == "none":
        return Fifo(None)
    if policy == "fifo":
        # As many as keep all servers busy, as for the fair one: the two differ in order alone.
        return Fifo(places(servers))
    if engine not in ENGINES:
        raise ConfigError(f"no engine {engine!r}", remedy=f"there are: {', '.join(ENGINES)}")
    return ENGINES[engine](device)


def cuts_requests(policy: str) -> bool:
    """Return whether large requests go in pieces; the other policies send them whole."""
    return policy == "fair"
