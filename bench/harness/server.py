"""The servers that are compared: started on a free port of 127.0.0.1, stopped, never shared."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from typing_extensions import override

from bench.harness import process, programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.harness.scenario import Scenario

START_S = 20.0
TGT_TARGET_NAME = "iqn.2000-01.invalid.fairlead.bench:tgt"


class ServerAbsentError(Exception):
    """A server cannot be measured here: not installed, or it did not start. Says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an iSCSI server serves the image."""

    host: str
    port: int
    name: str
    lun: int

    @property
    def url(self) -> str:
        """The URL that libiscsi's programs take."""
        return f"iscsi://{self.host}:{self.port}/{self.name}/{self.lun}"

    @classmethod
    def parse(cls, url: str) -> Target:
        """Take an ``iscsi://HOST:PORT/TARGET/LUN`` URL apart."""
        parts = urlsplit(url)
        _, name, lun = parts.path.split("/")
        return cls(host=parts.hostname or "", port=parts.port or 3260, name=name, lun=int(lun))


class Server(ABC):
    """A server under measurement. One object may be started and stopped again and again."""

    # Whether it locks the image, so that no second one of its kind can run meanwhile.
    is_exclusive = False

    def __init__(self, label: str, *, image: Path, scratch: Path) -> None:
        self.label = label
        self.image = image
        self.scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The root of the server's process tree."""
        if self._process is None:
            raise ServerAbsentError(f"{self.label} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server has been started and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        """What the server wrote to standard error."""
        return self.scratch / f"{self.label}.log"

    def cpu_s(self) -> float:
        """CPU seconds of the server's whole process tree since its start."""
        return process.cpu_s(self.pid)

    def stop(self) -> None:
        """End the server; nothing where it does not run."""
        if self._process is not None:
            process.stop(self._process)
            self._process = None

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it serves the image.

        Raises:
            ServerAbsentError: it is not installed or does not start.
        """

    @abstractmethod
    def load_command(self, scenario: Scenario, *, initiator: str) -> list[str]:
        """Return the load program and what it needs to reach this server as ``initiator``."""

    def _spawn(self, command: Sequence[str], *, environment: dict[str, str] | None = None) -> None:
        with self.log_path.open("wb") as log:
            # setpriv (util-linux) sees to it that no server outlives us, however we end.
            setpriv = shutil.which("setpriv")
            guard = [setpriv, "--pdeathsig", "KILL"] if setpriv is not None else []
            try:
                self._process = subprocess.Popen(
                    [*guard, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                )
            except OSError as error:
                raise ServerAbsentError(f"{self.label}: {error}") from error

    def _lines(self) -> Iterator[str]:
        """Yield what the server prints, until it ends or START_S have passed."""
        assert self._process is not None  # noqa: S101  Called by start() after _spawn().
        assert self._process.stdout is not None  # noqa: S101  _spawn() made the pipe.
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + START_S
        pending = b""
        while (left_s := deadline - time.monotonic()) > 0:
            if not select.select([descriptor], [], [], left_s)[0]:
                break
            if not (data := os.read(descriptor, 65536)):
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")

    def _give_up(self, reason: str) -> ServerAbsentError:
        self.stop()
        log = self.log_path.read_text(errors="replace").strip().splitlines()
        return ServerAbsentError(f"{self.label}: {reason}" + (f": {log[-1]}" if log else ""))


class IscsiServer(Server):
    """A server that speaks iSCSI: it is loaded by fairlead-load and has a Target."""

    target: Target

    def url_for(self, client: str) -> str:  # noqa: ARG002  a server of several processes asks
        """Return where a client logs in; a server may have a process for each."""
        return self.target.url

    @override
    def load_command(self, scenario: Scenario, *, initiator: str) -> list[str]:
        """See Server."""
        return [
            str(programs.LOAD),
            f"--url={self.target.url}",
            f"--initiator={initiator}",
            *scenario.load_options(),
        ]


class FairleadServer(IscsiServer):
    """``fairlead serve`` of the Python that runs this, with further options of its own.

    ``volume`` is served in place of the image. With ``config``, a document, all volumes are the
    document's.
    """

    def __init__(
        self,
        label: str,
        *,
        image: Path,
        scratch: Path,
        options: Sequence[str] = (),
        volume: str | None = None,
        config: str | None = None,
        locks_image: bool = True,
    ) -> None:
        super().__init__(label, image=image, scratch=scratch)
        self.options = tuple(options)
        self.volume = volume or str(image)
        self.config = config
        self.is_exclusive = locks_image
        # Where each volume is, by its name.
        self.targets: dict[str, Target] = {}
        # What the running server says of its engine: driver, submitters, what was probed.
        self.engine: dict[str, Any] = {}

    @override
    def start(self) -> None:
        """See Server. Reads the JSON line that tells the URL and that it is ready."""
        served = [self.volume]
        if self.config is not None:
            config_path = self.scratch / f"{self.label}.toml"
            config_path.write_text(self.config)
            served = ["--config", str(config_path)]
        self._spawn(
            [
                sys.executable,
                "-m",
                "fairlead",
                "serve",
                "--json",
                "--portal",
                "127.0.0.1:0",
                *self.options,
                *served,
            ],
            environment={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        for line in self._lines():
            if (document := parse_announcement(line)) is not None:
                self.targets = {
                    volume["name"]: Target.parse(volume["url"]) for volume in document["volumes"]
                }
                self.target = next(iter(self.targets.values()))
                self.engine = document.get("engine") or {}
                return
        raise self._give_up("did not become ready")


class TgtServer(IscsiServer):
    """Debian's tgt, with a control number and socket of its own."""

    def __init__(
        self,
        label: str,
        *,
        image: Path,
        scratch: Path,
        control_number: int,
        backing: str = "rdwr",
        store_flags: str | None = None,
    ) -> None:
        super().__init__(label, image=image, scratch=scratch)
        self.control_number = control_number
        self.backing = backing
        self.store_flags = store_flags

    @override
    def start(self) -> None:
        """See Server. tgtd takes no port 0, so a port that is free now is chosen."""
        for program in ("tgtd", "tgtadm"):
            if shutil.which(program) is None:
                raise ServerAbsentError(f"{program} is not installed (Debian: apt-get install tgt)")
        if os.geteuid() != 0:
            raise ServerAbsentError("tgtd needs root")
        self.target = Target("127.0.0.1", _free_port(), TGT_TARGET_NAME, 1)
        self._spawn(
            [
                "tgtd",
                "-f",
                "-C",
                str(self.control_number),
                "--iscsi",
                f"portal={self.target.host}:{self.target.port}",
            ],
            environment=self._environment(),
        )
        self._wait_for_control_socket()
        self._administer("target", "new", "-T", TGT_TARGET_NAME)
        unit = ["--lun", "1", "-b", str(self.image), "--bstype", self.backing]
        if self.store_flags is not None:
            unit += ["--bsoflags", self.store_flags]
        self._administer("logicalunit", "new", *unit)
        self._administer("target", "bind", "-I", "ALL")

    @override
    def stop(self) -> None:
        """See Server. tgtd does not obey SIGTERM while it has a target."""
        if self.is_running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._run_tgtadm("--mode", "target", "--op", "delete", "--force", "--tid", "1")
        super().stop()

    def _environment(self) -> dict[str, str]:
        # Several tgtds may run beside one another.
        socket_path = self.scratch / f"tgt-{self.control_number}.socket"
        return {**os.environ, "TGT_IPC_SOCKET": str(socket_path)}

    def _wait_for_control_socket(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.is_running:
            done = self._run_tgtadm("--op", "show", "--mode", "system")
            if done.returncode == 0:
                return
            time.sleep(0.05)
        raise self._give_up("its control socket does not answer")

    def _administer(self, mode: str, operation: str, *options: str) -> None:
        done = self._run_tgtadm("--mode", mode, "--op", operation, "--tid", "1", *options)
        if done.returncode != 0:
            raise self._give_up(f"tgtadm {mode} {operation}: {done.stderr.strip()}")

    def _run_tgtadm(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tgtadm", "-C", str(self.control_number), "--lld", "iscsi", *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
            env=self._environment(),
        )


class BareLoopServer(Server):
    """The bare loop: not iSCSI, loaded by a program of its own with the same statistics."""

    port = 0

    @override
    def start(self) -> None:
        """See Server."""
        self._spawn([str(programs.BARELOOP), "127.0.0.1:0", str(self.image)])
        for line in self._lines():
            word, _, port = line.partition(" ")
            if word == "ready":
                self.port = int(port)
                return
        raise self._give_up("did not become ready")

    @override
    def load_command(self, scenario: Scenario, *, initiator: str) -> list[str]:
        """See Server."""
        return [
            str(programs.BARELOOP_LOAD),
            f"--connect=127.0.0.1:{self.port}",
            f"--initiator={initiator}",
            f"--range={self.image.stat().st_size}",
            *scenario.load_options(),
        ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def parse_announcement(line: str) -> dict[str, Any] | None:
    """Return the document by which ``fairlead serve --json`` says that it is ready; else None."""
    try:
        document = json.loads(line)
    except json.JSONDecodeError:
        return None
    is_ready = isinstance(document, dict) and document.get("ready") is True
    return document if is_ready and document.get("volumes") else None
