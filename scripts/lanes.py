"""Runs stages side by side in lanes, so that one that waits leaves its core to one that computes.

A lane goes through its stages in order. While there are several lanes, what a stage prints goes to
`.results/STAGE.log` and is shown in one piece when the stage ends; meanwhile a line now and then
tells where each lane is. A lane by itself shows everything as it comes.

A lane may be niced: one that only computes then disturbs another, whose tests look at latencies,
about as much as a quiet machine does, and still gets every moment that the other waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".results"

_PROGRESS_S = 30.0
# After an interruption: pytest stops the targets that its tests have started, and unmounts.
_GOODBYE_S = 30.0

_screen = threading.Lock()


class Output:
    """What one stage prints: to its log, and to the screen at once or at its end."""

    def __init__(self, stage: str, *, is_live: bool) -> None:
        self._log = (RESULTS / f"{stage}.log").open("w")
        self._is_live = is_live
        self._lines: list[str] = []
        self._last_line = ""

    def write(self, line: str) -> None:
        """Takes a line with its end."""
        self._log.write(line)
        self._log.flush()
        self._last_line = line.strip() or self._last_line
        if self._is_live:
            _show(line)
        else:
            self._lines.append(line)

    def close(self) -> None:
        """Shows what has not been shown yet."""
        self._log.close()
        _show("".join(self._lines))

    @property
    def progress(self) -> str:
        """The last line that says something, cut to what a line of progress has room for."""
        return self._last_line if len(self._last_line) < 60 else "..." + self._last_line[-57:]


class Lane(NamedTuple):
    """Stages that are gone through in order, and how nice their processes are to others'."""

    stages: Sequence[str]
    niceness: int = 0


_output: ContextVar[Output] = ContextVar("output")
_niceness: ContextVar[int] = ContextVar("niceness", default=0)


def _show(text: str) -> None:
    with _screen:
        sys.stdout.write(text)
        sys.stdout.flush()


class _Children:
    """The processes at work, each the first of a group, so that all can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._is_over = False

    @contextlib.contextmanager
    def running(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        """Starts a process, and waits for its end when the block is left."""
        with self._lock:
            if self._is_over:
                raise InterruptedError("the checks were interrupted")
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                process_group=0,
            )
            self._running.add(process)
        try:
            with process:
                yield process
        finally:
            with self._lock:
                self._running.discard(process)

    def end(self) -> None:
        """Interrupts the first of every group, which may clean up, and kills what is left later."""
        with self._lock:
            self._is_over = True
            running = list(self._running)
        for child in running:
            child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _GOODBYE_S
        while any(child.poll() is None for child in running) and time.monotonic() < deadline:
            time.sleep(0.1)
        for child in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


_children = _Children()


def run(command: Sequence[str], **environment: str) -> tuple[int, str]:
    """Runs a command of the stage that calls this, and returns its status and output."""
    output = _output.get()
    output.write(f"$ {' '.join(command)}\n")
    nice = ["nice", "-n", str(niceness)] if (niceness := _niceness.get()) else []
    lines = []
    try:
        with _children.running([*nice, *command], os.environ | environment) as process:
            assert process.stdout is not None  # noqa: S101 -- for the type checker: a PIPE
            for line in process.stdout:
                output.write(line)
                lines.append(line)
    except FileNotFoundError as error:
        output.write(f"{error}\n")
        return 127, str(error)
    return process.returncode, "".join(lines)


class Lanes:
    """Lanes at work.

    Args:
        perform: runs one stage; what it calls `run` for goes to that stage's output.
    """

    def __init__(self, perform: Callable[[str], None]) -> None:
        self._perform = perform
        self._at_work: dict[str, tuple[str, Output]] = {}
        self._began = time.monotonic()

    def run(self, lanes: Mapping[str, Lane]) -> None:
        """Runs lanes side by side until all have ended.

        Raises:
            KeyboardInterrupt: so did the user; every process has been ended.
        """
        lanes = {name: lane for name, lane in lanes.items() if lane.stages}
        if not lanes:
            return
        with ThreadPoolExecutor(max_workers=len(lanes)) as threads:
            jobs = [
                threads.submit(self._go, name, lane, is_alone=len(lanes) == 1)
                for name, lane in lanes.items()
            ]
            try:
                while wait(jobs, _PROGRESS_S).not_done:
                    if len(lanes) > 1:
                        self._show_progress()
            except KeyboardInterrupt:
                _children.end()
                raise
        for job in jobs:
            job.result()

    def _go(self, name: str, lane: Lane, *, is_alone: bool) -> None:
        if not is_alone:
            _niceness.set(lane.niceness)
        for stage in lane.stages:
            began = time.monotonic()
            output = Output(stage, is_live=is_alone)
            _output.set(output)
            self._at_work[name] = stage, output
            output.write(f"\n== {stage}\n")
            try:
                self._perform(stage)
                output.write(f"== {stage}: {time.monotonic() - began:.0f} s\n")
            finally:
                output.close()
                del self._at_work[name]

    def _show_progress(self) -> None:
        places = [f"{stage}: {output.progress}" for stage, output in self._at_work.copy().values()]
        _show(f"-- {time.monotonic() - self._began:.0f} s  {'  |  '.join(places)}\n")
