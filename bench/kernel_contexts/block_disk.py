"""Block devices to measure on: a loop device with the elevator that is asked for, cut in parts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from typing_extensions import override

from bench.fairness import kernel_io
from bench.fairness.kernel_io import KernelIoError
from bench.harness import process
from bench.harness.programs import REPOSITORY
from tests.support.disk_client import why_no_fuse
from tests.support.fuse_disk import unmount
from tests.support.fuse_system import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

NONE: Final = "none"
BFQ: Final = kernel_io.BFQ
MODEL: Final = "hdd-90,size=64G"
"""What the seeking disk answers like: the project's own model, and no copy of its numbers."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  memory is what is wanted, and the name is our own
_PIECE: Final = bytes(range(256)) * 4096
_STOP_S: Final = 10.0


def why_no_disks() -> str | None:
    """Say what this machine lacks for any disk of this module; None: nothing."""
    if os.geteuid() != 0:
        return "loop devices and elevators need root: run as root, or with sudo"
    if (reason := why_no_fuse()) is not None:
        return reason
    if not Path("/dev/loop-control").exists():
        return "the kernel has no loop devices: modprobe loop"
    return None


class BlockDisk:
    """A loop device over a file, cut into partitions; a context manager.

    Everything is given back at the end, the last first, however that comes.

    Args:
        file: what is below, past the page cache.
        parts: how many partitions; 0: the device as it is.
        is_rotational: what the elevators are told.

    Attributes:
        volumes: what a target can serve.
        helpers: processes that the device is made of.
    """

    def __init__(self, file: Path, *, parts: int, is_rotational: bool) -> None:
        self._file = file
        self._parts = parts
        self._is_rotational = is_rotational
        self._place = Path()
        self._borrowed = contextlib.ExitStack()
        self.volumes: tuple[Path, ...] = ()
        self.helpers: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        """Attach.

        Raises:
            KernelIoError: says what the kernel does not offer.
        """
        with self._borrowed:
            self._attach()
            self._borrowed = self._borrowed.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back."""
        self._borrowed.close()

    def use(self, elevator: str) -> None:
        """Let this elevator be above the device from now on, and know nobody.

        It is put in anew every time: BFQ remembers who worked close to whom, and takes them for
        one as long as their kernel contexts last.

        BFQ is asked to keep to shares alone (``low_latency`` 0): its guess who is interactive
        changes with what ran before.

        Raises:
            KernelIoError: it is not there.
        """
        known = kernel_io.elevators_of(self._place)[1]
        if elevator not in known:
            raise KernelIoError(
                f"the kernel has no elevator {elevator} (modprobe {elevator}); "
                f"there are: {', '.join(known)}"
            )
        for wanted in (NONE, elevator):
            (self._place / "queue" / "scheduler").write_text(wanted)
        if elevator == BFQ:
            (self._place / "queue" / "iosched" / "low_latency").write_text("0")

    def _attach(self) -> None:
        device = self._borrowed.enter_context(kernel_io.loop_device(self._file))
        self._place = kernel_io.disk_of(device)
        rotational = str(int(self._is_rotational))
        enter = self._borrowed.enter_context
        enter(kernel_io.queue_setting(self._place, "rotational", rotational))
        before, _ = kernel_io.elevators_of(self._place)
        # Entered with what it has already, so that it has that again when it is left.
        enter(kernel_io.elevator(self._place, before))
        self.volumes = (device,)
        if self._parts:
            self.volumes = enter(kernel_io.partitions(device, self._parts))


class SeekingDisk(BlockDisk):
    """A disk with a head (``seeking_disk.py``), in equal parts.

    Args:
        folder: an empty one of our own, to mount in.
        parts: how many.
        model: see ``fairlead sim --help``.

    Attributes:
        stats: after it is given back: requests answered, and how late.
    """

    def __init__(self, folder: Path, *, parts: int, model: str = MODEL) -> None:
        super().__init__(folder / FILE_NAME, parts=parts, is_rotational=True)
        self._folder = folder
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None
        self.stats: dict[str, float] = {}

    @override
    def _attach(self) -> None:
        self._mount()
        super()._attach()

    def _mount(self) -> None:
        command = [sys.executable, "-m", "bench.kernel_contexts.seeking_disk"]
        self._process = subprocess.Popen(
            [*command, str(self._folder), "--model", self._model],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._borrowed.callback(self._unmount)
        assert self._process.stdout is not None  # noqa: S101  made above
        assert self._process.stderr is not None  # noqa: S101  likewise
        if self._process.stdout.readline() != b"ready\n":
            said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            raise KernelIoError(f"the disk did not start: {said[-1] if said else 'no word'}")
        self.helpers = (self._process.pid,)

    def _unmount(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            printed, _ = self._process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            # Somebody has the file open. The kernel fails their requests once the process is gone.
            process.stop(self._process, patience_s=0.0)
            unmount(self._folder)
        else:
            lines = printed.splitlines()
            self.stats = json.loads(lines[-1]) if lines else {}


class MemoryDisk(BlockDisk):
    """A fast device: a file in memory, whole.

    Args:
        size_bytes: how large.
    """

    def __init__(self, *, size_bytes: int) -> None:
        self._memory = _MEMORY / f"fairlead-kernel-contexts-{os.getpid()}"
        super().__init__(self._memory, parts=0, is_rotational=False)
        self._size_bytes = size_bytes

    @override
    def _attach(self) -> None:
        self._borrowed.callback(self._memory.unlink, missing_ok=True)
        try:
            with self._memory.open("wb") as file:
                for _ in range(0, self._size_bytes, len(_PIECE)):
                    file.write(_PIECE)
        except OSError as error:
            raise KernelIoError(f"{self._memory}: {error}") from error
        super()._attach()


def names_of(volumes: Sequence[Path]) -> tuple[str, ...]:
    """Return what volumes are called: ``part1`` and on."""
    return tuple(f"part{number}" for number in range(1, len(volumes) + 1))
