"""The machine: memory, CPUs, devices, and the places where another CPU may come between."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .faults import KernelBug
from .locks import SpinLock
from .memory import Memory
from .objects import RequestQueue, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .builds import Build


class Kernel:
    """Everything that is not in a structure.

    Attributes:
        build: which kernel it is.
        memory: its structures.
        cpu: which CPU runs now, from 0.
        locks_held: by CPU.
        meanwhile: what another CPU does at a window, once; by the window's name.
        at_window: is asked at every window; random walks come between there.
        work: what was left to a work item.
        counts: how often something happened that is worth a look: "cic", "idle window",
            "exit under queue_lock".
        log: what WARN_ON() said.
    """

    def __init__(self, build: Build) -> None:
        self.build = build
        self.memory = Memory()
        self.cpu = 0
        self.locks_held: dict[int, list[SpinLock]] = defaultdict(list)
        self.meanwhile: dict[str, Callable[[], object]] = {}
        self.at_window: Callable[[str], None] | None = None
        self.work: list[Callable[[], None]] = []
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.unloading: list[str] | None = None

    def task(self, name: str) -> Task:
        """A thread without an io_context."""
        return self.memory.allocate(Task(name=name, alloc_lock=SpinLock("alloc_lock")))

    def device(self, name: str) -> RequestQueue:
        """A device without a scheduler."""
        return self.memory.allocate(RequestQueue(name=name, queue_lock=SpinLock("queue_lock")))

    def bug_on(self, condition: object, text: str) -> None:
        """BUG_ON(text)."""
        if condition and self.build.bug_on:
            raise KernelBug(f"BUG_ON({text})")

    def warn_on(self, condition: object, text: str) -> None:
        """WARN_ON(text)."""
        if condition:
            self.log.append(f"WARN_ON({text})")

    def window(self, name: str) -> None:
        """Lets another CPU do what the test has for this place."""
        meanwhile = self.meanwhile.pop(name, None)
        if meanwhile is not None:
            with self.on_another_cpu():
                meanwhile()
        elif self.at_window is not None:
            with self.on_another_cpu():
                self.at_window(name)

    @contextmanager
    def on_another_cpu(self) -> Iterator[None]:
        """What is done inside is done by a CPU that holds nothing yet."""
        self.cpu += 1
        try:
            yield
        finally:
            self.cpu -= 1

    @contextmanager
    def rcu_read_lock(self) -> Iterator[None]:
        """rcu_read_lock to rcu_read_unlock."""
        self.memory.rcu_read_lock(self.cpu)
        try:
            yield
        finally:
            self.memory.rcu_read_unlock(self.cpu)

    def run_work(self) -> None:
        """kblockd's turn: runs the work items."""
        work, self.work = self.work, []
        for each in work:
            each()
