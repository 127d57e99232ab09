"""A well-behaved initiator in a process of its own, reading while others misbehave.

``python -m tests.support.bystander PORTAL TARGET`` logs in, prints ``ready`` and reads 4 KiB at
random, one command at a time, until its input ends; then prints the latencies. A process of its
own, so that the load that a test makes in Python does not count as the target's latency.
"""

from __future__ import annotations

import json
import random
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from fairlead.testing.client import connect
from tests.support.latency import LatencySummary, summarise

if TYPE_CHECKING:
    from fairlead.testing.client import Client

READ_BYTES: Final = 4096
_ROOT: Final = Path(__file__).resolve().parents[2]
_NAME: Final = "iqn.2026-01.example.bystander:host"
_START_S: Final = 20.0
_END_S: Final = 30.0


class Bystander:
    """Runs the process while its context is entered.

    Args:
        portal: ADDRESS:PORT of the target.
        target: its name.
        label: what is going on meanwhile, for the line that is printed.
    """

    def __init__(self, portal: str, target: str, label: str) -> None:
        self._command: Final = [sys.executable, "-m", "tests.support.bystander", portal, target]
        self._label: Final = label
        self._process: subprocess.Popen[str] | None = None
        self._summary: LatencySummary | None = None

    def __enter__(self) -> Self:
        """Start, and return when the first command has been answered."""
        self._process = subprocess.Popen(
            self._command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            is_ready = selector.select(_START_S) and self._process.stdout.readline() == "ready\n"
        if not is_ready:
            self._process.kill()
            self._process.communicate()
            raise AssertionError("the bystander could not begin")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop and print the latencies.

        Raises:
            AssertionError: a command failed; the bystander was disturbed.
        """
        assert self._process is not None
        try:
            output, _nothing = self._process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            if kind is None:
                raise AssertionError("the bystander's command was not answered") from None
            return
        if kind is None:
            assert self._process.returncode == 0, "the bystander was disturbed"
            self._summary = summarise(json.loads(output))
            print(f"bystander during {self._label}: {self._summary}")

    @property
    def summary(self) -> LatencySummary:
        """The latencies, after the end."""
        assert self._summary is not None
        return self._summary


def read_until_input_ends(client: Client) -> list[float]:
    """Read at random, one command at a time; return the latency of each in milliseconds."""
    capacity = client.read_capacity_16().data
    last_lba, client.block_bytes = int.from_bytes(capacity[:8]), int.from_bytes(capacity[8:12])
    blocks = READ_BYTES // client.block_bytes
    rng = random.Random(1)
    latencies_ms = []
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while not selector.select(0):
            began = time.perf_counter()
            result = client.read_16(rng.randrange(last_lba + 2 - blocks), blocks)
            latencies_ms.append((time.perf_counter() - began) * 1000)
            assert result.is_good, f"status {result.status:#x} {result.sense_code}"
            if len(latencies_ms) == 1:
                print("ready", flush=True)
    return latencies_ms


def main(portal: str, target: str) -> None:
    """Log in, read, tell."""
    with connect(portal, target, _NAME) as client:
        # The unit attention of a new nexus, if there is one, is not the bystander's concern.
        client.test_unit_ready()
        print(json.dumps(read_until_input_ends(client)))


if __name__ == "__main__":
    main(*sys.argv[1:])
