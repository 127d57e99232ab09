"""What may happen to a scheduler, as data: the same trace drives any engine.

The specification and, through an adapter with the same few methods, the data plane's engine have to
decide alike; a trace therefore holds plain integers only, and names requests by position (the third
of those in flight), which every engine that decided alike so far understands alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fairlead.sched import reference
from fairlead.sched.settings import Priority, Rate, Settings

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A context's settings in integers; a rate of 0 is none."""

    weight: int = 1
    priority: int = 1
    limit_iops: int = 0
    limit_bytes_per_s: int = 0
    burst_ns: int = 10_000_000
    guarantee_iops: int = 0
    guarantee_bytes_per_s: int = 0
    queued_max: int = 8192


class Engine(Protocol):
    """A scheduler that a trace can drive. Times and costs in nanoseconds."""

    def set(self, context: int, terms: Terms, now: int) -> None:
        """Give a context its settings, new or changed."""

    def set_window(self, window_ns: int) -> None:
        """Let the device have more or less at a time."""

    def push(self, context: int, token: int, cost_ns: int, length_bytes: int, now: int) -> bool:
        """Queue a request; False: its queue is full."""

    def next(self, now: int) -> int | None:
        """Pick the token of the request that goes now."""

    def complete(self, cost_ns: int) -> None:
        """Count off a request that the device has given back."""

    def remove(self, context: int, token: int, now: int) -> bool:
        """Take a queued request back; False: it is not queued."""

    def close(self, context: int) -> list[int]:
        """Forget a context; return the tokens of what it had queued."""

    def wake_at(self) -> int | None:
        """When somebody held may go."""


class Reference:
    """The specification as an engine."""

    def __init__(self, device: reference.Device) -> None:
        self.scheduler = reference.Scheduler(device)

    def set(self, context: int, terms: Terms, now: int) -> None:
        self.scheduler.set(context, settings_of(terms), now)

    def set_window(self, window_ns: int) -> None:
        self.scheduler.set_window(window_ns)

    def push(self, context: int, token: int, cost_ns: int, length_bytes: int, now: int) -> bool:
        request = reference.Request(
            context=context, token=token, cost_ns=cost_ns, length_bytes=length_bytes
        )
        return self.scheduler.push(request, now)

    def next(self, now: int) -> int | None:
        request = self.scheduler.next(now)
        return None if request is None else request.token

    def complete(self, cost_ns: int) -> None:
        self.scheduler.complete(cost_ns)

    def remove(self, context: int, token: int, now: int) -> bool:
        return self.scheduler.remove(context, token, now)

    def close(self, context: int) -> list[int]:
        return self.scheduler.close(context)

    def wake_at(self) -> int | None:
        return self.scheduler.wake_at()


def settings_of(terms: Terms) -> Settings:
    """The settings that these integers stand for."""
    return Settings(
        weight=terms.weight,
        priority=Priority(terms.priority),
        limit=Rate(iops=terms.limit_iops or None, bytes_per_s=terms.limit_bytes_per_s or None),
        burst_s=terms.burst_ns / 1e9,
        guarantee=Rate(
            iops=terms.guarantee_iops or None, bytes_per_s=terms.guarantee_bytes_per_s or None
        ),
        queued_max=terms.queued_max,
    )


# What may happen. Each happens ``after_ns`` after what was before it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A context is given its settings."""

    after_ns: int
    context: int
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class SetWindow:
    """The device may have more or less at a time."""

    after_ns: int
    window_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A context sends some requests that are alike."""

    after_ns: int
    context: int
    cost_ns: int
    length_bytes: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The device asks until it gets nothing, or has got so many."""

    after_ns: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The device gives back one of those in flight."""

    after_ns: int
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """One of the requests ever sent is taken back, if it is queued still."""

    after_ns: int
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """A context ends."""

    after_ns: int
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Somebody asks when to wake, and wakes then if ``is_kept``."""

    after_ns: int
    is_kept: bool


