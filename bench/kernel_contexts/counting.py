"""What the target's submitters do for one command: their time on a CPU, and their system calls."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from bench.harness import process
from bench.harness.syscalls import SyscallCounter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SUBMITTER: Final = re.compile(r"submitter\d+")


def submitters_of(root_pid: int) -> tuple[int, ...]:
    """Return the threads of a target that submit, in its process tree; not those they wait for."""
    found = []
    for pid in process.tree(root_pid):
        for folder in (process.PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                if _SUBMITTER.fullmatch((folder / "comm").read_text().strip()):
                    found.append(int(folder.name))
    return tuple(sorted(found))


def parse_schedstat(text: str) -> tuple[int, int]:
    """Return nanoseconds on a CPU and how often it came on one, of ``/proc/.../schedstat``.

    Spec: Documentation/scheduler/sched-stats.rst.
    """
    run_ns, _waited_ns, turns = text.split()
    return int(run_ns), int(turns)


class ThreadCounter:
    """Counts while its context managers are entered; each in a run of its own.

    Args:
        root_pid: of the target.
        threads: which.
        scratch: for the counting program's output.

    Attributes:
        run_ns: what they spent on a CPU.
        switches: how often they came on one.
        system_calls: None where no program can count them.
    """

    def __init__(self, root_pid: int, threads: Sequence[int], scratch: Path) -> None:
        self._root_pid = root_pid
        self._threads = tuple(threads)
        self._calls = SyscallCounter(scratch)
        self.run_ns = 0
        self.switches = 0
        self.system_calls: int | None = None

    @contextlib.contextmanager
    def times(self) -> Iterator[None]:
        """Read the kernel's clocks of the threads before and after."""
        before = self._read()
        yield
        after = self._read()
        self.run_ns, self.switches = after[0] - before[0], after[1] - before[1]

    @contextlib.contextmanager
    def calls(self) -> Iterator[None]:
        """Let perf, or strace where perf cannot, count system calls."""
        if self._calls.method is None or not self._threads:
            yield
            return
        self._calls.start(self._root_pid, threads=self._threads)
        try:
            yield
        finally:
            self.system_calls = self._calls.stop()

    def _read(self) -> tuple[int, int]:
        run_ns, switches = 0, 0
        for thread in self._threads:
            path = process.PROC / str(thread) / "task" / str(thread) / "schedstat"
            ran, turns = parse_schedstat(path.read_text())
            run_ns, switches = run_ns + ran, switches + turns
        return run_ns, switches
