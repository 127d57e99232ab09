"""The patch of 2008-12-12 as steps with names, that can be left out, replaced and put elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from . import blk_ioc, cfq_service, elevator, invariants, tasks
from .builds import LINUX_2_6_27
from .faults import Fault
from .scene import SURVIVES, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from .builds import Build
    from .objects import IoContext, Request


class Run:
    """One session, one thread of the pool, one device."""

    def __init__(self, build: Build) -> None:
        self.scene = Scene(build, checking=False)
        self.thread = self.scene.kernel.task("scst_thread")
        self.queue = self.scene.device()
        self.ioc: IoContext | None = None
        self.request: Request | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step.

    Attributes:
        name: what the page calls it.
        does: what it does.
        of_the_patch: the patch has a line for it; the others are the kernel's.
    """

    name: str
    does: Callable[[Run], object]
    of_the_patch: bool = False


def _alloc(run: Run) -> None:
    run.ioc = blk_ioc.alloc_io_context(run.scene.kernel, "session")


def _borrow(run: Run) -> None:
    run.thread.io_context = run.ioc


def _submit(run: Run) -> None:
    run.request = cfq_service.cfq_set_request(run.scene.kernel, run.queue, run.thread)


def _dispatch(run: Run) -> None:
    cfq_service.dispatch(run.scene.kernel, run.queue)


def _complete(run: Run) -> None:
    if run.request is not None:
        cfq_service.complete(run.scene.kernel, run.request)


def _give_back(run: Run) -> None:
    run.thread.io_context = None


def _expire(run: Run) -> None:
    cfq_service.expire(run.scene.kernel, run.queue)


def _put(run: Run) -> None:
    blk_ioc.put_io_context(run.scene.kernel, run.ioc, "session")


def _leave(run: Run) -> None:
    if run.ioc is not None:
        blk_ioc.leave_io_context(run.scene.kernel, run.ioc, "session")


def _switch(run: Run) -> None:
    elevator.cfq_exit_queue(run.scene.kernel, run.queue)


ALLOC: Final = Step("session begins: alloc_io_context()", _alloc, of_the_patch=True)
BORROW: Final = Step("vdisk_do_job begins: tsk->io_context = P", _borrow, of_the_patch=True)
SUBMIT: Final = Step("first request: get_io_context()", _submit)
DISPATCH: Final = Step("dispatch: the slice refers to P", _dispatch)
COMPLETE: Final = Step("completion: put_io_context()", _complete)
GIVE_BACK: Final = Step("vdisk_do_job ends: tsk->io_context = NULL", _give_back, of_the_patch=True)
EXPIRE: Final = Step("the slice expires: put_io_context()", _expire)
PUT: Final = Step("session ends: put_io_context()", _put, of_the_patch=True)
EXIT: Final = Step("session ends: nr_tasks to 0, exit, put", _leave)
SWITCH: Final = Step("the device gets another elevator", _switch)

PATCH: Final = (ALLOC, BORROW, SUBMIT, DISPATCH, COMPLETE, GIVE_BACK, EXPIRE, PUT)
"""What happened in 2008, in the order in which it was reported."""


def without(steps: tuple[Step, ...], *names: str) -> tuple[Step, ...]:
    """The same steps, some undone."""
    return tuple(step for step in steps if step.name not in names)


def replaced(steps: tuple[Step, ...], name: str, by: Step) -> tuple[Step, ...]:
    """The same steps, one done in another way."""
    return tuple(by if step.name == name else step for step in steps)


def before(steps: tuple[Step, ...], name: str, what: Step) -> tuple[Step, ...]:
    """The same steps, and something else just before one of them."""
    place = [step.name for step in steps].index(name)
    return (*steps[:place], what, *steps[place:])


class State(NamedTuple):
    """Where the session's io_context stands after a step; empty when there is none.

    ``holders`` says whose its references are: the session's, requests', slices'.
    """

    step: str
    refcount: str
    nr_tasks: str
    cics: str
    holders: tuple[int, int, int] = (0, 0, 0)
    fault: str = ""


def state_after(run: Run, step: Step) -> State:
    """Reads the counters and the cics."""
    ioc = run.ioc
    if ioc is None:
        return State(step.name, "", "", "")
    if ioc._freed:
        return State(step.name, "0", "0", "freed")
    alive = sum(cic.key is not None for cic in ioc.cic_list)
    dead = len(ioc.cic_list) - alive
    requests, slices = (
        count(run.scene.kernel, ioc) for count in (invariants.requests_of, invariants.slices_of)
    )
    parts = [f"{count} {word}" for count, word in ((alive, "alive"), (dead, "dead")) if count]
    return State(
        step.name,
        str(ioc.refcount),
        str(ioc.nr_tasks),
        ", ".join(parts) or "none",
        (len(ioc._owners), requests, slices),
    )


def states(steps: tuple[Step, ...], build: Build = LINUX_2_6_27) -> list[State]:
    """The state after each step, up to the crash."""
    run, seen = Run(build), []
    for step in steps:
        fault = ""
        try:
            step.does(run)
        except Fault as crash:
            fault = crash.text
        seen.append(state_after(run, step)._replace(fault=fault))
        if fault:
            break
    return seen


def outcome(steps: tuple[Step, ...], build: Build = LINUX_2_6_27) -> str:
    """How it ends, once the thread has ended too and nothing should be left."""
    run = Run(build)
    try:
        for step in steps:
            step.does(run)
        tasks.do_exit(run.scene.kernel, run.thread)
        cfq_service.expire(run.scene.kernel, run.queue)
        run.scene.end()
    except Fault as fault:
        return fault.text
    return SURVIVES


def crash_site(steps: tuple[Step, ...], build: Build = LINUX_2_6_27) -> str | None:
    """The step in which it crashes."""
    last = states(steps, build)[-1]
    return last.step if last.fault else None


NO_BUG_ON: Final = replace(LINUX_2_6_27, bug_on=False)
