"""How a target may lend a session's io_context to its threads: right ways and wrong ones.

A session is opened, entered and left around each command, and closed when no command of it is
left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from . import blk_ioc, tasks

if TYPE_CHECKING:
    from .machine import Kernel
    from .objects import IoContext, Task


class Session:
    """A session; this one does nothing, so that all I/O is the thread's own."""

    def __init__(self, kernel: Kernel, name: str) -> None:  # noqa: ARG002 -- others need it
        self.name = name
        self.before: dict[str, IoContext | None] = {}

    def enter(self, kernel: Kernel, thread: Task) -> Task:  # noqa: ARG002 -- as above
        """A command begins on a thread. Returns who submits its I/O."""
        return thread

    def leave(self, kernel: Kernel, thread: Task) -> None:
        """The command's submission is over."""

    def close(self, kernel: Kernel) -> None:
        """The session ends. No command of it is left."""


class Borrowed(Session):
    """The thread gets a pointer without a count; the one it had is given back to it."""

    ioc: IoContext

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        with thread.alloc_lock.held(kernel):
            self.before[thread.name], thread.io_context = thread.io_context, self.ioc
        return thread

    @override
    def leave(self, kernel: Kernel, thread: Task) -> None:
        with thread.alloc_lock.held(kernel):
            thread.io_context = self.before.pop(thread.name)


class Patch2008(Session):
    """The patch of 2008-12-12: alloc, borrow, NULL, put."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, name)
        self.ioc = blk_ioc.alloc_io_context(kernel, name)

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        kernel.warn_on(thread.io_context, "tsk->io_context")
        thread.io_context = self.ioc
        return thread

    @override
    def leave(self, kernel: Kernel, thread: Task) -> None:
        thread.io_context = None

    @override
    def close(self, kernel: Kernel) -> None:
        blk_ioc.put_io_context(kernel, self.ioc, self.name)


class ExitHelper(Borrowed):
    """With a kernel patch that makes a function of exit_io_context's second half (SCST r710)."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, name)
        self.ioc = blk_ioc.alloc_io_context(kernel, name)

    @override
    def close(self, kernel: Kernel) -> None:
        blk_ioc.leave_io_context(kernel, self.ioc, self.name)


class Unlink(ExitHelper):
    """With an exported inverse of ioc_task_link, which puts whoever is left."""

    @override
    def close(self, kernel: Kernel) -> None:
        blk_ioc.ioc_task_unlink(kernel, self.ioc, self.name)


class Keeper(Borrowed):
    """A kernel thread owns the context, sleeps, and ends with the session (SCST r1570)."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, name)
        self.keeper = kernel.task(f"keeper of {name}")
        self.ioc = blk_ioc.get_io_context(kernel, self.keeper)
        blk_ioc.put_io_context(kernel, self.ioc)

    @override
    def close(self, kernel: Kernel) -> None:
        tasks.do_exit(kernel, self.keeper)


class OwnPool(Session):
    """Threads of its own, all linked to one context; nobody switches (SCST r1563)."""

    THREADS: Final = 2

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, name)
        self.threads = [kernel.task(f"{name}/{number}") for number in range(self.THREADS)]
        first, *others = self.threads
        ioc = blk_ioc.current_io_context(kernel, first)
        for thread in others:
            thread.io_context = blk_ioc.ioc_task_link(kernel, ioc, thread.name)
        self.turn = 0

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        self.turn += 1
        return self.threads[self.turn % self.THREADS]

    @override
    def close(self, kernel: Kernel) -> None:
        for thread in self.threads:
            tasks.do_exit(kernel, thread)


class LinkEachCommand(Patch2008):
    """Wrong: ioc_task_link() for each command, and nothing that undoes it."""

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        thread.io_context = blk_ioc.ioc_task_link(kernel, self.ioc, self.name)
        return thread


class CopyEachCommand(Patch2008):
    """Wrong: copy_io_context() counts a reference, and it is not references that were missing."""

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        blk_ioc.copy_io_context(kernel, thread, self.ioc, thread.name)
        return thread

    @override
    def leave(self, kernel: Kernel, thread: Task) -> None:
        blk_ioc.put_io_context(kernel, thread.io_context, thread.name)
        thread.io_context = None


class ExitEachCommand(Session):
    """Safe and useless: each command's I/O has an io_context that ends with the command."""

    @override
    def leave(self, kernel: Kernel, thread: Task) -> None:
        blk_ioc.exit_io_context(kernel, thread)


RIGHT: Final[dict[str, type[Session]]] = {
    "exit helper": ExitHelper,
    "keeper task": Keeper,
    "pool for each client": OwnPool,
    "unlink": Unlink,
}
