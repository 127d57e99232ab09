"""Traces for a scheduler: small ones that Hypothesis draws and shrinks, and long random ones.

The small ones go into every corner; the long ones come to the extremes that take many requests.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from fairlead.sched.reference import Device
from tests.support.sched_trace import (
    Close,
    Complete,
    Next,
    Push,
    Remove,
    Set,
    SetWindow,
    Terms,
    Trace,
    WakeAt,
)

if TYPE_CHECKING:
    from tests.support.sched_trace import Operation

MS: Final = 1_000_000


def devices() -> st.SearchStrategy[Device]:
    """Devices of every size, that count work or places; windows of one to 16 largest requests."""

    @st.composite
    def draw_device(draw: st.DrawFn) -> Device:
        cost_max_ns = draw(st.sampled_from((1, 1_000, 80_000, 1_000_000, 100_000_000)))
        reserve_ns = draw(st.sampled_from((0, cost_max_ns // 4, cost_max_ns)))
        return Device(
            window_ns=cost_max_ns + reserve_ns + draw(st.integers(0, 15 * cost_max_ns)),
            cost_max_ns=cost_max_ns,
            small_ns=draw(st.sampled_from((0, cost_max_ns // 4))) if reserve_ns else 0,
            reserve_ns=reserve_ns,
            place_ns=draw(st.sampled_from((None, None, 1, max(1, cost_max_ns // 4)))),
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
    device: Device, contexts: int, term: st.SearchStrategy[Terms]
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


def long_trace(seed: int, operations: int = 1_500) -> Trace:
    """A random trace of contexts that mostly have something queued, on a busy device.

    Args:
        seed: the same gives the same trace.
        operations: how many there are, about.
    """
    chance = random.Random(seed)
    cost_max_ns = chance.choice((1_000, 80_000, 1_000_000))
    device = Device(window_ns=cost_max_ns * chance.randint(2, 8), cost_max_ns=cost_max_ns)
    contexts = chance.choice((2, 5, 20, 50))
    weights = chance.choice(((1,), (1, 1000), (1, 2, 10, 999, 1000)))
    guaranteed = chance.choice((0, 0.3, 0.8))
    # How often settings change, requests are taken back, and contexts end.
    changes, removals, ends = chance.choice((0, 0.02, 0.2)), chance.choice((0, 0.05)), 0.01

    def drawn_terms() -> Terms:
        return Terms(
            weight=chance.choice(weights),
            priority=chance.choice((1, 1, 1, 0, 2)),
            limit_iops=chance.choice((0, 0, 0, 1_000)),
            burst_ns=chance.choice((0, 10 * MS)),
            guarantee_iops=1_000 if chance.random() < guaranteed else 0,
        )

    def drawn_operations() -> list[Operation]:
        after_ns = chance.choice((0, 0, 0, cost_max_ns // 2, 2 * cost_max_ns))
        context = chance.randrange(contexts)
        kind = chance.random()
        if kind < changes:
            return [Set(after_ns=after_ns, context=context, terms=drawn_terms())]
        if kind < changes + removals:
            return [Remove(after_ns=after_ns, place=chance.randrange(1_000_000))]
        if kind < changes + removals + ends:
            again = Set(after_ns=0, context=context, terms=drawn_terms())
            return [Close(after_ns=after_ns, context=context), again]
        if kind < 0.5:
            push = Push(
                after_ns=after_ns,
                context=context,
                cost_ns=chance.choice((1, cost_max_ns // 10, cost_max_ns, cost_max_ns)),
                length_bytes=4096,
                count=chance.choice((1, 1, 5)),
            )
            return [push]
        ask = Next(after_ns=after_ns, most=chance.choice((1, 3)))
        return [ask, *[Complete(after_ns=0, place=0)] * 2]

    made: list[Operation] = [
        Set(after_ns=0, context=context, terms=drawn_terms()) for context in range(contexts)
    ]
    while len(made) < operations:
        made += drawn_operations()
    return Trace(device, tuple(made))
