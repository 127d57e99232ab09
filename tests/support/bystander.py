"""A well-behaved initiator in a process of its own, reading while others misbehave.

``python -m tests.support.bystander`` takes a line ``PORTAL TARGET``, logs in, prints ``ready`` and
reads 4 KiB at random, one command at a time, until there is another line, but often enough for a
percentile to be one; then prints how long the commands took, and waits for where to go next. A
process of its own, so that the load that a test makes in Python does not count as the target's
latency; one for many tests, as its start takes longer than most of them.
"""

from __future__ import annotations

import contextlib
import json
import random
import selectors
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from fairlead.testing.client import connect
from tests.support.latency import LatencySummary, summarise

if TYPE_CHECKING:
    from fairlead.testing.client import Client

READ_BYTES: Final = 4096
# Ten of them may be late for reasons that are the machine's.
_COMMANDS_MIN: Final = 1000
# From then on it leaves the processor to others in between.
_PAUSE_S: Final = 0.001
_ROOT: Final = Path(__file__).resolve().parents[2]
_NAME: Final = "iqn.2026-01.example.bystander:host"
_START_S: Final = 20.0
_END_S: Final = 30.0
# For a process that fails to end, so that its status can be told.
_LAST_WORDS_S: Final = 1.0


class BystanderProcess:
    """The process; started when first needed, and again after one that was disturbed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def begin(self, portal: str, target: str) -> None:
        """Have it log in and read; return when the first command has been answered.

        Raises:
            AssertionError: it could not begin.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.bystander"],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._send(f"{portal} {target}")
        if self._receive(_START_S) != "ready\n":
            self.close()
            raise AssertionError("the bystander could not begin")

    def end(self) -> LatencySummary:
        """Have it stop; return what it measured.

        Raises:
            AssertionError: a command failed, or was not answered.
        """
        self._send("stop")
        line = self._receive(_END_S)
        if not line:
            status = self.close()
            raise AssertionError(f"the bystander was disturbed, or not answered (status {status})")
        return LatencySummary(**json.loads(line))

    def close(self) -> int | None:
        """End the process; return its status where it had ended by itself."""
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS_S)
        status = process.poll()
        process.kill()
        process.communicate()
        return status

    def _send(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # Nothing will be received either.
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _receive(self, limit_s: float) -> str:
        """Return its next line; nothing where it has ended or says nothing."""
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(limit_s) else ""


class Bystander:
    """Reads while its context is entered.

    Args:
        process: does it.
        portal: ADDRESS:PORT of the target.
        target: its name.
        label: what is going on meanwhile, for the line that is printed.
    """

    def __init__(self, process: BystanderProcess, portal: str, target: str, label: str) -> None:
        self._process: Final = process
        self._portal: Final = portal
        self._target: Final = target
        self._label: Final = label
        self._summary: LatencySummary | None = None

    def __enter__(self) -> Self:
        """Return when the first command has been answered."""
        self._process.begin(self._portal, self._target)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop and print the latencies.

        Raises:
            AssertionError: a command failed; the bystander was disturbed.
        """
        if kind is not None:
            self._process.close()
            return
        self._summary = self._process.end()
        print(f"bystander during {self._label}: {self._summary}")

    @property
    def summary(self) -> LatencySummary:
        """The latencies, after the end."""
        assert self._summary is not None
        return self._summary


def read_until_told_to_stop(client: Client) -> list[float]:
    """Read at random, one command at a time; return the latency of each in milliseconds."""
    capacity = client.read_capacity_16().data
    last_lba, client.block_bytes = int.from_bytes(capacity[:8]), int.from_bytes(capacity[8:12])
    blocks = READ_BYTES // client.block_bytes
    rng = random.Random(1)
    latencies_ms: list[float] = []
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while len(latencies_ms) < _COMMANDS_MIN or not selector.select(_PAUSE_S):
            began = time.perf_counter()
            result = client.read_16(rng.randrange(last_lba + 2 - blocks), blocks)
            latencies_ms.append((time.perf_counter() - began) * 1000)
            assert result.is_good, f"status {result.status:#x} {result.sense_code}"
            if len(latencies_ms) == 1:
                print("ready", flush=True)
    sys.stdin.readline()
    return latencies_ms


def main() -> None:
    """Log in, read, tell; as often as told to."""
    while line := sys.stdin.readline():
        portal, target = line.split()
        with connect(portal, target, _NAME) as client:
            # The unit attention of a new nexus, if there is one, is not the bystander's concern.
            client.test_unit_ready()
            latencies_ms = read_until_told_to_stop(client)
        print(json.dumps(asdict(summarise(latencies_ms))), flush=True)


if __name__ == "__main__":
    main()
