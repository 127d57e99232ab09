"""What may happen to a scheduler, as data: the same trace drives any engine.

The specification and, through an adapter with the same few methods, the data plane's engine have to
decide alike; a trace therefore holds plain integers only, and names requests by position (the third
of those in flight), which every engine that decided alike so far understands alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from hypothesis import strategies as st

from fairlead.sched import reference
from fairlead.sched.settings import Priority, Rate, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

MS: Final = 1_000_000


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


# Strategies.


def devices() -> st.SearchStrategy[reference.Device]:
    """Devices of every size, with and without a reserve; windows of one to 16 largest requests."""

    @st.composite
    def draw_device(draw: st.DrawFn) -> reference.Device:
        cost_max_ns = draw(st.sampled_from((1, 1_000, 80_000, 1_000_000, 100_000_000)))
        reserve_ns = draw(st.sampled_from((0, cost_max_ns // 4, cost_max_ns)))
        return reference.Device(
            window_ns=cost_max_ns + reserve_ns + draw(st.integers(0, 15 * cost_max_ns)),
            cost_max_ns=cost_max_ns,
            small_ns=draw(st.sampled_from((0, cost_max_ns // 4))) if reserve_ns else 0,
            reserve_ns=reserve_ns,
        )

    return draw_device()


@st.composite
def terms(draw: st.DrawFn, *, rates: bool = True, priorities: bool = True) -> Terms:
    """Settings; a guarantee is never above its limit."""
    limit_iops = guarantee_iops = limit_bytes_per_s = guarantee_bytes_per_s = 0
    if rates:
        limit_iops = draw(st.sampled_from((0, 0, 10, 999, 100_000)))
        limit_bytes_per_s = draw(st.sampled_from((0, 0, 1 << 20, 1 << 30)))
        guarantee_iops = draw(st.sampled_from((0, 0, 10, 700, 100_000)))
        guarantee_bytes_per_s = draw(st.sampled_from((0, 0, 0, 1 << 20, 1 << 28)))
        if limit_iops:
            guarantee_iops = min(guarantee_iops, limit_iops)
        if limit_bytes_per_s:
            guarantee_bytes_per_s = min(guarantee_bytes_per_s, limit_bytes_per_s)
    return Terms(
        weight=draw(st.sampled_from((1, 2, 10, 999, 1000)) | st.integers(1, 1000)),
        priority=draw(st.integers(0, 2)) if priorities else 1,
        limit_iops=limit_iops,
        limit_bytes_per_s=limit_bytes_per_s,
        burst_ns=draw(st.sampled_from((0, 10_000_000, 1_000_000_000))),
        guarantee_iops=guarantee_iops,
        guarantee_bytes_per_s=guarantee_bytes_per_s,
        queued_max=draw(st.sampled_from((8192, 8192, 8192, 1, 3))),
    )


def _operations(
    device: reference.Device, contexts: int, term: st.SearchStrategy[Terms]
) -> st.SearchStrategy[Operation]:
    after_ns = (
        st.just(0)
        | st.integers(0, 2 * device.cost_max_ns)
        | st.sampled_from((MS, 50 * MS, 2000 * MS))
    )
    context = st.integers(0, contexts - 1)
    least_ns = device.cost_max_ns + device.reserve_ns
    cost_ns = st.sampled_from((0, 1, device.cost_max_ns // 7, device.cost_max_ns)) | st.integers(
        0, 2 * device.cost_max_ns
    )
    push = st.builds(
        Push,
        after_ns=after_ns,
        context=context,
        cost_ns=cost_ns,
        length_bytes=st.sampled_from((0, 512, 4096, 1 << 20)),
        count=st.integers(1, 6),
    )
    place = st.integers(0, 1000)
    ask = st.builds(Next, after_ns=after_ns, most=st.integers(1, 20))
    complete = st.builds(Complete, after_ns=after_ns, place=place)
    return st.one_of(
        push,
        push,
        ask,
        ask,
        complete,
        complete,
        st.builds(Set, after_ns=after_ns, context=context, terms=term),
        st.builds(Remove, after_ns=after_ns, place=place),
        st.builds(Close, after_ns=after_ns, context=context),
        st.builds(WakeAt, after_ns=after_ns, is_kept=st.booleans()),
        st.builds(
            SetWindow,
            after_ns=after_ns,
            window_ns=st.integers(least_ns, least_ns + 8 * device.cost_max_ns),
        ),
    )


@st.composite
def traces(
    draw: st.DrawFn,
    *,
    contexts: int = 5,
    most: int = 80,
    rates: bool = True,
    priorities: bool = True,
) -> Trace:
    """Traces of some contexts, all of which are known at first.

    Args:
        draw: Hypothesis's.
        contexts: how many there are.
        most: operations at most, beside the first settings.
        rates: with limits and guarantees.
        priorities: with more classes than one.
    """
    device = draw(devices())
    term = terms(rates=rates, priorities=priorities)
    first = [Set(after_ns=0, context=context, terms=draw(term)) for context in range(contexts)]
    later = draw(st.lists(_operations(device, contexts, term), max_size=most))
    return Trace(device, (*first, *later))
