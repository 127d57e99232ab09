"""What a process holds: memory, descriptors, threads. Read from /proc, by number of the process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Kernel threads of io_uring; /proc lists them among the process's own.
RING_WORKER_PREFIX: Final = "iou-wrk"


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """One look at a process.

    Attributes:
        rss_bytes: memory that is resident now.
        rss_peak_bytes: the most that ever was.
        descriptors: how many of each kind are open: "socket", "file", "io_uring", ...
        threads: names of its own threads, with their numbers.
        ring_workers: io_uring's worker threads.
    """

    rss_bytes: int
    rss_peak_bytes: int
    descriptors: Counter[str]
    threads: Counter[str]
    ring_workers: int

    @property
    def descriptor_count(self) -> int:
        """All open descriptors."""
        return self.descriptors.total()

    @property
    def has_spare_workers_only(self) -> bool:
        """Whether io_uring's workers are down to those that the kernel keeps.

        After five idle seconds it ends all but the last one of each kind (bounded and unbounded
        work) of each ring's owner.
        """
        return self.ring_workers <= 2 * self.descriptors["io_uring"]

    @property
    def thread_count(self) -> int:
        """All threads but io_uring's workers."""
        return self.threads.total()


def read_process(pid: int) -> ProcessReading:
    """Read what a process holds now.

    Raises:
        FileNotFoundError: there is no such process.
    """
    folder = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    names = Counter(_thread_names(folder))
    workers = sum(count for name, count in names.items() if name.startswith(RING_WORKER_PREFIX))
    own = {name: count for name, count in names.items() if not name.startswith(RING_WORKER_PREFIX)}
    return ProcessReading(
        rss_bytes=int(status["VmRSS"].split()[0]) * 1024,
        rss_peak_bytes=int(status["VmHWM"].split()[0]) * 1024,
        descriptors=Counter(_descriptor_kinds(folder)),
        threads=Counter(own),
        ring_workers=workers,
    )


def _thread_names(folder: Path) -> list[str]:
    names = []
    for task in (folder / "task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we were looking.
    return names


def _descriptor_kinds(folder: Path) -> list[str]:
    kinds = []
    for link in (folder / "fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        kind = target.removeprefix("anon_inode:").partition(":")[0].strip("[]")
        kinds.append("file" if kind.startswith("/") else kind)
    return kinds
