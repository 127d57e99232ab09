"""Sessions, devices and threads in any order, and other CPUs that come between.

A walk asks a function for every choice: a seeded generator's, or Hypothesis' list of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lifecycle.linux_2_6_27 import cfq_service
from tests.lifecycle.linux_2_6_27.faults import Fault, ImpossibleError, InvariantBroken
from tests.lifecycle.linux_2_6_27.scene import SURVIVES, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lifecycle.linux_2_6_27.builds import Build
    from tests.lifecycle.linux_2_6_27.objects import IoContext, Request, RequestQueue, Task
    from tests.lifecycle.linux_2_6_27.protocols import Session

    Choose = Callable[[int], int]
    Action = tuple[str, Callable[[], object]]

SESSIONS_MAX: Final = 3
REQUESTS_MAX: Final = 6


class Section(NamedTuple):
    """A command that is being submitted."""

    session: Session
    submitter: Task
    before: IoContext | None


@dataclass(eq=False)
class Pool:
    """A thread of the target's pool, and the sections it is in, the innermost last."""

    thread: Task
    sections: list[Section] = field(default_factory=list)


class Walk:
    """What there is, and what can happen next.

    Args:
        kind: how sessions lend their io_context.
        build: which kernel.
        choose: gives a number below its argument.
        checking: look at the invariants after every step.
        between: other CPUs act at the windows.
        nesting_max: how many sections a thread may be in.
    """

    def __init__(
        self,
        kind: type[Session],
        build: Build,
        choose: Choose,
        *,
        checking: bool = True,
        between: bool = False,
        nesting_max: int = 2,
    ) -> None:
        self.kind, self.choose, self.nesting_max = kind, choose, nesting_max
        self.scene = Scene(build, checking=checking)
        self.devices = [self.scene.device(name) for name in ("sda", "sdb")]
        self.pool = [Pool(self.scene.kernel.task(f"thread {number}")) for number in range(2)]
        self.sessions: list[Session] = []
        self.in_flight: list[tuple[Request, Session]] = []
        self.opened = 0
        self.submitting_to: RequestQueue | None = None
        self.happened: list[str] = []
        if between:
            self.scene.kernel.at_window = self._come_between

    def step(self) -> None:
        """Does one of the things that can be done."""
        actions = self._of_the_target() + self._of_the_machine()
        name, act = actions[self.choose(len(actions))]
        self.happened.append(name)
        act()
        self.scene.check()

    def finish(self) -> None:
        """Everything ends, in order."""
        for each in self.pool:
            while each.sections:
                self._leave(each)
        while self.in_flight:
            self._complete(*self.in_flight[0])
        while self.sessions:
            self._close(self.sessions[0])
        self.happened.append("threads exit")
        self.scene.exit(*(each.thread for each in self.pool))
        for queue in self.devices:
            self.scene.expire(queue)
        self.happened.append("nothing is left")
        self.scene.end()

    def _of_the_target(self) -> list[Action]:
        actions: list[Action] = []
        if len(self.sessions) < SESSIONS_MAX:
            actions.append(("open", self._open))
        idle = [session for session in self.sessions if not self._is_busy(session)]
        actions += [("close", partial(self._close, session)) for session in idle]
        for each in self.pool:
            actions += self._of_a_thread(each)
        return actions

    def _of_a_thread(self, each: Pool) -> list[Action]:
        actions: list[Action] = []
        if len(each.sections) < self.nesting_max:
            inside = [section.session for section in each.sections]
            outside = [session for session in self.sessions if session not in inside]
            actions += [("enter", partial(self._enter, each, session)) for session in outside]
        if each.sections:
            actions.append(("leave", partial(self._leave, each)))
            if len(self.in_flight) < REQUESTS_MAX:
                with_cfq = [queue for queue in self.devices if queue.elevator is not None]
                actions += [("submit", partial(self._submit, each, queue)) for queue in with_cfq]
        return actions

    def _of_the_machine(self) -> list[Action]:
        kernel = self.scene.kernel
        actions: list[Action] = [("grace period", kernel.memory.grace_period)]
        for queue in self.devices:
            if queue.elevator is None:
                actions.append(("elevator comes", partial(self.scene.switch_back, queue)))
                continue
            actions.append(("dispatch", partial(cfq_service.dispatch, kernel, queue)))
            actions.append(("expire", partial(cfq_service.expire, kernel, queue)))
            if not queue.requests and queue is not self.submitting_to:
                actions.append(("elevator goes", partial(self.scene.switch_away, queue)))
        done = [(request, of) for request, of in self.in_flight if request.dispatched]
        actions += [("complete", partial(self._complete, *each)) for each in done]
        return actions

    def _come_between(self, window: str) -> None:
        if self.choose(3):
            return
        kernel, checking = self.scene.kernel, self.scene.checking
        actions = self._of_the_machine()
        name, act = actions[self.choose(len(actions))]
        kernel.at_window, self.scene.checking = None, False  # The other CPU is in the middle.
        self.happened.append(f"{window}: {name}")
        try:
            act()
        except ImpossibleError:
            self.happened[-1] += ", which has to wait"
        finally:
            kernel.at_window, self.scene.checking = self._come_between, checking

    def _is_busy(self, session: Session) -> bool:
        return any(session is of for _, of in self.in_flight) or any(
            session is section.session for each in self.pool for section in each.sections
        )

    def _open(self) -> None:
        self.opened += 1
        self.sessions.append(self.kind(self.scene.kernel, f"session {self.opened}"))

    def _close(self, session: Session) -> None:
        self.sessions.remove(session)
        self.happened.append("close")
        session.close(self.scene.kernel)

    def _enter(self, each: Pool, session: Session) -> None:
        before = each.thread.io_context
        submitter = session.enter(self.scene.kernel, each.thread)
        each.sections.append(Section(session, submitter, before))

    def _leave(self, each: Pool) -> None:
        session, _, before = each.sections.pop()
        session.leave(self.scene.kernel, each.thread)
        if self.scene.checking and each.thread.io_context is not before:
            raise InvariantBroken("the task has not got back the io_context it had")

    def _submit(self, each: Pool, queue: RequestQueue) -> None:
        session, submitter, _ = each.sections[-1]
        self.submitting_to = queue
        request = cfq_service.cfq_set_request(self.scene.kernel, queue, submitter)
        self.submitting_to = None
        self.in_flight.append((request, session))

    def _complete(self, request: Request, session: Session) -> None:
        while not request.dispatched:
            if cfq_service.dispatch(self.scene.kernel, request.queue) is None:
                cfq_service.expire(self.scene.kernel, request.queue)
        self.in_flight.remove((request, session))
        cfq_service.complete(self.scene.kernel, request)


class Ending(NamedTuple):
    """How a walk ended, and what happened last."""

    outcome: str
    last: str
    happened: list[str]


def walk(path: Walk, *, steps: int) -> Ending:
    """Walks so many steps, and to the end of everything; a fault ends it at once."""
    try:
        for _ in range(steps):
            path.step()
        path.finish()
    except Fault as fault:
        return Ending(fault.text, path.happened[-1], path.happened)
    return Ending(SURVIVES, path.happened[-1], path.happened)
