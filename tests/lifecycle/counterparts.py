"""What fairlead's own life cycle does in each scenario: plays for the specification and the engine.

Each play is one property; a scenario names the one that it would have broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support.lifecycle_pair import DONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.lifecycle_pair import Live, Pair

STALE, CLOSING = "StaleContextError", "ClosingContextError"


def finish(pair: Pair, *sessions: Live) -> bool:
    """Sessions end and drain, one after the other. Returns whether the last one released."""
    released = False
    for session in sessions:
        pair.end(session)
        while session.in_flight:
            pair.complete(session)
        released = pair.drain(session)
    return released


def sharers(pair: Pair) -> None:
    sessions = [pair.begin("anna", submitter=number % 2) for number in range(4)]
    assert len(pair.named) == 1
    for session in sessions[:-1]:
        assert pair.submit(session) == DONE
        assert not finish(pair, session)
        assert pair.submit(sessions[-1]) == DONE
    assert finish(pair, sessions[-1])


def failed_beginning(pair: Pair) -> None:
    other = pair.begin("anna")
    never_adopted = pair.begin("anna", submitter=None)
    assert not finish(pair, never_adopted)
    assert pair.submit(other) == DONE
    assert finish(pair, other)
    assert finish(pair, pair.begin("ben", submitter=None))


def one_device_gone(pair: Pair) -> None:
    gone, stays = pair.begin("anna", device="vda"), pair.begin("anna", device="vdb")
    assert gone.context != stays.context
    pair.submit(gone)
    pair.submit(stays)
    pair.end(gone)
    assert pair.submit(stays) == DONE
    assert pair.complete(gone)
    assert pair.drain(gone)
    back = pair.begin("anna", device="vda")
    assert (back.context.index, back.context.generation) == (gone.context.index, 1)
    assert pair.nest(0, [gone.context]) == STALE
    finish(pair, back, stays)


def names_not_addresses(pair: Pair) -> None:
    old = pair.begin("anna")
    finish(pair, old)
    new = pair.begin("ben")
    assert new.context.index == old.context.index
    assert pair.late(old.context) == {STALE}
    assert pair.submit(new) == DONE
    finish(pair, new)


def one_release(pair: Pair) -> None:
    first, second = pair.begin("anna", submitter=0), pair.begin("anna", submitter=1)
    for session in (first, second):
        pair.submit(session)
        pair.end(session)
    for session in (first, second):
        assert pair.complete(session)
    assert [pair.drain(first), pair.drain(second)] == [False, True]
    assert pair.exits == [first.context]
    assert pair.late(first.context) == {STALE}


def nothing_for_who_has_ended(pair: Pair) -> None:
    session = pair.begin("anna")
    finish(pair, session)
    assert pair.change(session.context, 9) == STALE
    assert not pair.spec.entries()


def the_end_is_told_at_once(pair: Pair) -> None:
    session = pair.begin("anna")
    pair.submit(session)
    assert not pair.complete(session)
    assert pair.end(session), "nothing is in flight: the context leaves the submitter now"
    assert pair.drain(session)


def the_same_in_either_order(pair: Pair) -> None:
    weights = []
    for client, change_first in (("anna", True), ("ben", False)):
        session = pair.begin(client)
        if change_first:
            pair.change(session.context, 7)
        sharing = pair.begin(client, submitter=1)
        if not change_first:
            pair.change(session.context, 7)
        weights.append(pair.engine.entry(sharing.context).settings.weight)
        finish(pair, session, sharing)
    assert weights == [7, 7]


def the_exit_comes_after_the_last_request(pair: Pair) -> None:
    session = pair.begin("anna")
    for _ in range(3):
        assert pair.submit(session) == DONE
    assert not pair.end(session)
    assert pair.spec.entry(session.context).attached == 0
    assert [pair.complete(session) for _ in range(3)] == [False, False, True]
    assert not pair.exits
    assert pair.drain(session)
    assert pair.exits == [session.context]


def what_was_there_is_restored(pair: Pair) -> None:
    outer, inner = pair.begin("anna"), pair.begin("ben")
    a, b = outer.context, inner.context
    assert pair.nested(0, [a, b, a]) == [a, b, a, b, a, None]
    gone = pair.begin("cleo")
    finish(pair, gone)
    assert pair.nest(0, [a, gone.context]) == STALE
    assert pair.engine_arenas[0].current is None
    finish(pair, outer, inner)


def a_submitters_matter(pair: Pair) -> None:
    here, there = pair.begin("anna", submitter=0), pair.begin("ben", submitter=1)
    assert pair.nest(0, [there.context]) == STALE
    assert pair.nest(1, [here.context]) == STALE
    with pair.spec_arenas[0].enter(here.context):
        assert pair.spec_arenas[1].current is None
        with pair.spec_arenas[1].enter(there.context):
            assert pair.spec_arenas[0].current == here.context
    assert pair.engine_arenas[0].nest([here.context]) == [here.context, None]
    assert pair.engine_arenas[1].nest([there.context]) == [there.context, None]
    finish(pair, here, there)


def not_before_it_is_there(pair: Pair) -> None:
    session = pair.begin("anna", submitter=None)
    assert pair.nest(0, [session.context]) == STALE
    finish(pair, session)


def the_context_outlives_the_command(pair: Pair) -> None:
    session = pair.begin("anna")
    for _ in range(5):
        assert pair.submit(session) == DONE
        assert not pair.complete(session)
    assert len(pair.named) == 1
    account, _ = pair.accounts[session.context]
    assert (account.submitted, account.completed) == (5, 5)
    finish(pair, session)


def nothing_new_after_the_end(pair: Pair) -> None:
    session = pair.begin("anna")
    pair.submit(session)
    pair.end(session)
    assert pair.submit(session) == CLOSING
    assert pair.nest(0, [session.context, session.context]) == CLOSING
    pair.complete(session)
    assert pair.submit(session) == STALE
    assert pair.drain(session)


def a_session_without_io(pair: Pair) -> None:
    session = pair.begin("anna")
    assert pair.end(session)
    assert pair.drain(session)


def a_client_that_comes_back(pair: Pair) -> None:
    old = pair.begin("anna")
    pair.submit(old)
    pair.end(old)
    new = pair.begin("anna")
    assert new.context != old.context
    assert pair.submit(new) == DONE
    assert pair.complete(old)
    assert pair.drain(old)
    finish(pair, new)


def a_key_is_for_life(pair: Pair) -> None:
    before, after = pair.begin("group:a"), pair.begin("group:b")
    pair.submit(before)
    pair.submit(after)
    pair.complete(before)
    done = [pair.accounts[each.context][1].total().completed for each in (before, after)]
    assert done == [1, 0]
    finish(pair, before, after)


class Counterpart(NamedTuple):
    """What fairlead does instead, and the play that shows it."""

    says: str
    play: Callable[[Pair], None]


_ENDS = Counterpart(
    "the exit step is Directory.drained(), after the last request of the last session",
    the_exit_comes_after_the_last_request,
)
_SHARES = Counterpart("each session is counted, whichever ends first", sharers)
_NAMES = Counterpart("a name has a generation and is refused when it is late", names_not_addresses)
_ONCE = Counterpart("the second who drains is refused: one of them gets the entry", one_release)
_DEVICE = Counterpart("a context is of one device; others of the client go on", one_device_gone)
_RESTORES = Counterpart("leaving restores what was entered before", what_was_there_is_restored)
_OWN = Counterpart(
    "entering is the submitter's own and no state of a thread that others can see or inherit",
    a_submitters_matter,
)
_FAILED = Counterpart("what was attached is detached and drained", failed_beginning)
_THERE = Counterpart(
    "a context that a submitter has not been told is refused", not_before_it_is_there
)

COUNTERPARTS: Final = {
    "every sharer but the last leaks": _SHARES,
    "a fork that fails keeps its share": _FAILED,
    "a sharer that is not counted": _SHARES,
    "a counter was widened and the wrong one incremented": _SHARES,
    "the queue goes while a task exits": _ONCE,
    "the cache outlives the queue": _NAMES,
    "the cache is written for a cic that has just died": _NAMES,
    "the last walk reads what it has freed": _NAMES,
    "freed without a grace period": _NAMES,
    "the module's last cic is counted twice": _ONCE,
    "a new queue at the old one's address": _NAMES,
    "a priority is set for a task that exits": Counterpart(
        "a released context takes no settings, and none is made for them",
        nothing_for_who_has_ended,
    ),
    "nobody tells the device that the task has ended": Counterpart(
        "an idle context leaves its submitter when its last session ends", the_end_is_told_at_once
    ),
    "the queue and the context destroy one icq": _ONCE,
    "moving and sharing in either order": Counterpart(
        "settings are the context's, whenever they come", the_same_in_either_order
    ),
    "the session's put meets a cic that is alive": _ENDS,
    "the slice is the last to let go": _ENDS,
    "NULL instead of what was there": _RESTORES,
    "switched in an interrupt": _OWN,
    "a command before the keeper is ready": _THERE,
    "cleaning up is left to a thread that never ran": _FAILED,
    "bare puts of what was linked": _ENDS,
    "two sessions share a keeper": _SHARES,
    "a link for each command": Counterpart(
        "commands count in flight, sessions count attached", the_exit_comes_after_the_last_request
    ),
    "a reference for each command": _ENDS,
    "exit at the last put": _ENDS,
    "without the BUG_ON": _NAMES,
    "exit after every command": Counterpart(
        "a context is its sessions', and its account goes on", the_context_outlives_the_command
    ),
    "a thread is killed in the section": _ONCE,
    "a thread forks in the section": _OWN,
    "a child inherits a client's priority": _OWN,
    "a priority from outside meets the client": _OWN,
    "a priority from outside between two commands": _RESTORES,
    "a cic is made after the exit": Counterpart(
        "a closing context refuses to be entered", nothing_new_after_the_end
    ),
    "the elevator goes before the session": _DEVICE,
    "the elevator goes and comes back": _DEVICE,
    "one client inside another": _RESTORES,
    "a session without I/O": Counterpart("it is released like any other", a_session_without_io),
    "two devices, one gone": _DEVICE,
    "one context submits for several cgroups": Counterpart(
        "a context's key never changes; another group is another context", a_key_is_for_life
    ),
    "an exiting task may not do I/O": Counterpart(
        "what was submitted completes, and a client that comes back need not wait for it",
        a_client_that_comes_back,
    ),
    "ready is seen before it is true": _THERE,
}
"""By the scenario's name."""

WITHOUT_COUNTERPART: Final = {
    "a lock that is tried for ever": (
        "neither the directory nor the arena takes a lock; where the directory is locked, it is "
        "locked once and nothing else inside"
    ),
}
