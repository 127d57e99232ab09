"""The guest as tests have it: run commands in it, copy files, cut its power."""

from __future__ import annotations

import base64
import contextlib
import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from tests.guest.image.build import image
from tests.guest.image.recipe import FLAVOURS
from tests.guest.machine.emulator import Emulator
from tests.guest.machine.link import GuestGoneError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guest.machine.link import Conversation, Link

# An emulated machine on a busy one takes its time; a test that hangs still ends.
BOOT_S: Final = 120.0
RUN_S: Final = 60.0
_CHUNK_BYTES: Final = 48 << 10


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended.

    Attributes:
        command: what was run.
        status: its exit status, negative for a signal.
        output: what it wrote, to standard output and standard error, in the order of its writing.
    """

    command: str
    status: int
    output: str


class Running:
    """A command that runs in the guest."""

    def __init__(self, link: Link, command: str) -> None:
        self.command: Final = command
        self._link: Final = link
        number, conversation = link.order("start", command=command)
        self._number: Final = number
        self._conversation: Final[Conversation] = conversation

    @property
    def output(self) -> str:
        """What it has written so far; complete, as far as it came out, after a power cut."""
        with self._link.changed:
            return self._conversation.output

    def has_ended(self) -> bool:
        """Whether its end has been told."""
        with self._link.changed:
            return self._conversation.status is not None

    def wait(self, timeout: float = RUN_S) -> Completed:
        """Wait for its end.

        Raises:
            AssertionError: it takes longer; the message holds its output.
            GuestGoneError: the guest went off.
        """
        self._wait(lambda: False, f"the end of {self.command!r}", timeout)
        status = self._conversation.status
        assert status is not None
        if error := self._conversation.answer.get("error"):
            raise AssertionError(f"{self.command}: {error}")
        return Completed(self.command, status, self._conversation.output)

    def wait_for(self, pattern: str, timeout: float = RUN_S) -> re.Match[str]:
        """Wait until its output holds a match of a regular expression, or it ends without one.

        Raises:
            AssertionError: there is none in time, or at its end; the message holds its output.
            GuestGoneError: the guest went off.
        """
        found = None

        def has_come() -> bool:
            nonlocal found
            found = re.search(pattern, self._conversation.output, re.MULTILINE)
            return found is not None

        self._wait(has_come, f"{pattern!r} of {self.command!r}", timeout)
        with self._link.changed:
            has_come()
        assert found, f"{self.command} ended without {pattern!r}:\n{self.output}"
        return found

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to it and what it has started."""
        self._link.order("kill", of=self._number, signal=int(number))

    def _wait(self, condition: object, what: str, timeout: float) -> None:
        assert callable(condition)
        deadline = time.monotonic() + timeout
        with self._link.changed:
            while self._conversation.status is None and not condition():
                if self._link.is_gone:
                    raise GuestGoneError(f"off while waiting for {what}")
                left_s = deadline - time.monotonic()
                said = self._conversation.output[-2000:]
                assert left_s > 0, f"not within {timeout:g} s: {what}; it wrote:\n{said}"
                self._link.changed.wait(left_s)


