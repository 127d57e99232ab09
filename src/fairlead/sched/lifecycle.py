"""The life of an I/O context, from the first session of a client to the last request.

This file is to be read; the data plane runs `crates/sched/src/directory.rs` and
`crates/sched/src/arena.rs`, which are held to it step by step.

**Two counters with two names.** *Attached* sessions may still issue I/O. *Draining* ones have ended
and have I/O left that the kernel holds. Neither can stand for the other: a context with nobody
attached takes nothing new, and a context with somebody draining is still referred to. What else the
kernel has of a context (a thread, a cgroup) *holds* it, and is counted with those who drain. So a
context is

- *active* while somebody is attached,
- *closing* when nobody is, and somebody is draining or something holds it,
- *released* when there is neither. That happens in one place, `Directory.drained`, and whoever gets
  the entry from it runs the exit step: once, and after the last request.

**Names.** A context is named by its place in the table and by how often that place was given
before. A name that outlives its context is refused; it never leads to the next one there. A key
(who, and on which device) leads to a context only while it is active: a client that comes back
while its last requests drain gets a new context, for the old one's end has begun.

**Submitters.** Each has its own part, the arena. It enters a context to submit and leaves it on
every path; the context that it was in before is restored. A context leaves a submitter when nobody
is attached there and nothing is in flight there.
"""

from __future__ import annotations

import enum
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fairlead.errors import FairleadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.sched.settings import Settings


@dataclass(frozen=True, slots=True)
class ContextId:
    """Names a context: its place, and how often the place was given before."""

    index: int
    generation: int


class Key(NamedTuple):
    """Who the I/O is for: what the grouping made of the client, and the backing device's name."""

    client: str
    device: str


class State(enum.Enum):
    """Where a context stands. A released one has no state: its name is refused."""

    ACTIVE = "active"
    CLOSING = "closing"


class StaleContextError(FairleadError):
    """The name is of a context that was released, or that has left this submitter."""


class ClosingContextError(FairleadError):
    """The context takes no new I/O on this submitter: its last session there has ended."""


@dataclass(slots=True)
class Account:
    """What a context has done on all submitters: how often each, and requests now in flight."""

    entered: int = 0
    left: int = 0
    submitted: int = 0
    completed: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class Entry:
    """A context as the directory knows it.

    Attributes:
        id: its name.
        key: who it is for.
        settings: what it is due.
        attached: sessions that may still issue I/O.
        draining: sessions that have ended and have I/O with the kernel, and what else holds it.
        account: what it has done; it may be read after the end.
    """

    id: ContextId
    key: Key
    settings: Settings
    attached: int = 1
    draining: int = 0
    account: Account = field(default_factory=Account)

    @property
    def state(self) -> State:
        """Where it stands."""
        return State.ACTIVE if self.attached else State.CLOSING


class Directory:
    """Every context of the process. Touched when sessions begin and end, never per command."""

    def __init__(self) -> None:
        """Start without contexts."""
        self._places: list[Entry | None] = []
        self._generations: list[int] = []
        self._free: list[int] = []
        self._active: dict[Key, ContextId] = {}
        self.released = 0

    def attach(self, key: Key, settings: Settings) -> tuple[ContextId, Account]:
        """A session begins.

        Args:
            key: whose context it uses.
            settings: what the context is due if this makes it; otherwise they change nothing.

        Returns:
            The context's name and its account.
        """
        if key in self._active:
            entry = self.entry(self._active[key])
            entry.attached += 1
            return entry.id, entry.account
        if self._free:
            index = self._free.pop()
        else:
            index = len(self._places)
            self._places.append(None)
            self._generations.append(0)
        entry = Entry(ContextId(index, self._generations[index]), key, settings)
        self._places[index] = entry
        self._active[key] = entry.id
        return entry.id, entry.account

    def detach(self, context: ContextId) -> None:
        """A session will issue no more I/O; what it has with the kernel drains.

        Raises:
            StaleContextError: the context was released.
        """
        entry = self.entry(context)
        if not entry.attached:
            raise AssertionError(f"{context} is detached more often than attached")
        entry.attached -= 1
        entry.draining += 1
        if not entry.attached:
            del self._active[entry.key]

    def hold(self, context: ContextId) -> None:
        """Something of the context is with the kernel: it is not released before `drained`.

        A context that is closing may be held, too.

        Raises:
            StaleContextError: the context was released.
        """
        self.entry(context).draining += 1

    def drained(self, context: ContextId) -> Entry | None:
        """The last I/O of a session that was detached is over, or what was held is given up.

        Returns:
            The entry when that was the last: the context is released, and the caller runs its
            exit step. None while somebody is attached or draining.

        Raises:
            StaleContextError: the context was released.
        """
        entry = self.entry(context)
        if not entry.draining:
            raise AssertionError(f"{context} is drained more often than detached and held")
        entry.draining -= 1
        if entry.attached or entry.draining:
            return None
        self._places[context.index] = None
        self._generations[context.index] += 1
        self._free.append(context.index)
        self.released += 1
        return entry

    def set(self, context: ContextId, settings: Settings) -> None:
        """A context is due something else from now on.

        Raises:
            StaleContextError: the context was released.
        """
        self.entry(context).settings = settings

    def entry(self, context: ContextId) -> Entry:
        """The context of a name.

        Raises:
            StaleContextError: it was released.
        """
        if context.index < len(self._places):
            entry = self._places[context.index]
            if entry is not None and entry.id == context:
                return entry
        raise StaleContextError(f"{context} was released")

    def entries(self) -> list[Entry]:
        """Every context that is not released, by place."""
        return [entry for entry in self._places if entry is not None]


