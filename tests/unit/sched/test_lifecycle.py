"""The life of a context: two counters, names that are refused, an end that comes once."""

from __future__ import annotations

import pytest

from fairlead.sched.lifecycle import (
    Account,
    Arena,
    ClosingContextError,
    ContextId,
    Directory,
    Key,
    StaleContextError,
    State,
)
from fairlead.sched.settings import Settings

ANNA, BEN = Key("anna", "vda"), Key("ben", "vda")
FIRST, SECOND = ContextId(0, 0), ContextId(1, 0)


def test_a_context_is_active_then_closing_then_released() -> None:
    directory = Directory()
    context, _ = directory.attach(ANNA, Settings())
    assert directory.entry(context).state is State.ACTIVE
    directory.detach(context)
    assert directory.entry(context).state is State.CLOSING
    entry = directory.drained(context)
    assert entry is not None
    assert (entry.id, directory.released, directory.entries()) == (context, 1, [])


def test_sessions_of_one_key_share_a_context_and_the_last_one_releases_it() -> None:
    directory = Directory()
    first, _ = directory.attach(ANNA, Settings(weight=3))
    second, _ = directory.attach(ANNA, Settings(weight=9))
    assert (first, directory.entry(first).settings) == (second, Settings(weight=3))
    directory.detach(first)
    assert directory.drained(first) is None
    directory.detach(first)
    assert directory.drained(first) is not None


def test_a_closing_context_is_not_revived() -> None:
    directory = Directory()
    old, _ = directory.attach(ANNA, Settings())
    directory.detach(old)
    new, _ = directory.attach(ANNA, Settings())
    assert new != old
    assert directory.drained(old) is not None
    assert directory.entry(new).state is State.ACTIVE


def test_what_the_kernel_has_of_a_context_keeps_it_from_being_released() -> None:
    directory = Directory()
    context, _ = directory.attach(ANNA, Settings())
    directory.hold(context)
    assert directory.entry(context).state is State.ACTIVE
    directory.detach(context)
    directory.hold(context)
    for _ in range(2):
        assert directory.drained(context) is None
        assert directory.entry(context).state is State.CLOSING
    entry = directory.drained(context)
    assert entry is not None
    assert (entry.id, directory.released) == (context, 1)


def test_a_name_is_refused_after_its_place_was_given_again() -> None:
    directory = Directory()
    old, _ = directory.attach(ANNA, Settings())
    directory.detach(old)
    directory.drained(old)
    new, _ = directory.attach(BEN, Settings())
    assert (new.index, new.generation) == (old.index, old.generation + 1)
    for ask in (directory.entry, directory.detach, directory.hold, directory.drained):
        with pytest.raises(StaleContextError):
            ask(old)
    with pytest.raises(StaleContextError):
        directory.set(old, Settings())


def test_more_ends_than_beginnings_are_a_fault_of_ours() -> None:
    directory, arena = Directory(), Arena()
    context, account = directory.attach(ANNA, Settings())
    with pytest.raises(AssertionError, match="drained more often"):
        directory.drained(context)
    directory.detach(context)
    with pytest.raises(AssertionError, match="detached more often"):
        directory.detach(context)
    arena.attach(context, account)
    with pytest.raises(AssertionError, match="completed more often"):
        arena.completed(context)
    arena.submitted(context)
    arena.detach(context)
    with pytest.raises(AssertionError, match="detached more often"):
        arena.detach(context)


def test_entering_nests_and_restores_whatever_happens() -> None:
    arena, account = Arena(), Account()
    arena.attach(FIRST, account)
    arena.attach(SECOND, Account())
    with arena.enter(FIRST):
        with pytest.raises(RuntimeError), arena.enter(SECOND):
            raise RuntimeError
        assert arena.current == FIRST
        with pytest.raises(StaleContextError), arena.enter(ContextId(0, 1)):
            pass
        assert arena.current == FIRST
        assert (account.entered, account.left) == (1, 0)
    assert arena.current is None
    assert (account.entered, account.left) == (1, 1)


def test_a_closing_context_takes_nothing_new_and_leaves_with_its_last_request() -> None:
    arena, account = Arena(), Account()
    arena.attach(FIRST, account)
    arena.submitted(FIRST)
    assert not arena.detach(FIRST)
    with pytest.raises(ClosingContextError), arena.enter(FIRST):
        pass
    assert arena.completed(FIRST)
    with pytest.raises(StaleContextError), arena.enter(FIRST):
        pass
    assert (len(arena), account.submitted, account.completed) == (0, 1, 1)


def test_what_comes_late_is_ignored() -> None:
    arena = Arena()
    arena.submitted(FIRST)
    arena.hold(FIRST, 4096)
    assert not arena.completed(FIRST)
    assert not arena.detach(FIRST)
    assert (len(arena), arena.held_bytes(FIRST)) == (0, 0)


def test_held_bytes_never_fall_below_nothing() -> None:
    arena = Arena()
    arena.attach(FIRST, Account())
    arena.hold(FIRST, 4096)
    assert arena.held_bytes(FIRST) == 4096
    arena.hold(FIRST, -8192)
    assert arena.held_bytes(FIRST) == 0