Operation = Set | SetWindow | Push | Next | Complete | Remove | Close | WakeAt


@dataclass(frozen=True, slots=True)
class Trace:
    """A device, and what happens to its scheduler."""

    device: reference.Device
    operations: tuple[Operation, ...]


class Decision(NamedTuple):
    """What an engine answered, at which step of the trace; a token, a time, or nothing."""

    step: int
    what: str
    value: int | None


def run(
    trace: Trace, engine: Engine, after_each: Callable[[int], object] | None = None
) -> list[Decision]:
    """Drive an engine by a trace.

    Args:
        trace: what happens. What cannot happen (to a context that is unknown) is left out.
        engine: made for the trace's device.
        after_each: called with the time after each operation.
    """
    driver = Driver(engine)
    for operation in trace.operations:
        driver.apply(operation)
        if after_each is not None:
            after_each(driver.now)
    return driver.decisions


class Driver:
    """Keeps what a trace's positions refer to."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = 0
        self.decisions: list[Decision] = []
        self.pushed: list[tuple[int, int]] = []
        """Context and cost of every request; its place is its token."""
        self.in_flight: list[int] = []
        self.known: set[int] = set()
        self._step = 0

    def apply(self, operation: Operation) -> None:
        """Do one operation and note what the engine answers."""
        self.now += operation.after_ns
        match operation:
            case Set(context=context, terms=terms):
                self.known.add(context)
                self.engine.set(context, terms, self.now)
            case SetWindow(window_ns=window_ns):
                self.engine.set_window(window_ns)
            case Push():
                self._push(operation)
            case Next(most=most):
                self.ask(most)
            case Complete(place=place):
                self._complete(place)
            case Remove(place=place):
                self._remove(place)
            case Close(context=context):
                self._close(context)
            case WakeAt(is_kept=is_kept):
                self._wake_at(is_kept=is_kept)
        self._step += 1

    def ask(self, most: int) -> int:
        """Ask for requests until there is none; return how many there were."""
        for found in range(most):
            token = self.engine.next(self.now)
            self._note("next", token)
            if token is None:
                return found
            self.in_flight.append(token)
        return most

    def drain(self) -> None:
        """Let everything happen that happens by itself: completions, requests, the end of holds."""
        while True:
            while self.in_flight:
                self._complete(0)
            if self.ask(1 << 20) or self.in_flight:
                continue
            wake_ns = self.engine.wake_at()
            if wake_ns is None:
                return
            self.now = max(self.now, wake_ns)

    def _note(self, what: str, value: int | None) -> None:
        self.decisions.append(Decision(self._step, what, value))

    def _push(self, push: Push) -> None:
        if push.context not in self.known:
            return
        for _ in range(push.count):
            token = len(self.pushed)
            self.pushed.append((push.context, push.cost_ns))
            is_queued = self.engine.push(
                push.context, token, push.cost_ns, push.length_bytes, self.now
            )
            self._note("queued" if is_queued else "refused", token)

    def _complete(self, place: int) -> None:
        if self.in_flight:
            token = self.in_flight.pop(place % len(self.in_flight))
            self.engine.complete(self.pushed[token][1])

    def _remove(self, place: int) -> None:
        if not self.pushed:
            return
        token = place % len(self.pushed)
        context, _ = self.pushed[token]
        if context in self.known:
            is_removed = self.engine.remove(context, token, self.now)
            self._note("removed" if is_removed else "not removed", token)

    def _close(self, context: int) -> None:
        if context in self.known:
            self.known.remove(context)
            for token in self.engine.close(context):
                self._note("closed", token)

    def _wake_at(self, *, is_kept: bool) -> None:
        wake_ns = self.engine.wake_at()
        self._note("wake at", wake_ns)
        if is_kept and wake_ns is not None:
            self.now = max(self.now, wake_ns)
