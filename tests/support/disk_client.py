"""Starts the FUSE disk as a process of its own and speaks to its control socket."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from tests.support.fault_plan import DataOp
from tests.support.fuse_disk import unmount
from tests.support.fuse_system import FILE_NAME
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

_ROOT: Final = Path(__file__).resolve().parents[2]
_STOP_S: Final = 10.0


def _is_stopped(thread: Path) -> bool:
    """Whether a thread, by its directory in /proc, is stopped. Spec: proc(5), /proc/pid/stat."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"


def why_no_fuse() -> str | None:
    """Say why this machine cannot mount the disk; None where it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or may not be opened"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 (package fuse3) is missing, and an ordinary user needs it to mount"
    return None


class FuseDisk:
    """A mounted FUSE disk; a context manager.

    Attributes:
        path: the one file, to be served as a volume or opened by a test.

    Args:
        size_bytes: size of the file.
        granule_bytes: the unit in which a crash keeps or drops data.
        has_page_cache: let the kernel cache pages (written through).
    """

    def __init__(
        self, *, size_bytes: int, granule_bytes: int = 4096, has_page_cache: bool = False
    ) -> None:
        self._folder: Final = Path(tempfile.mkdtemp(prefix="fairlead-disk-"))
        self._mountpoint: Final = self._folder / "mount"
        self._control: Final = self._folder / "control"
        self._arguments: Final = [
            *(str(self._mountpoint), "--size", str(size_bytes)),
            *("--control", str(self._control), "--granule", str(granule_bytes)),
            *(["--page-cache"] if has_page_cache else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.path: Final = self._mountpoint / FILE_NAME

    def __enter__(self) -> Self:
        """Mount and wait until the file is there."""
        self._mountpoint.mkdir()
        command = [sys.executable, "-m", "tests.support.fuse_disk", *self._arguments]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self._process.wait(_STOP_S)
            raise OSError(f"the FUSE disk did not start: exit status {self._process.returncode}")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(self._control))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Unmount, answering what is held, and leave nothing behind."""
        process = self._process
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            # Somebody still has the file open. The kernel fails their requests once we are gone.
            process.kill()
            process.wait(_STOP_S)
            unmount(self._mountpoint)
        assert process.stdout is not None
        process.stdout.close()
        if self._socket is not None:
            self._socket.close()
        self._control.unlink(missing_ok=True)
        self._mountpoint.rmdir()
        self._folder.rmdir()

    @property
    def pid(self) -> int:
        """The process that serves the file."""
        assert self._process is not None
        return self._process.pid

    def forget(self, seed: int) -> dict[str, int]:
        """Crash: each volatile granule is kept or dropped; descriptors opened before are dead."""
        return cast("dict[str, int]", self._call("forget", seed=seed))

    def crash_after(self, requests: int, *, seed: int) -> None:
        """Crash at the n-th further request that changes or syncs data."""
        self._call("crash_after", requests=requests, seed=seed)

    def stall(self, *ops: DataOp) -> None:
        """Answer none of these kinds of requests (all data requests if none is given)."""
        self._call("stall", ops=[str(op) for op in ops or DataOp])

    def resume(self, *, shuffle_seed: int | None = None) -> int:
        """Answer what was held, in its order or shuffled, and hold no more; return how many."""
        return cast("int", self._call("resume", shuffle_seed=shuffle_seed))

    def fail(
        self,
        op: DataOp,
        error: int,
        *,
        count: int = 1,
        start_bytes: int = 0,
        end_bytes: int = 1 << 62,
    ) -> None:
        """Answer the next requests of one kind, in a byte range, with an errno."""
        bounds = {"start_bytes": start_bytes, "end_bytes": end_bytes}
        self._call("fail", op=str(op), error=error, count=count, **bounds)

    def stats(self) -> dict[str, int]:
        """Return the counters: read, write, sync, zero, held, held_now, durable_writes, ..."""
        answer = cast("dict[str, int]", self._call("stats"))
        return dict.fromkeys(_COUNTERS, 0) | answer

    def trace(self) -> list[tuple[str, int, int]]:
        """Return and clear the executed data requests as (op, offset_bytes, length_bytes)."""
        return [(op, offset, length) for op, offset, length in self._call("trace")]

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): nothing is answered, not even open and stat."""
        os.kill(self.pid, signal.SIGSTOP)
        # Each of its threads stops when it next leaves the kernel.
        threads = list(Path(f"/proc/{self.pid}/task").iterdir())
        wait_until(lambda: all(map(_is_stopped, threads)), "the disk's threads have stopped")

    def thaw(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _call(self, command: str, **arguments: object) -> Any:
        assert self._socket is not None
        self._socket.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            received = self._socket.recv(1 << 20)
            if not received:
                raise ConnectionError(f"the FUSE disk went away during {command}")
            line += received
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]


_COUNTERS: Final = (
    *(str(op) for op in DataOp),
    *("bytes_read", "bytes_written", "durable_writes", "fsync", "fdatasync"),
    *("punch_hole", "zero_range", "held", "held_now", "crashes"),
)