class Guest:
    """A guest of one flavour, switched on and off as often as wanted; a context manager.

    Each start is from the same image: what was written to its root disk is gone.

    Args:
        flavour: a name in `FLAVOURS`.
        folder: where its console is kept.
        payload: a tar file that it unpacks to /payload.
        forwarded_port: a port of this machine's loopback for the guest's port 3260.
    """

    def __init__(
        self,
        flavour: str,
        folder: Path,
        *,
        payload: Path | None = None,
        forwarded_port: int | None = None,
    ) -> None:
        self._image: Final = image(flavour)
        self._memory_mib: Final = FLAVOURS[flavour].memory_mib
        self._payload: Final = payload
        self._forwarded_port: Final = forwarded_port
        self._console: Final = folder / f"console-{flavour}-{id(self):x}.log"
        self._emulator: Emulator | None = None
        self.boots_s: Final[list[float]] = []
        """How long each start took, until the agent was there."""

    def __enter__(self) -> Self:
        """Switch it on."""
        self.power_on()
        return self

    def __exit__(self, *_: object) -> None:
        """Switch it off."""
        self.power_off()

    @property
    def is_on(self) -> bool:
        """Whether it has been switched on and has not gone off."""
        return self._emulator is not None and not self._emulator.link.is_gone

    @property
    def versions(self) -> dict[str, object]:
        """What is in its image: "kernel", "python", "packages"."""
        return self._image.manifest

    @property
    def console(self) -> str:
        """What its kernel has written since it was switched on last."""
        if not self._console.exists():
            return ""
        return self._console.read_text(errors="replace").replace("\r", "")

    def power_on(self) -> None:
        """Switch it on and wait until it takes orders.

        Raises:
            AssertionError: it does not in time; the message holds its console.
        """
        assert self._emulator is None
        started = time.monotonic()
        emulator = self._emulator = Emulator(
            self._image,
            memory_mib=self._memory_mib,
            console=self._console,
            payload=self._payload,
            forwarded_port=self._forwarded_port,
        )
        link = emulator.link
        with link.changed:
            link.changed.wait_for(lambda: link.is_up or link.is_gone, BOOT_S)
        assert link.is_up, f"the guest does not start:\n{self.console[-4000:]}"
        self.boots_s.append(round(time.monotonic() - started, 1))

    def power_off(self) -> None:
        """Cut its power. What it said before has all been read when this returns."""
        if self._emulator is not None:
            self._emulator.power_off()
            self._emulator = None

    def start(self, command: str) -> Running:
        """Start a command of the shell."""
        return Running(self._link, command)

    def run(self, command: str, *, timeout: float = RUN_S, check: bool = True) -> Completed:
        """Run a command of the shell to its end.

        Raises:
            AssertionError: it takes longer than ``timeout`` seconds, or it failed and ``check``.
        """
        running = self.start(command)
        try:
            done = running.wait(timeout)
        except AssertionError:
            with contextlib.suppress(GuestGoneError):
                running.kill()
            raise
        assert not check or done.status == 0, f"{command}: status {done.status}\n{done.output}"
        return done

    def wait_for(self, condition: str, *, timeout: float = RUN_S) -> str:
        """Wait until a command of the shell succeeds there, and return its output.

        For what has no event of its own; the guest looks again every tenth of a second.

        Raises:
            AssertionError: it does not in time.
        """
        loop = f"until {{ {condition}\n}} 2>/dev/null; do busybox usleep 100000; done"
        return self.run(loop, timeout=timeout).output

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file in the guest."""
        data = content.encode() if isinstance(content, str) else content
        for start in range(0, max(len(data), 1), _CHUNK_BYTES):
            chunk = base64.b64encode(data[start : start + _CHUNK_BYTES]).decode()
            self._answered("put", path=path, data=chunk, first=start == 0, mode=mode)

    def read(self, path: str) -> bytes:
        """Return the content of a small file in the guest."""
        return base64.b64decode(str(self._answered("get", path=path)["data"]))

    def copy(self, local: Path, remote: str) -> None:
        """Copy a file of this machine into the guest, with its mode."""
        self.write(remote, local.read_bytes(), mode=local.stat().st_mode & 0o777)

    def copy_back(self, remote: str, local: Path) -> None:
        """Copy a file of the guest to this machine."""
        local.write_bytes(self.read(remote))

    @property
    def _link(self) -> Link:
        if self._emulator is None:
            raise GuestGoneError("the guest is switched off")
        return self._emulator.link

    def _answered(self, do: str, **fields: object) -> dict[str, object]:
        link = self._link
        _, conversation = link.order(do, **fields)
        with link.changed:
            link.changed.wait_for(
                lambda: link.is_gone or conversation.status is not None, timeout=RUN_S
            )
        assert "error" not in conversation.answer, f"{do}: {conversation.answer['error']}"
        assert conversation.status == 0, f"{do}: no answer"
        return conversation.answer
