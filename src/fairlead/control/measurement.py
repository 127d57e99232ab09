"""What contexts did between two readings of their counters. Pure: a reading has its time.

Rates and means are of the interval, because counters and sums can be subtracted. Percentiles
cannot: those of `ContextInfo` are of a context's whole life.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from fairlead.dataplane.api import ContextInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fairlead.dataplane.api import LatencyUs
    from fairlead.sched.settings import Priority, Settings

HeldBackBy: TypeAlias = Literal["limit", "window", "nobody"]

# A rate taken from counters is never quite the limit: requests are whole, and some are under way.
_AT_LIMIT: Final = 0.95
# Passing through the scheduler without having to wait takes a few microseconds.
_WAITED_US: Final = 20.0
# To wait for less than this part of what the device takes itself is not being held back.
_WAITED_PART: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(ContextInfo):
    """An I/O context: its accounts, and what it is due.

    Attributes:
        settings: all in all.
        configured: without what policies have changed.
    """

    settings: Settings
    configured: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a context did in an interval.

    Attributes:
        iops: reads and writes answered per second.
        bytes_per_s: bytes that they moved per second.
        requests_per_s: requests submitted per second, also flushes and pieces; what limits count.
        cost_ns: what they cost the device, as the scheduler counts it.
        queue_time_mean_us: from arrival to submission; None when nothing was submitted.
        service_time_mean_us: from submission to completion; None when nothing completed.
        response_time_mean_us: from arrival to answer; None when nothing was answered.
        share_due: part of the device, 0..1, that its weight is good for among those who wanted the
            device in the interval; 0 when it did not.
        share_got: its part of all that the device did, by cost.
        held_back_by: ``limit``: its own; ``window``: it waited for its turn; or ``nobody``.
    """

    iops: float
    bytes_per_s: float
    requests_per_s: float
    cost_ns: int
    queue_time_mean_us: float | None
    service_time_mean_us: float | None
    response_time_mean_us: float | None
    share_due: float
    share_got: float
    held_back_by: HeldBackBy


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredContext(Context):
    """A context, and what it did in the last interval."""

    activity: Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All contexts at one time.

    Attributes:
        interval_s: how long before that time their activity began.
        contexts: active and closing ones.
    """

    interval_s: float
    contexts: tuple[MeasuredContext, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters of all contexts at one time, by a clock that never goes back."""

    at_s: float
    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True)
class _Share:
    due: float = 0.0
    got: float = 0.0


def measure(before: Reading, after: Reading) -> Snapshot:
    """Return what every context of the later reading did since the earlier one.

    One that was not there before did all it has done in the interval.

    Args:
        before: the earlier reading.
        after: the later one.
    """
    interval_s = max(after.at_s - before.at_s, 1e-9)
    earlier = {(context.index, context.generation): context for context in before.contexts}
    pairs = [
        (earlier.get((context.index, context.generation)), context) for context in after.contexts
    ]
    cost_ns = [_grown(old, new, "cost_ns") for old, new in pairs]
    shares = _shares(after.contexts, cost_ns)
    return Snapshot(
        interval_s=interval_s,
        contexts=tuple(
            _measured(old, new, interval_s, cost, share)
            for (old, new), cost, share in zip(pairs, cost_ns, shares, strict=True)
        ),
    )


def _measured(
    old: Context | None, new: Context, interval_s: float, cost_ns: int, share: _Share
) -> MeasuredContext:
    def per_s(*counters: str) -> float:
        return sum(_grown(old, new, counter) for counter in counters) / interval_s

    queue_us = _mean_us(old, new, "queue_time_us", ("submitted",))
    service_us = _mean_us(old, new, "service_time_us", ("completed",))
    commands = ("commands_read", "commands_write", "commands_other")
    bytes_per_s = per_s("bytes_read", "bytes_written")
    requests_per_s = per_s("submitted")
    activity = Activity(
        iops=per_s("commands_read", "commands_write"),
        bytes_per_s=bytes_per_s,
        requests_per_s=requests_per_s,
        cost_ns=cost_ns,
        queue_time_mean_us=queue_us,
        service_time_mean_us=service_us,
        response_time_mean_us=_mean_us(old, new, "response_time_us", commands),
        share_due=share.due,
        share_got=share.got,
        held_back_by=_held_back_by(new.settings, requests_per_s, bytes_per_s, queue_us, service_us),
    )
    return MeasuredContext(
        **{field.name: getattr(new, field.name) for field in fields(new)}, activity=activity
    )


def _grown(old: Context | None, new: Context, counter: str) -> int:
    now: int = getattr(new, counter)
    return now if old is None else now - int(getattr(old, counter))


def _mean_us(
    old: Context | None, new: Context, times: str, counters: Sequence[str]
) -> float | None:
    """The mean over the interval, from the means over the life before and after it."""
    count = sum(int(getattr(new, counter)) for counter in counters)
    count_before = 0 if old is None else sum(int(getattr(old, counter)) for counter in counters)
    if count <= count_before:
        return None
    after: LatencyUs = getattr(new, times)
    sum_before_us = 0.0
    if old is not None:
        before: LatencyUs = getattr(old, times)
        sum_before_us = before.mean * count_before
    # Means come in whole nanoseconds: the difference of two may fall below nothing.
    return max(after.mean * count - sum_before_us, 0.0) / (count - count_before)


def _shares(contexts: Sequence[Context], cost_ns: Sequence[int]) -> list[_Share]:
    shares = [_Share()] * len(contexts)
    for device in {context.device for context in contexts}:
        places = [i for i, context in enumerate(contexts) if context.device == device]
        total_ns = sum(cost_ns[i] for i in places)
        wanting = [i for i in places if cost_ns[i] or contexts[i].in_flight]
        left = 1.0
        for priority in sorted({contexts[i].settings.priority for i in wanting}):
            of_class = _of(priority, wanting, contexts)
            weights = sum(contexts[i].settings.weight for i in of_class)
            for i in of_class:
                got = cost_ns[i] / total_ns if total_ns else 0.0
                shares[i] = _Share(left * contexts[i].settings.weight / weights, got)
            # What a class leaves is there for those below it.
            left = max(left - sum(shares[i].got for i in of_class), 0.0)
    return shares


def _of(priority: Priority, places: Iterable[int], contexts: Sequence[Context]) -> list[int]:
    return [i for i in places if contexts[i].settings.priority is priority]


def _held_back_by(
    settings: Settings,
    requests_per_s: float,
    bytes_per_s: float,
    queue_us: float | None,
    service_us: float | None,
) -> HeldBackBy:
    limit = settings.limit
    is_at_limit = (limit.iops is not None and requests_per_s >= _AT_LIMIT * limit.iops) or (
        limit.bytes_per_s is not None and bytes_per_s >= _AT_LIMIT * limit.bytes_per_s
    )
    if is_at_limit:
        return "limit"
    has_waited = queue_us is not None and queue_us > max(
        _WAITED_US, _WAITED_PART * (service_us or 0.0)
    )
    return "window" if has_waited else "nobody"