@dataclass(slots=True)
class _Local:
    """A context on one submitter."""

    account: Account
    attached: int = 1
    in_flight: int = 0
    held_bytes: int = 0


class Arena:
    """One submitter's part: who may submit, what is in flight, entering and leaving."""

    def __init__(self) -> None:
        """Start without contexts, and in none."""
        self._here: dict[ContextId, _Local] = {}
        self.current: ContextId | None = None

    def attach(self, context: ContextId, account: Account) -> None:
        """A session on this submitter begins.

        Args:
            context: its context; whatever had that place before has left.
            account: where to book.
        """
        if context in self._here:
            self._here[context].attached += 1
        else:
            self._here[context] = _Local(account)

    def detach(self, context: ContextId) -> bool:
        """A session on this submitter issues no more I/O.

        Returns:
            Whether the context has left the submitter.
        """
        local = self._here.get(context)
        if local is not None:
            if not local.attached:
                raise AssertionError(f"{context} is detached more often than attached")
            local.attached -= 1
        return self._leave_if_idle(context)

    @contextmanager
    def enter(self, context: ContextId) -> Iterator[None]:
        """Submit in a context; the one before is restored, however it ends.

        Raises:
            StaleContextError: the context has left this submitter.
            ClosingContextError: nobody is attached here any more.
        """
        local = self._here.get(context)
        if local is None:
            raise StaleContextError(f"{context} has left")
        if not local.attached:
            raise ClosingContextError(f"{context} takes nothing new")
        local.account.entered += 1
        before, self.current = self.current, context
        try:
            yield
        finally:
            self.current = before
            local.account.left += 1

    def submitted(self, context: ContextId) -> None:
        """A request was given to the kernel. Nothing happens for a context that has left."""
        local = self._here.get(context)
        if local is not None:
            local.in_flight += 1
            local.account.in_flight += 1
            local.account.submitted += 1

    def completed(self, context: ContextId) -> bool:
        """A request came back.

        Returns:
            Whether the context has left the submitter with it.
        """
        local = self._here.get(context)
        if local is not None:
            if not local.in_flight:
                raise AssertionError(f"{context} completed more often than submitted")
            local.in_flight -= 1
            local.account.in_flight -= 1
            local.account.completed += 1
        return self._leave_if_idle(context)

    def hold(self, context: ContextId, size_bytes: int) -> None:
        """The context took buffer bytes here, or gave them back if negative."""
        local = self._here.get(context)
        if local is not None:
            local.held_bytes = max(0, local.held_bytes + size_bytes)

    def held_bytes(self, context: ContextId) -> int:
        """Buffer bytes that the context holds here; 0 when it has left."""
        local = self._here.get(context)
        return local.held_bytes if local is not None else 0

    def __len__(self) -> int:
        """Contexts that are here, attached or with something in flight."""
        return len(self._here)

    def _leave_if_idle(self, context: ContextId) -> bool:
        local = self._here.get(context)
        if local is None or local.attached or local.in_flight:
            return False
        del self._here[context]
        return True
