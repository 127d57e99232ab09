"""The data plane's directory and arena behind the interface of their specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead import _dataplane
from fairlead.sched.lifecycle import (
    Account,
    ClosingContextError,
    ContextId,
    Entry,
    Key,
    StaleContextError,
)
from fairlead.sched.settings import Priority, Rate, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


class EngineAccount:
    """An account on its submitters; a copy of its sums is what the specification has."""

    def __init__(self, shards: _dataplane.ContextAccounts) -> None:
        """Wrap what the directory has given."""
        self.shards = shards

    def total(self) -> Account:
        """The sums over all submitters, now."""
        return Account(*self.shards.totals())


class EngineDirectory:
    """`fairlead.sched.lifecycle.Directory`, as the data plane runs it."""

    def __init__(self, submitters: int) -> None:
        """Start without contexts.

        Args:
            submitters: how many there are; their numbers are below it.
        """
        self._directory = _dataplane.ContextDirectory(submitters)

    @property
    def released(self) -> int:
        """Contexts released since the start."""
        return self._directory.released()

    def attach(self, key: Key, settings: Settings) -> tuple[ContextId, EngineAccount]:
        """See `Directory.attach`."""
        index, generation, shards = self._directory.attach(*key, settings)
        return ContextId(index, generation), EngineAccount(shards)

    def detach(self, context: ContextId) -> None:
        """See `Directory.detach`; what is an AssertionError there is not looked for."""
        if not self._directory.detach(*_name(context)):
            raise StaleContextError(f"{context} was released")

    def hold(self, context: ContextId) -> None:
        """See `Directory.hold`."""
        if not self._directory.hold(*_name(context)):
            raise StaleContextError(f"{context} was released")

    def drained(self, context: ContextId) -> Entry | None:
        """See `Directory.drained`; what is an AssertionError there is not looked for."""
        is_known, entry = self._directory.drained(*_name(context))
        if not is_known:
            raise StaleContextError(f"{context} was released")
        return _entry(entry) if entry is not None else None

    def set(self, context: ContextId, settings: Settings) -> None:
        """See `Directory.set`."""
        if not self._directory.set(*_name(context), settings):
            raise StaleContextError(f"{context} was released")

    def entry(self, context: ContextId) -> Entry:
        """See `Directory.entry`."""
        entry = self._directory.entry(*_name(context))
        if entry is None:
            raise StaleContextError(f"{context} was released")
        return _entry(entry)

    def entries(self) -> list[Entry]:
        """See `Directory.entries`."""
        return [_entry(entry) for entry in self._directory.entries()]


class EngineArena:
    """`fairlead.sched.lifecycle.Arena`, as the data plane runs it."""

    def __init__(self, submitter: int) -> None:
        """Start without contexts, and in none.

        Args:
            submitter: its number, below the directory's count.
        """
        self._arena = _dataplane.ContextArena(submitter)

    @property
    def current(self) -> ContextId | None:
        """See `Arena.current`."""
        current = self._arena.current()
        return ContextId(*current) if current is not None else None

    def attach(self, context: ContextId, account: EngineAccount) -> None:
        """See `Arena.attach`."""
        self._arena.attach(*_name(context), account.shards)

    def detach(self, context: ContextId) -> bool:
        """See `Arena.detach`."""
        return self._arena.detach(*_name(context))

    def nest(self, contexts: Sequence[ContextId]) -> list[ContextId | None]:
        """Enter contexts one inside the other, and leave them all: `Arena.enter` in one call.

        Returns:
            In which one it was after each entering and each leaving.

        Raises:
            StaleContextError, ClosingContextError: see `Arena.enter`; those outside were left.
        """
        seen, refused = self._arena.nest([_name(context) for context in contexts])
        if refused == "stale":
            raise StaleContextError("has left")
        if refused == "closing":
            raise ClosingContextError("takes nothing new")
        return [ContextId(*each) if each is not None else None for each in seen]

    def submitted(self, context: ContextId) -> None:
        """See `Arena.submitted`."""
        self._arena.submitted(*_name(context))

    def completed(self, context: ContextId) -> bool:
        """See `Arena.completed`."""
        return self._arena.completed(*_name(context))

    def hold(self, context: ContextId, size_bytes: int) -> None:
        """See `Arena.hold`."""
        self._arena.hold(*_name(context), size_bytes)

    def held_bytes(self, context: ContextId) -> int:
        """See `Arena.held_bytes`."""
        return self._arena.held_bytes(*_name(context))

    def __len__(self) -> int:
        """See `Arena.__len__`."""
        return len(self._arena)


def _name(context: ContextId) -> tuple[int, int]:
    return context.index, context.generation


def _entry(fields: _dataplane.ContextEntry) -> Entry:
    context, key, counters, settings, shards = fields
    weight, priority, limit, burst_ns, guarantee, queued_max = settings
    attached, draining = counters
    return Entry(
        id=ContextId(*context),
        key=Key(*key),
        settings=Settings(
            weight=weight,
            priority=Priority(priority),
            limit=Rate(iops=limit[0], bytes_per_s=limit[1]),
            burst_s=burst_ns / 1_000_000_000,
            guarantee=Rate(iops=guarantee[0], bytes_per_s=guarantee[1]),
            queued_max=queued_max,
        ),
        attached=attached,
        draining=draining,
        account=Account(*shards.totals()),
    )
