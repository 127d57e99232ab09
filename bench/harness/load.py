"""Runs load programs, one for each initiator, over exactly the same stretch of time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from bench.harness import process
from bench.harness.percentile import merge_bins, percentile_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GRACE_S = 40.0


class LoadError(Exception):
    """A load program failed or reported errors; its own words are the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What all initiators of one run did together.

    ``busiest_client_cores``: CPU seconds per second of the busiest load program; a program with one
    session is one thread, so at 1.0 it is the client that limits.
    """

    commands: int
    seconds: float
    iops: float
    mb_per_s: float
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p99_9_us: float
    max_us: float
    client_cpu_s: float
    busiest_client_cores: float

    @classmethod
    def merge(cls, runs: Sequence[dict[str, Any]]) -> LoadResult:
        """Merge the JSON results of several load programs that ran at the same time."""
        seconds = max(run["seconds"] for run in runs)
        commands = sum(run["commands"] for run in runs)
        bins = merge_bins(run["latency_bins_ns"] for run in runs)
        max_us = max(run["latency_us"]["max"] for run in runs)
        cpu_s = [run["client_cpu"]["user_s"] + run["client_cpu"]["system_s"] for run in runs]

        def at(fraction: float) -> float:
            return percentile_ns(bins, fraction, max_ns=round(max_us * 1e3)) / 1e3

        return cls(
            commands=commands,
            seconds=seconds,
            iops=commands / seconds if seconds else 0.0,
            mb_per_s=sum(run["bytes"] for run in runs) / 1e6 / seconds if seconds else 0.0,
            mean_us=sum(run["latency_us"]["mean"] * run["commands"] for run in runs)
            / max(commands, 1),
            p50_us=at(0.5),
            p90_us=at(0.9),
            p99_us=at(0.99),
            p99_9_us=at(0.999),
            max_us=max_us,
            client_cpu_s=sum(cpu_s),
            busiest_client_cores=max(
                used_s / run["seconds"] if run["seconds"] else 0.0
                for used_s, run in zip(cpu_s, runs, strict=True)
            ),
        )


class LoadGroup:
    """Several load programs that connect first, start together, and stay until told to leave.

    Between ``connect`` and ``run``, and after ``run``, no command is in flight: that is when the
    server's counters are read.
    """

    def __init__(self, commands: Sequence[Sequence[str]], *, seconds: float, seed: int) -> None:
        # What a command says itself comes later and wins.
        self._commands = [
            [program, f"--seconds={seconds}", f"--seed={seed + index}", "--json", "--hold", *rest]
            for index, (program, *rest) in enumerate(commands)
        ]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._watchdog = threading.Timer(seconds + _GRACE_S, self._kill)
        self._watchdog.daemon = True

    def __enter__(self) -> Self:
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        for program in self._processes:
            process.stop(program, patience_s=3.0)

    def connect(self) -> None:
        """Start the programs one after another; return when all are logged in.

        Raises:
            LoadError: one of them cannot log in.
        """
        for command in self._commands:
            program = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            self._processes.append(program)
            self._expect(program, "connected")

    def run(self, started: Callable[[], None] | None = None) -> LoadResult:
        """Let all of them work, and return what they did together.

        Raises:
            LoadError: a command failed, or a program ended early.
        """
        return LoadResult.merge(self.run_each(started))

    def run_each(self, started: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        """Let all of them work, and return what each printed, in the order of the commands.

        Raises:
            LoadError: a command failed, or a program ended early.
        """
        for program in self._processes:
            self._say_go(program)
        if started is not None:
            started()
        results: list[dict[str, Any]] = [
            json.loads(self._line(program)) for program in self._processes
        ]
        for result in results:
            if result["exit_code"] != 0 or result["errors"]:
                raise LoadError(f"{result['initiator']}: {result['first_error']}")
        for program in self._processes:
            self._expect(program, "finished")
        return results

    def leave(self) -> None:
        """Let all of them log out and end."""
        for program in self._processes:
            self._say_go(program)
        for program in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(timeout=5.0)

    def _kill(self) -> None:
        for program in self._processes:
            program.kill()

    def _line(self, program: subprocess.Popen[bytes]) -> str:
        assert program.stdout is not None  # noqa: S101  connect() made the pipe.
        line = program.stdout.readline().decode()
        if not line.endswith("\n"):
            assert program.stderr is not None  # noqa: S101  connect() made the pipe.
            program.wait()
            words = program.stderr.read().decode(errors="replace").strip()
            raise LoadError(words or f"the load program ended with status {program.returncode}")
        return line.rstrip("\n")

    def _expect(self, program: subprocess.Popen[bytes], word: str) -> None:
        if (line := self._line(program)) != word:
            raise LoadError(f"the load program said {line!r} instead of {word!r}")

    @staticmethod
    def _say_go(program: subprocess.Popen[bytes]) -> None:
        assert program.stdin is not None  # noqa: S101  connect() made the pipe.
        with contextlib.suppress(BrokenPipeError):
            program.stdin.write(b"\n")
            program.stdin.flush()
