"""The life cycle's specification and the data plane's, side by side: every step of both, compared.

What both say is also held to a third, simpler book: the lists of sessions that the test has begun,
and of what it lets the kernel have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.dataplane.lifecycle import EngineArena, EngineDirectory
from fairlead.errors import FairleadError
from fairlead.sched.lifecycle import Account, Arena, ContextId, Directory, Key, State
from fairlead.sched.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fairlead.dataplane.lifecycle import EngineAccount

DONE: Final = "done"


@dataclass(eq=False)
class Live:
    """A session that has begun.

    Attributes:
        context: its context.
        submitter: where it lives, or None if no submitter has heard of it.
        in_flight: requests that the kernel holds.
        has_ended: it issues no more I/O.
    """

    context: ContextId
    submitter: int | None
    in_flight: int = 0
    has_ended: bool = False


@dataclass
class Pair:
    """Both, with so many submitters."""

    submitters: int = 2
    sessions: list[Live] = field(default_factory=list)
    holders: list[ContextId] = field(default_factory=list)
    """The context of each thing that the kernel has beside requests."""
    exits: list[ContextId] = field(default_factory=list)
    """Contexts whose exit step has run, in order."""
    named: list[ContextId] = field(default_factory=list)
    """Every name that was ever given, in order."""

    def __post_init__(self) -> None:
        self.spec, self.engine = Directory(), EngineDirectory(self.submitters)
        self.spec_arenas = [Arena() for _ in range(self.submitters)]
        self.engine_arenas = [EngineArena(number) for number in range(self.submitters)]
        self.accounts: dict[ContextId, tuple[Account, EngineAccount]] = {}

    def begin(
        self, client: str, *, device: str = "vda", submitter: int | None = 0, weight: int = 1
    ) -> Live:
        """A session of a client begins; without a submitter it is not adopted yet."""
        key, settings = Key(client, device), Settings(weight=weight)
        context, account = self.spec.attach(key, settings)
        other, engine_account = self.engine.attach(key, settings)
        assert other == context
        if context not in self.named:
            self.named.append(context)
            self.accounts[context] = account, engine_account
        if submitter is not None:
            self.spec_arenas[submitter].attach(context, account)
            self.engine_arenas[submitter].attach(context, engine_account)
        session = Live(context, submitter)
        self.sessions.append(session)
        self.check()
        return session

    def submit(self, session: Live) -> str:
        """A request in the session's context. Returns `DONE`, or why it was refused."""
        assert session.submitter is not None
        answer = self.nest(session.submitter, [session.context])
        if answer == DONE:
            self.spec_arenas[session.submitter].submitted(session.context)
            self.engine_arenas[session.submitter].submitted(session.context)
            session.in_flight += 1
        self.check()
        return answer

    def complete(self, session: Live) -> bool:
        """A request comes back. Returns whether the context has left the submitter with it."""
        assert session.submitter is not None
        session.in_flight -= 1
        left = self.spec_arenas[session.submitter].completed(session.context)
        assert self.engine_arenas[session.submitter].completed(session.context) == left
        self.check()
        return left

    def end(self, session: Live) -> bool:
        """The session issues no more I/O. Returns whether its context has left the submitter."""
        left = False
        if session.submitter is not None:
            left = self.spec_arenas[session.submitter].detach(session.context)
            assert self.engine_arenas[session.submitter].detach(session.context) == left
        self.spec.detach(session.context)
        self.engine.detach(session.context)
        session.has_ended = True
        self.check()
        return left

    def drain(self, session: Live) -> bool:
        """Nothing of an ended session is left. Returns whether that was the context's end."""
        assert session.has_ended
        assert not session.in_flight
        self.sessions.remove(session)
        return self._drained(session.context)

    def keep(self, context: ContextId) -> str:
        """The kernel gets something of a context. Returns `DONE`, or why it was refused."""
        answer = both(lambda: self.spec.hold(context), lambda: self.engine.hold(context))
        if answer == DONE:
            self.holders.append(context)
        self.check()
        return answer

    def give_up(self, context: ContextId) -> bool:
        """And has it no more. Returns whether that was the context's end."""
        self.holders.remove(context)
        return self._drained(context)

    def _drained(self, context: ContextId) -> bool:
        entry, other = self.spec.drained(context), self.engine.drained(context)
        assert (entry is None) == (other is None)
        if entry is not None:
            assert entry == other
            self.exits.append(entry.id)
        self.check()
        return entry is not None

    def nest(self, submitter: int, contexts: Sequence[ContextId]) -> str:
        """Enters contexts one inside the other. Returns `DONE`, or why it was refused."""
        spec, engine = self.spec_arenas[submitter], self.engine_arenas[submitter]
        answer = both(
            lambda: _nest(spec, contexts),
            lambda: engine.nest(contexts),
        )
        self.check()
        return answer

    def nested(self, submitter: int, contexts: Sequence[ContextId]) -> list[ContextId | None]:
        """The same. Returns in which context it was after each entering and each leaving."""
        seen = _nest(self.spec_arenas[submitter], contexts)
        assert self.engine_arenas[submitter].nest(contexts) == seen
        self.check()
        return seen

    def hold(self, session: Live, size_bytes: int) -> None:
        """A session takes buffer bytes, or gives them back."""
        assert session.submitter is not None
        self.spec_arenas[session.submitter].hold(session.context, size_bytes)
        self.engine_arenas[session.submitter].hold(session.context, size_bytes)
        self.check()

    def change(self, context: ContextId, weight: int) -> str:
        """A context is due something else. Returns `DONE`, or why it was refused."""
        settings = Settings(weight=weight)
        answer = both(
            lambda: self.spec.set(context, settings), lambda: self.engine.set(context, settings)
        )
        self.check()
        return answer

    def late(self, context: ContextId) -> set[str]:
        """Everything that can be asked of a name. Returns the answers."""
        return {
            both(lambda: self.spec.detach(context), lambda: self.engine.detach(context)),
            both(lambda: self.spec.hold(context), lambda: self.engine.hold(context)),
            both(lambda: self.spec.drained(context), lambda: self.engine.drained(context)),
            both(lambda: self.spec.entry(context), lambda: self.engine.entry(context)),
            self.change(context, 7),
            *(self.nest(submitter, [context]) for submitter in range(self.submitters)),
        }

    def check(self) -> None:
        """Both agree, and both agree with the lists of sessions and holders."""
        entries = self.spec.entries()
        assert self.engine.entries() == entries
        assert self.engine.released == self.spec.released == len(self.exits)
        assert len(set(self.exits)) == len(self.exits), "an exit step has run twice"
        for entry in entries:
            mine = [each for each in self.sessions if each.context == entry.id]
            assert entry.attached == sum(not each.has_ended for each in mine)
            ended = sum(each.has_ended for each in mine)
            assert entry.draining == ended + self.holders.count(entry.id)
            assert (entry.state is State.ACTIVE) == any(not each.has_ended for each in mine)
        kept = {each.context for each in self.sessions} | set(self.holders)
        assert {entry.id for entry in entries} == kept
        active = [entry.key for entry in entries if entry.state is State.ACTIVE]
        assert len(set(active)) == len(active), "a key leads to two contexts"
        self._check_accounts()
        self._check_arenas()

    def _check_accounts(self) -> None:
        for context, (spec, engine) in self.accounts.items():
            assert engine.total() == spec
            in_flight = sum(each.in_flight for each in self.sessions if each.context == context)
            assert spec.entered == spec.left
            assert spec.in_flight == spec.submitted - spec.completed == in_flight

    def _check_arenas(self) -> None:
        arenas = zip(self.spec_arenas, self.engine_arenas, strict=True)
        for submitter, (spec, engine) in enumerate(arenas):
            assert spec.current is None
            assert engine.current is None
            here = {
                each.context
                for each in self.sessions
                if each.submitter == submitter and (each.in_flight or not each.has_ended)
            }
            assert len(spec) == len(engine) == len(here)
            for context in self.named:
                assert engine.held_bytes(context) == spec.held_bytes(context)

    def nothing_left(self) -> None:
        """Every session has gone, and nothing is left of any context but its account."""
        assert not self.sessions
        assert not self.holders
        assert not self.spec.entries()
        assert not any(len(arena) for arena in self.engine_arenas)
        assert sorted(self.exits, key=str) == sorted(self.named, key=str)
        for context in self.named:
            assert self.late(context) == {"StaleContextError"}


def both(spec: Callable[[], object], engine: Callable[[], object]) -> str:
    """Asks both the same. Returns `DONE`, or the name of the error that both raise."""
    answers, results = [], []
    for ask in (spec, engine):
        try:
            results.append(ask())
            answers.append(DONE)
        except FairleadError as error:
            answers.append(type(error).__name__)
    assert answers[0] == answers[1]
    if len(results) > 1:
        assert results[0] == results[1]
    return answers[0]


def _nest(arena: Arena, contexts: Sequence[ContextId]) -> list[ContextId | None]:
    if not contexts:
        return []
    with arena.enter(contexts[0]):
        seen = [arena.current, *_nest(arena, contexts[1:])]
    return [*seen, arena.current]
