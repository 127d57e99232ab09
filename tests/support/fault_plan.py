"""What the FUSE disk does with the next requests: answer, hold, fail, or crash.

Pure: the disk asks for every data request, and the control socket changes the plan. One lock of the
disk covers both.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from enum import Enum, StrEnum


class DataOp(StrEnum):
    """The requests that touch data, and so can be held or failed."""

    READ = "read"
    WRITE = "write"
    SYNC = "sync"
    ZERO = "zero"


class Verdict(Enum):
    """What is to be done with one request."""

    ANSWER = "answer"
    HOLD = "hold"
    FAIL = "fail"
    CRASH = "crash"


@dataclass(slots=True)
class Failure:
    """The next ``count`` requests of ``op`` in a byte range are answered ``error``."""

    op: DataOp
    error: int
    count: int
    start_bytes: int = 0
    end_bytes: int = 1 << 63

    def matches(self, op: DataOp, offset_bytes: int, length_bytes: int) -> bool:
        """Tell whether this failure is for the given request; a sync has no range."""
        if op is not self.op or self.count <= 0:
            return False
        if op is DataOp.SYNC:
            return True
        return offset_bytes < self.end_bytes and offset_bytes + length_bytes > self.start_bytes


@dataclass(slots=True)
class FaultPlan:
    """The faults that are armed; an empty plan answers everything."""

    held_ops: frozenset[DataOp] = frozenset()
    failures: list[Failure] = field(default_factory=list)
    crash_after_requests: int | None = None
    crash_seed: int = 0

    def decide(self, op: DataOp, offset_bytes: int, length_bytes: int) -> tuple[Verdict, int]:
        """Return what to do with a request, and the errno where it is to fail.

        A crash counts requests that change or sync data, so that the same seed and count hit the
        same request of a client that runs one command at a time.
        """
        if self.crash_after_requests is not None and op is not DataOp.READ:
            self.crash_after_requests -= 1
            if self.crash_after_requests <= 0:
                self.crash_after_requests = None
                return Verdict.CRASH, errno.EIO
        if op in self.held_ops:
            return Verdict.HOLD, 0
        for failure in self.failures:
            if failure.matches(op, offset_bytes, length_bytes):
                failure.count -= 1
                if failure.count == 0:
                    self.failures.remove(failure)
                return Verdict.FAIL, failure.error
        return Verdict.ANSWER, 0
