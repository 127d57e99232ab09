"""Sessions as SCST has had them, each with a mistake that it once made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tests.lifecycle.linux_2_6_27 import blk_ioc, tasks
from tests.lifecycle.linux_2_6_27.protocols import Borrowed, ExitHelper, Keeper, OwnPool

if TYPE_CHECKING:
    from tests.lifecycle.linux_2_6_27.machine import Kernel
    from tests.lifecycle.linux_2_6_27.objects import IoContext, Task


class NullAfterwards(ExitHelper):
    """Ends as it should, and leaves NULL in the thread instead of what was there."""

    @override
    def leave(self, kernel: Kernel, thread: Task) -> None:
        thread.io_context = None


class UnreadyKeeper(NullAfterwards):
    """Takes commands before its keeper has run; they go where the thread's pointer leads."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.keeper = kernel.task(f"keeper of {name}")
        self.name, self.before = name, {}

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        thread.io_context = self.keeper.io_context
        return thread

    def keeper_runs(self, kernel: Kernel) -> None:
        """The keeper gets its turn."""
        blk_ioc.current_io_context(kernel, self.keeper)

    @override
    def close(self, kernel: Kernel) -> None:
        tasks.do_exit(kernel, self.keeper)


class PoolThatCountsStarts(OwnPool):
    """The thread that starts last is to drop the reference that all had in common."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.name, self.before, self.turn = name, {}, 0
        self.threads = [kernel.task(f"{name}/{number}") for number in range(self.THREADS)]
        self.common: IoContext | None = None
        self.started = 0

    def starts(self, kernel: Kernel) -> None:
        """The next thread runs for the first time."""
        thread = self.threads[self.started]
        self.started += 1
        if self.common is None:
            self.common = blk_ioc.get_io_context(kernel, thread)
        else:
            thread.io_context = blk_ioc.ioc_task_link(kernel, self.common, thread.name)
        if self.started == self.THREADS:
            blk_ioc.put_io_context(kernel, self.common)

    @override
    def enter(self, kernel: Kernel, thread: Task) -> Task:
        return self.threads[0]


class PoolThatCounts(PoolThatCountsStarts):
    """Whoever closes the pool drops what no thread has dropped."""

    @override
    def close(self, kernel: Kernel) -> None:
        if self.started < self.THREADS:
            blk_ioc.put_io_context(kernel, self.common)
        super().close(kernel)


class BarePuts(Borrowed):
    """Made by a thread that hides its own for a moment; given back by puts, as many as gets."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, name)
        creator = kernel.task(name)
        ioc = blk_ioc.get_io_context(kernel, creator)
        blk_ioc.ioc_task_link(kernel, ioc, name)
        creator.io_context = None
        self.ioc = ioc

    @override
    def close(self, kernel: Kernel) -> None:
        for _ in ("alloc", "get", "link"):
            blk_ioc.put_io_context(kernel, self.ioc, self.name)


class SharedKeeper(Keeper):
    """Two sessions of one client; the one that ends first stops the keeper."""

    def joined_by(self, kernel: Kernel, name: str) -> Joined:
        """The client's second session."""
        return Joined(kernel, name, self)


class Joined(Borrowed):
    """A session that uses another one's keeper."""

    def __init__(self, kernel: Kernel, name: str, keeper: Keeper) -> None:
        super().__init__(kernel, name)
        self.ioc = keeper.ioc


class CountedKeeper(SharedKeeper):
    """The same; the keeper counts its sessions, and the last one stops it."""

    sessions = 1

    @override
    def joined_by(self, kernel: Kernel, name: str) -> Joined:
        self.sessions += 1
        return super().joined_by(kernel, name)

    @override
    def close(self, kernel: Kernel) -> None:
        self.sessions -= 1
        if not self.sessions:
            super().close(kernel)
