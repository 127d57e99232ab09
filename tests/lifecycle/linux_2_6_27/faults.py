"""How a kernel dies, or fails without dying."""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 -- the kernel's word
    """Something that the kernel must never do."""

    @property
    def text(self) -> str:
        """What a log would say: the kind, and the kernel's own words."""
        return f"{type(self).__name__}: {self}"


class KernelBug(Fault):
    """A BUG_ON() was true."""


class UseAfterFree(Fault):
    """Memory was read or written that had been freed."""


class Deadlock(Fault):
    """A CPU waits for itself, or takes two locks of one class."""


class Leak(Fault):
    """Something is left that nobody refers to any more."""


class InvariantBroken(Fault):
    """Nothing has crashed yet, but the books are wrong."""


class ImpossibleError(Exception):
    """The test asked for something that the kernel would have waited for: a mistake of the test."""
