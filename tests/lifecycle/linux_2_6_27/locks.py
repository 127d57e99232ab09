"""Spin locks that tell, instead of hanging."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .faults import Deadlock, ImpossibleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Kernel


class SpinLock:
    """A spin lock; `kind` is its class, as lockdep understands it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.holder: int | None = None

    @contextmanager
    def held(self, kernel: Kernel) -> Iterator[None]:
        """spin_lock to spin_unlock, on the CPU that runs.

        Raises:
            Deadlock: this CPU has it, or another lock of the same class.
            ImpossibleError: another CPU has it, which the kernel would have waited for.
        """
        if self.holder == kernel.cpu:
            raise Deadlock(f"{self.kind} is taken by the CPU that holds it")
        if self.holder is not None:
            raise ImpossibleError(f"{self.kind} is held by another CPU")
        if any(lock.kind == self.kind for lock in kernel.locks_held[kernel.cpu]):
            raise Deadlock(f"possible recursive locking: {self.kind}")
        self.holder = kernel.cpu
        kernel.locks_held[kernel.cpu].append(self)
        try:
            yield
        finally:
            self.holder = None
            kernel.locks_held[kernel.cpu].remove(self)
