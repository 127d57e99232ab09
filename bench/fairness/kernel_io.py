"""What the kernel offers to tell clients apart on one disk, borrowed and given back.

Each is a context manager: an elevator, an I/O weight, a loop device. However a run ends, short of
SIGKILL, what was there before is there again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYS = Path("/sys")
_CGROUPS = _SYS / "fs" / "cgroup"
_PROGRAM_S = 30
_NODE_S = 5.0
_EMPTY_S = 5.0
BFQ = "bfq"


class KernelIoError(OSError):
    """The kernel, or what we may do here, does not offer it. Says what is missing."""


def parse_elevators(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the elevator in use and all there are, of ``none [mq-deadline] bfq``."""
    words = text.split()
    current = next((word[1:-1] for word in words if word.startswith("[")), "none")
    return current, tuple(word.strip("[]") for word in words)


def disk_of(path: Path) -> Path:
    """Return the disk (``/sys/...``) on which a file is, or which a block device is.

    Raises:
        KernelIoError: there is none, as on a network's or a memory's file system.
    """
    status = path.stat()
    number = status.st_rdev or status.st_dev
    entry = _SYS / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    try:
        place = entry.resolve(strict=True)
    except OSError as error:
        raise KernelIoError(f"{path}: on no disk: {error}") from error
    if (place / "partition").exists():
        place = place.parent
    return place


def elevators_of(disk: Path) -> tuple[str, tuple[str, ...]]:
    """Return a disk's elevator and those that it could have.

    Raises:
        KernelIoError: it has no choice.
    """
    try:
        return parse_elevators((disk / "queue" / "scheduler").read_text())
    except OSError as error:
        raise KernelIoError(f"{disk.name}: no elevator to choose: {error}") from error


@contextlib.contextmanager
def elevator(disk: Path, wanted: str) -> Iterator[None]:
    """Give a disk another elevator for a while.

    Raises:
        KernelIoError: it cannot have this one.
    """
    before, known = elevators_of(disk)
    if wanted not in known:
        raise KernelIoError(f"{disk.name}: no elevator {wanted}; there are: {', '.join(known)}")
    with _written(disk / "queue" / "scheduler", wanted, before):
        yield


@contextlib.contextmanager
def queue_setting(disk: Path, name: str, wanted: str) -> Iterator[None]:
    """Write something else into ``queue/NAME`` of a disk for a while.

    Raises:
        KernelIoError: it has no such setting, or refuses the value.
    """
    file = disk / "queue" / name
    try:
        before = file.read_text().strip()
    except OSError as error:
        raise KernelIoError(f"{file}: {error}") from error
    with _written(file, wanted, before):
        yield


@contextlib.contextmanager
def _written(file: Path, wanted: str, before: str) -> Iterator[None]:
    try:
        file.write_text(wanted)
    except OSError as error:
        raise KernelIoError(f"{file}: {error}") from error
    try:
        yield
    finally:
        file.write_text(before)


@contextlib.contextmanager
def weighted_cgroup(name: str, *, weight: int) -> Iterator[Path]:
    """Make a control group with an I/O weight for BFQ; yield its folder. It has to be empty again.

    Version 1 (``blkio.bfq.weight``) where it is mounted, version 2 (``io.bfq.weight``) otherwise.

    Raises:
        KernelIoError: no group can have a weight here.
    """
    of_version_1 = (_CGROUPS / "blkio" / "cgroup.procs").exists()
    folder = (_CGROUPS / "blkio" if of_version_1 else _CGROUPS) / name
    weight_file = folder / ("blkio.bfq.weight" if of_version_1 else "io.bfq.weight")
    try:
        folder.mkdir()
    except OSError as error:
        raise KernelIoError(f"{folder}: no control group: {error}") from error
    try:
        try:
            weight_file.write_text(str(weight))
        except OSError as error:
            raise KernelIoError(f"{weight_file}: no I/O weight: {error}") from error
        yield folder
    finally:
        _remove(folder)


@contextlib.contextmanager
def loop_device(image: Path) -> Iterator[Path]:
    """Attach a file to a loop device that bypasses the page cache; yield ``/dev/loopN``.

    Raises:
        KernelIoError: there is none, or no losetup.
    """
    made = _losetup("--find", "--show", "--direct-io=on", str(image))
    try:
        yield Path(made)
    finally:
        _losetup("--detach", made)


@contextlib.contextmanager
def partitions(device: Path, count: int) -> Iterator[tuple[Path, ...]]:
    """Cut a disk into equal partitions that only the kernel knows; yield their paths.

    Nothing is written to the disk.

    Raises:
        KernelIoError: it cannot be cut, or no addpart.
    """
    place = disk_of(device)
    sectors = int((place / "size").read_text()) // count
    # What somebody left who was killed; a device that we have just attached has no others.
    for left in place.glob(f"{place.name}p*/partition"):
        _remove_partition(device, int(left.read_text()))
    with contextlib.ExitStack() as made:
        paths = []
        for number in range(1, count + 1):
            start = (number - 1) * sectors
            _run("addpart", str(device), str(number), str(start), str(sectors))
            made.callback(_remove_partition, device, number)
            paths.append(_partition(device, number))
        yield tuple(paths)


def _remove_partition(device: Path, number: int) -> None:
    """Remove it as soon as the kernel has let go of the last I/O of who has used it."""
    deadline = time.monotonic() + _NODE_S
    while True:
        try:
            _run("delpart", str(device), str(number))
        except KernelIoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _partition(device: Path, number: int) -> Path:
    path = device.with_name(f"{device.name}p{number}")
    deadline = time.monotonic() + _NODE_S
    while not path.is_block_device():
        if time.monotonic() > deadline:
            raise KernelIoError(f"{path}: did not appear; is /dev a devtmpfs?")
        time.sleep(0.01)
    return path


def _losetup(*options: str) -> str:
    return _run("losetup", *options)


def _run(program: str, *options: str) -> str:
    try:
        done = subprocess.run(
            [program, *options], capture_output=True, text=True, check=False, timeout=_PROGRAM_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelIoError(f"{program}: {error}") from error
    if done.returncode != 0:
        raise KernelIoError(f"{program}: {done.stderr.strip()}")
    return done.stdout.strip()


def _remove(folder: Path) -> None:
    """Remove a control group, as soon as the kernel has counted off its last process."""
    deadline = time.monotonic() + _EMPTY_S
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
