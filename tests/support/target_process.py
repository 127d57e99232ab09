"""Starts, asks, kills and restarts the process under test."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from tests.support.process_reading import ProcessReading, read_process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT: Final = Path(__file__).resolve().parents[2]
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVolume:
    """A volume to be served as LUN 0 of a target of its own; fields are those of VolumeConfig."""

    name: str
    kind: str = "file"
    path: Path | None = None
    size_bytes: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return its table of the configuration."""
        place = {"path": None if self.path is None else str(self.path), "size": self.size_bytes}
        given = {name: value for name, value in place.items() if value is not None}
        return {"name": self.name, "kind": self.kind, **given, **self.options}


class TargetProcess:
    """A `fairlead.Target` in a process of its own; a context manager that starts and stops it.

    Args:
        volumes: each becomes LUN 0 of its own target.
        folder: where its log goes.
        driver: "io_uring" or "threads".
        pool: "shared", "per_device" or "per_context".
        engine: further settings of the engine.
        limits: settings of the limits.
        tables: other tables of the configuration, e.g. ``shares``.
    """

    def __init__(
        self,
        volumes: Sequence[ServedVolume],
        folder: Path,
        *,
        driver: str,
        pool: str = "shared",
        engine: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        self._document: Final = {
            "volumes": [volume.document() for volume in volumes],
            "portals": ["127.0.0.1:0"],
            "engine": {"driver": driver, "pool": pool, **(engine or {})},
            "limits": {**(limits or {})},
            **(tables or {}),
        }
        self._log: Final = folder / f"target-{os.getpid()}-{id(self):x}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._started: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start and wait until it listens."""
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it by SIGTERM, or by SIGKILL where that takes too long."""
        if self._process is not None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill(waits=False)
                self.detach()
                raise

    # Life.

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start it, also after `kill` or `stop`, and wait until it listens.

        Raises:
            AssertionError: it ended instead; the message holds its log.
        """
        self.begin()
        assert self.wait_ready(timeout_s), f"not ready within {timeout_s:g} s:\n{self.log_text()}"

    def begin(self) -> None:
        """Start it without waiting."""
        assert self._process is None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.target_child"],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._unread = b""
        self._send(self._document)

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until it listens; return whether it does.

        Raises:
            AssertionError: it ended instead; the message holds its log.
        """
        try:
            self._started = self._receive(timeout_s)
        except TimeoutError:
            return False
        return True

    def stop(self) -> int:
        """End it by SIGTERM and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        assert self._process is not None
        self._process.terminate()
        return self._wait(STOP_TIMEOUT_S)

    def kill(self, *, waits: bool = True) -> None:
        """Kill it. It may stay, dead but with I/O in the kernel: then do not wait, but `reap`."""
        assert self._process is not None
        self._process.kill()
        if waits:
            self._wait(STOP_TIMEOUT_S)

    def reap(self) -> None:
        """Wait for the end of a killed process whose I/O is over now."""
        self._wait(STOP_TIMEOUT_S)

    def detach(self) -> subprocess.Popen[bytes]:
        """Leave a killed process to the caller, so that another one can be started meanwhile."""
        process, self._process = self._process, None
        assert process is not None
        _close_pipes(process)
        return process

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process is not None
        return self._process.pid

    # What it says.

    @property
    def portal(self) -> str:
        """ADDRESS:PORT."""
        return cast("str", self._started["portals"][0])

    def target_name(self, volume: str) -> str:
        """Return the name of the target that shows a volume."""
        return next(str(lun["target"]) for lun in self._started["luns"] if lun["volume"] == volume)

    def contexts(self) -> list[dict[str, Any]]:
        """Return the I/O contexts, as `ContextInfo`."""
        return cast("list[dict[str, Any]]", self.ask("contexts"))

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions, as `SessionInfo`."""
        return cast("list[dict[str, Any]]", self.ask("sessions"))

    def sessions_of(self, initiator: str) -> list[dict[str, Any]]:
        """Return the sessions of initiators whose names begin so."""
        return [s for s in self.sessions() if str(s["initiator_name"]).startswith(initiator)]

    def volumes(self) -> list[dict[str, Any]]:
        """Return the volumes, as `VolumeInfo`."""
        return cast("list[dict[str, Any]]", self.ask("volumes"))

    def events(self) -> list[dict[str, Any]]:
        """Return and forget what has happened: "event" is the class, the rest its fields."""
        return cast("list[dict[str, Any]]", self.ask("events"))

    def ask(self, command: str, **arguments: object) -> Any:
        """Ask `Child.answer`.

        Raises:
            RuntimeError: the command failed in the process.
        """
        self._send({"command": command, **arguments})
        answer = self._receive(ANSWER_TIMEOUT_S)
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer["result"]

    def reading(self) -> ProcessReading:
        """Return what it holds now: memory, descriptors, threads."""
        return read_process(self.pid)

    def log_text(self) -> str:
        """Return all it has logged, over restarts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_lines(self, *needles: str, after: int = 0) -> list[str]:
        """Return the log lines, from the given one on, that hold every one of the given texts."""
        lines = self.log_text().splitlines()[after:]
        return [line for line in lines if all(needle in line for needle in needles)]

    # Private parts.

    def _wait(self, timeout_s: float) -> int:
        assert self._process is not None
        status = self._process.wait(timeout_s)
        _close_pipes(self._process)
        self._process = None
        return status

    def _send(self, document: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not selector.select(left_s):
                    raise TimeoutError(f"no answer within {timeout_s:g} s")
                data = os.read(descriptor, 1 << 20)
                assert data, f"the target ended by itself:\n{self.log_text()}"
                self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return cast("dict[str, Any]", json.loads(line))


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
