"""How many system calls a server makes, by perf or, where perf cannot, by strace."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from bench.harness import process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_EVENT = "raw_syscalls:sys_enter"
_ATTACH_S = 0.4
_END_S = 15.0


class SyscallCounter:
    """Counts the system calls of a process tree between ``start`` and ``stop``.

    perf counts in the kernel and hardly disturbs; strace stops the server at every call, which
    changes the batching that is to be counted, so its figures are an upper bound and marked so.
    Counting is a run of its own, never the run whose CPU time is reported.
    """

    def __init__(self, scratch: Path) -> None:
        self._output = scratch / "syscalls.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.method = _method()

    def start(self, root_pid: int, *, threads: Sequence[int] = ()) -> None:
        """Attach to the tree under ``root_pid``, or to some of its threads alone.

        Returns when counting has begun.
        """
        pids = ",".join(str(pid) for pid in threads or process.tree(root_pid))
        # strace knows no difference between the two, but follows what a thread starts.
        which, follow = ("-t", ()) if threads else ("-p", ("-f",))
        output = str(self._output)
        self._output.unlink(missing_ok=True)
        if self.method == "perf":
            command = [
                "perf",
                "stat",
                "-x",
                ",",
                "-e",
                _EVENT,
                which,
                pids,
                "-o",
                str(self._output),
            ]
        else:
            attach = [part for pid in pids.split(",") for part in ("-p", pid)]
            command = ["strace", "-c", *follow, "-o", output, *attach]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(_ATTACH_S)

    def stop(self) -> int | None:
        """Detach and return the number of calls; None where the tool did not say."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_S)
        process.stop(self._process)
        self._process = None
        try:
            text = self._output.read_text()
        except OSError:
            return None
        return parse_perf(text) if self.method == "perf" else parse_strace(text)


def parse_perf(text: str) -> int | None:
    """Return the count of a ``perf stat -x ,`` line; None for ``<not counted>``."""
    for line in text.splitlines():
        fields = line.split(",")
        if _EVENT in line and fields[0].isdigit():
            return int(fields[0])
    return None


def parse_strace(text: str) -> int | None:
    """Return the calls in the ``total`` row of ``strace -c``; None where there is none.

    The rule under the heading tells the columns: time, seconds, usecs/call, calls, errors, syscall.
    """
    lines = text.splitlines()
    rule = next((line for line in lines if line.startswith("------")), "")
    total = next((line for line in lines if line.rstrip().endswith(" total")), "")
    columns = [match.span() for match in re.finditer(r"-+", rule)]
    if len(columns) < 4 or not total:
        return None
    # A number wider than its column pushes to the left, into the gap before it.
    calls = total[columns[2][1] : columns[3][1]].strip()
    return int(calls) if calls.isdigit() else None


def _method() -> str | None:
    """Return ``perf``, ``strace`` or None, by trying."""
    if shutil.which("perf") is not None and os.geteuid() == 0:
        tried = subprocess.run(
            ["perf", "stat", "-x", ",", "-e", _EVENT, "--", "true"],
            capture_output=True,
            text=True,
            check=False,
        )
        if parse_perf(tried.stderr) is not None:
            return "perf"
    return "strace" if shutil.which("strace") is not None else None
