from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from fairlead.cli.context_words import context_words
from fairlead.control.shares import Due, Origin
from fairlead.dataplane.kernel import KernelContextInfo, KernelContextState
from fairlead.management.documents import explained_document
from fairlead.sched.settings import Priority, Rate, Settings
from tests.support.contexts import context, snapshot

if TYPE_CHECKING:
    from fairlead.control.measurement import Context


def words(
    *contexts: Context, origins: dict[str, Origin] | None = None, refusal: str | None = None
) -> list[str]:
    """Of the first context, among the others."""
    found = snapshot(*contexts)
    first = found.contexts[0]
    due = Due(
        settings=first.settings,
        configured=first.configured,
        origins=origins or {},
        refusal=refusal,
    )
    document: dict[str, Any] = {
        "interval_s": found.interval_s,
        "contexts": [explained_document(found, first, due)],
    }
    return context_words(document)


def test_who_is_alone_and_asks_for_nothing() -> None:
    assert words(context("a")) == [
        "a on vda",
        "  weight = 1: default",
        "  priority = normal: default",
        "  at their defaults: limit.iops, limit.bytes_per_s, burst_s, guarantee.iops, "
        "guarantee.bytes_per_s, queued_max",
        "  It has vda for itself.",
        "  In the last 1.0 s it asked for nothing.",
    ]


def test_each_field_tells_where_it_comes_from() -> None:
    settings = Settings(weight=4, limit=Rate(iops=12_000, bytes_per_s=100 << 20))
    lines = words(
        context("a", settings=settings),
        origins={
            "weight": Origin(kind="rule", by="*:db-*", rule=1),
            "limit.iops": Origin(kind="change", by="*"),
            "limit.bytes_per_s": Origin(kind="policy", by="latency-goal"),
            "guarantee.iops": Origin(kind="change", by="a"),
        },
    )
    assert lines[1:7] == [
        '  weight = 4: [[shares]] number 2 of the document, "*:db-*"',
        "  priority = normal: default",
        '  limit.iops = 12,000: changed since the start, for "*"',
        "  limit.bytes_per_s = 104,857,600 (104.9 MB/s): policy latency-goal",
        '  guarantee.iops = none: changed since the start, for "a"',
        "  at their defaults: burst_s, guarantee.bytes_per_s, queued_max",
    ]


def test_who_waits_for_its_turn_beside_others() -> None:
    lines = words(
        context("a", ops=100, queue=500.0, service=80.0),
        context("b", ops=300, settings=Settings(weight=3, priority=Priority.URGENT)),
        context("c", device="vdb"),
    )
    assert lines[4:] == [
        "  It shares vda with b (weight 3, urgent, got 75%).",
        "  In the last 1.0 s it was due 25% of what the device did, and got 25%: 100 IOPS, "
        "0.4 MB/s.",
        "  A request waited 500 us for its turn and 80 us for the device, on average.",
        "  It waits for its turn: the device has as much at a time as it may, and the others have "
        "theirs. A larger weight gives it more.",
    ]


def test_who_is_held_back_by_its_limit_or_by_nobody() -> None:
    limited = context("a", ops=100, settings=Settings(limit=Rate(iops=100)))
    assert words(limited)[-1] == "  Its own limit holds it back."
    assert words(context("a", ops=9))[-1] == "  Nobody holds it back: it gets what it asks for."


def test_a_guarantee_that_is_missing_is_told_with_its_sums() -> None:
    lines = words(context("a"), refusal="guarantees on vda would be 2 IOPS")
    assert (
        "  It does not have the guarantee it should have: guarantees on vda would be 2 IOPS."
        in lines
    )


def test_of_many_neighbours_those_are_named_who_got_most() -> None:
    others = [context(f"c{number}", ops=number) for number in range(10, 30)]
    [line] = [line for line in words(context("a"), *others) if "shares vda" in line]
    assert line.startswith("  It shares vda with c29 (weight 1, got 7%), c28")
    assert line.endswith(" and 12 more.")


def test_what_the_kernel_sees_is_told() -> None:
    ring = KernelContextInfo(
        state="ring", ring_requests=9_000, plain_requests=1_000, keeper=77, reason=None
    )
    assert words(context("a", kernel=ring))[-1] == (
        "  To the kernel it is a context of its own, with thread 77 as its keeper. 9,000 of 10,000 "
        "requests went by a ring of its own."
    )
    plain = KernelContextInfo(
        state="plain", ring_requests=0, plain_requests=5, keeper=None, reason="no threads are left"
    )
    assert words(context("a", kernel=plain))[-1] == (
        "  To the kernel it is one with all that have no ring: no threads are left. "
        "0 of 5 requests went by a ring of its own."
    )


def test_a_ring_that_gave_way_is_not_said_to_be_used() -> None:
    parked = KernelContextInfo(
        state="parked", ring_requests=3, plain_requests=1, keeper=77, reason=None
    )
    assert words(context("a", kernel=parked))[-1] == (
        "  To the kernel it is one with all that have no ring at the moment, because its own gave "
        "way to another's or it has the device to itself. 3 of 4 requests went by a ring of its "
        "own."
    )


def test_every_state_has_its_words() -> None:
    for state in get_args(KernelContextState):
        kernel = KernelContextInfo(
            state=state, ring_requests=0, plain_requests=0, keeper=None, reason=None
        )
        assert words(context("a", kernel=kernel))[-1].startswith("  To the kernel it")
