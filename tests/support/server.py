"""``fairlead serve`` as a child process, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running ``fairlead serve`` that has said ``ready``."""

    process: subprocess.Popen[str]
    urls: tuple[str, ...]
    """One ``iscsi://`` URL for each volume, in the order of the command line."""
    log: Path
    """What it writes on standard error."""

    @property
    def portal(self) -> str:
        """HOST:PORT of the first volume's URL."""
        return self.urls[0].split("/")[2]

    def stop(self) -> int:
        """Ends it by SIGTERM and returns its status.

        Raises:
            subprocess.TimeoutExpired: it did not end in time (it is killed).
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def serving(
    volumes: Sequence[str],
    folder: Path,
    *,
    driver: str = "auto",
    pool: str = "shared",
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = (sys.executable, "-m", "fairlead"),
) -> Iterator[Server]:
    """Serves the volumes on a free port of the loopback interface until the block is left.

    Leaving it asserts that the server ended by SIGTERM, in time and with status 0.

    Raises:
        AssertionError: it did not become ready; the message holds what it wrote.
    """
    command = [*program, "serve", "--portal", "127.0.0.1:0", "--driver", driver, "--pool", pool]
    log = folder / f"serve-{driver}-{pool}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, *options, *volumes],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            # Its management socket belongs to this test alone.
            env={**(environment or os.environ), "XDG_RUNTIME_DIR": str(folder)},
        )
        try:
            lines = lines_until_ready(process, log)
            urls = tuple(re.findall(r"iscsi://[^\s\"',]+", "\n".join(lines)))
            server = Server(process=process, urls=urls, log=log)
            yield server
            if process.poll() is None:
                status = server.stop()
                assert status == 0, f"ended with status {status}:\n{log.read_text()}"
            else:
                message = f"ended by itself with status {process.returncode}:\n{log.read_text()}"
                raise AssertionError(message)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def lines_until_ready(process: subprocess.Popen[str], log: Path) -> list[str]:
    """Reads what the server prints up to its last line before it serves."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_TIMEOUT_S
    descriptor = process.stdout.fileno()
    text = ""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            remaining_s = deadline - time.monotonic()
            data = os.read(descriptor, 65536) if selector.select(max(remaining_s, 0)) else b""
            text += data.decode()
            lines = text.splitlines()
            if any(re.search(r"\bready\b", line) and "iscsi://" not in line for line in lines):
                return lines
            if not data:
                process.kill()
                process.wait()
                message = f"not ready within {START_TIMEOUT_S:g} s:\n{text}\n{log.read_text()}"
                raise AssertionError(message)


@contextlib.contextmanager
def killed_at_end(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Makes sure that a program started in a test does not outlive it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
