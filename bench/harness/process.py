"""What a process tree uses: CPU time and resident memory, read from the kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_STOP_S = 10.0


def tree(root_pid: int) -> list[int]:
    """Return ``root_pid`` and all its descendants. Threads belong to their process."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    pids = [root_pid]
    for pid in pids:  # Grows while it is walked: breadth first.
        pids.extend(children.get(pid, []))
    return pids


def cpu_s(root_pid: int) -> float:
    """Return the user and system CPU seconds of the whole tree since its start.

    Read from the kernel's CPU clock of each process (nanoseconds, all threads, also those that have
    ended, and io_uring's workers, which are threads of the process), plus what ended and reaped
    children have used.
    """
    total_s = 0.0
    for pid in tree(root_pid):
        with contextlib.suppress(OSError):
            # clock_getcpuclockid(3): the complement of the PID, shifted, type 2 (run time).
            total_s += time.clock_gettime((~pid << 3) | 2)
        if fields := _stat_fields(pid):
            total_s += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total_s


def resident_bytes(root_pid: int) -> int:
    """Return the resident memory of the whole tree; shared pages count once for each process."""
    pages = 0
    for pid in tree(root_pid):
        with contextlib.suppress(OSError):
            pages += int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def thread_count(root_pid: int) -> int:
    """Return the number of threads of the whole tree."""
    return sum(
        int(fields[17]) for pid in tree(root_pid) if (fields := _stat_fields(pid)) is not None
    )


@dataclass(frozen=True, slots=True)
class MachineCpu:
    """CPU seconds of the whole machine since boot, all CPUs together."""

    busy_s: float
    steal_s: float

    @classmethod
    def read(cls) -> MachineCpu:
        """Read ``/proc/stat``. Steal is what the hypervisor gave to others while we were ready."""
        with (PROC / "stat").open() as stat:
            fields = [int(field) for field in stat.readline().split()[1:]]
        user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        return cls(
            busy_s=(user + nice + system + irq + softirq) / ticks_per_s,
            steal_s=steal / ticks_per_s,
        )


def available_bytes() -> int:
    """Return the machine's available memory (``MemAvailable``)."""
    for line in (PROC / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def stop(process: subprocess.Popen[bytes], *, patience_s: float = _STOP_S) -> None:
    """End a process we started: SIGTERM, and SIGKILL where that does not help in time."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/PID/stat`` after the name: state is 0, ppid 1, cutime 13."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name is in parentheses and may hold anything, also spaces and parentheses.
    return text[text.rindex(")") + 2 :].split()
