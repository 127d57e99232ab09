"""A machine that a test plays with: steps, sections, and how it all ended."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from . import cfq_service, elevator, invariants, tasks
from .faults import Fault, InvariantBroken
from .machine import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .builds import Build
    from .objects import Request, RequestQueue, Task
    from .protocols import Session

P = ParamSpec("P")
R = TypeVar("R")
SURVIVES = "survives"


class Scene:
    """A kernel, and tasks that do one thing after the other.

    Args:
        build: which kernel.
        checking: the invariants are looked at after every step. Without, a fault shows only
            where the kernel itself would have seen it.
    """

    def __init__(self, build: Build, *, checking: bool = True) -> None:
        self.kernel = Kernel(build)
        self.checking = checking

    def do(self, function: Callable[Concatenate[Kernel, P], R], *args: P.args, **kw: P.kwargs) -> R:
        """One step of the kernel."""
        result = function(self.kernel, *args, **kw)
        self.check()
        return result

    def check(self) -> None:
        """See `invariants.check`."""
        if self.checking:
            invariants.check(self.kernel)

    def device(self, name: str = "sda") -> RequestQueue:
        """A device with CFQ."""
        queue = self.kernel.device(name)
        elevator.cfq_init_queue(self.kernel, queue)
        return queue

    def request(self, task: Task, queue: RequestQueue) -> Request:
        """A request is made and given to the device; it is on its way."""
        request = self.do(cfq_service.cfq_set_request, queue, task)
        while not request.dispatched and queue.elevator is not None:
            if self.do(cfq_service.dispatch, queue) is None:
                self.do(cfq_service.expire, queue)
        return request

    def complete(self, request: Request) -> None:
        """The device has done it."""
        self.do(cfq_service.complete, request)

    def read(self, task: Task, queue: RequestQueue) -> None:
        """A request from beginning to end; the slice goes on."""
        self.complete(self.request(task, queue))

    def expire(self, queue: RequestQueue) -> None:
        """The slice's time is over."""
        self.do(cfq_service.expire, queue)

    def switch_away(self, queue: RequestQueue) -> None:
        """The device gets another scheduler."""
        self.do(elevator.cfq_exit_queue, queue)

    def switch_back(self, queue: RequestQueue) -> None:
        """And CFQ again."""
        self.do(elevator.cfq_init_queue, queue)

    def exit(self, *gone: Task) -> None:
        """Tasks end."""
        for task in gone:
            self.do(tasks.do_exit, task)

    @contextmanager
    def section(self, session: Session, thread: Task) -> Iterator[Task]:
        """A command of a session on a thread of the pool; gives who submits.

        Raises:
            InvariantBroken: the thread has another io_context afterwards.
        """
        before = thread.io_context
        yield session.enter(self.kernel, thread)
        session.leave(self.kernel, thread)
        if self.checking and thread.io_context is not before:
            raise InvariantBroken("the task has not got back the io_context it had")
        self.check()

    def end(self) -> None:
        """Everybody has gone; nothing may be left."""
        invariants.check_nothing_left(self.kernel)


def outcome(steps: Callable[[Scene], str | None], build: Build, *, checking: bool) -> str:
    """How it ends.

    Returns:
        The fault's text, or what the steps return, or `SURVIVES`.
    """
    try:
        return steps(Scene(build, checking=checking)) or SURVIVES
    except Fault as fault:
        return fault.text
