"""Which whole disk is under a file or a device, as sysfs tells it.

The name found here is half of every I/O context's key, because disks, not volumes, are what
clients contend for.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

# A loop device on a file on a dm on a loop device is already odd; a cycle is not possible in the
# kernel, so this only bounds the surprise.
_LAYERS_MAX: Final = 16
_NAME_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class BackingDevice:
    """What stores the bytes.

    Attributes:
        name: kernel name of the whole disk ("vda"), or "TYPE:MOUNTPOINT" where a file system has
            no disk ("tmpfs:/run").
        is_rotational: seeking costs; None when the kernel does not say.
        can_discard: the disk takes discards; None when the kernel does not say.
    """

    name: str
    is_rotational: bool | None = None
    can_discard: bool | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo.

    Attributes:
        device: (major, minor).
        mount_point: where it is.
        type_: of the file system.
        source: what is mounted; a device, where there is one.
        root: the part of the file system that is shown there.
        options: of the file system; of a cgroup hierarchy, its controllers.
    """

    device: tuple[int, int]
    mount_point: str
    type_: str
    source: str
    root: str = "/"
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemView:
    """Where to look: the kernel's trees, or a test's copies of them."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")

    def mounts(self) -> list[Mount]:
        """Return what is mounted in this process's name space."""
        mounts = []
        for line in (self.proc / "self/mountinfo").read_text().splitlines():
            head, _, tail = line.partition(" - ")
            fields, more = head.split(" "), tail.split(" ")
            major, _, minor = fields[2].partition(":")
            mounts.append(
                Mount(
                    device=(int(major), int(minor)),
                    mount_point=_unescape(fields[4]),
                    type_=more[0],
                    source=_unescape(more[1]),
                    root=_unescape(fields[3]),
                    options=tuple(more[2].split(",")) if len(more) > 2 else (),
                )
            )
        return mounts

    def swap_paths(self) -> list[str]:
        """Return the devices and files used for swapping."""
        try:
            lines = (self.proc / "swaps").read_text().splitlines()[1:]
        except OSError:
            return []  # A kernel without swap has no such file.
        return [_unescape(line.split()[0]) for line in lines]

    def read(self, path: str) -> str | None:
        """Return a file below /proc without its last newline; None where it cannot be read."""
        try:
            return (self.proc / path).read_text().rstrip("\n")
        except OSError:
            return None

    def can_write(self, path: Path) -> bool:
        """Tell whether this process may write a file, or make one in a directory."""
        return os.access(path, os.W_OK)

    def node(self, path: str) -> tuple[Literal["block", "char"] | None, tuple[int, int]]:
        """Return what kind of device node a path leads to, and its (major, minor).

        Raises:
            OSError: it cannot be looked at.
        """
        status = os.stat(path)  # noqa: PTH116  path is text
        number = os.major(status.st_rdev), os.minor(status.st_rdev)
        if stat.S_ISBLK(status.st_mode):
            return "block", number
        return "char" if stat.S_ISCHR(status.st_mode) else None, number

    def is_held(self, path: str) -> bool:
        """Tell whether somebody has a block device for himself: a mount, also out of our sight."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return error.errno == errno.EBUSY
        os.close(fd)
        return False

    def block_directory(self, device: tuple[int, int]) -> Path | None:
        """Return the sysfs directory of a block device, or None when there is none."""
        link = self.sys / f"dev/block/{device[0]}:{device[1]}"
        return link.resolve() if link.exists() else None


def device_number(status: os.stat_result) -> tuple[int, int]:
    """Return (major, minor): of the device itself, or of the file system a file is in."""
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    return os.major(number), os.minor(number)


def block_device_number(path: str) -> tuple[int, int] | None:
    """Return (major, minor) of a block device; None for a file, or what is out of our sight."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return device_number(status) if stat.S_ISBLK(status.st_mode) else None


def find_backing_device(path: str, view: SystemView | None = None) -> BackingDevice:
    """Return the disk under a file or block device: through partitions, dm and loop.

    A dm or md device over several disks stands for itself.

    Raises:
        OSError: the path cannot be looked at.
    """
    view = view or SystemView()
    return _follow(device_number(os.stat(path)), view, _LAYERS_MAX)  # noqa: PTH116  path is text


def _follow(device: tuple[int, int], view: SystemView, layers: int) -> BackingDevice:
    directory = view.block_directory(device)
    if directory is None:
        return _without_disk(device, view, layers)
    if (directory / "partition").exists():
        directory = directory.parent
    below = _one_below(directory) if layers else None
    if below is not None:
        return _follow(below, view, layers - 1)
    return BackingDevice(
        directory.name,
        is_rotational=_flag(directory / "queue/rotational"),
        can_discard=_flag(directory / "queue/discard_max_bytes"),
    )


def _one_below(disk: Path) -> tuple[int, int] | None:
    """The one device below a dm or loop device; None where there is none, or several disks."""
    try:
        file = (disk / "loop/backing_file").read_text().strip()
        return device_number(Path(file).stat())
    except OSError:
        pass  # Not a loop device, or its file is out of our sight.
    slaves = list((disk / "slaves").glob("*"))
    disks = {_whole_disk(slave.resolve()) for slave in slaves}
    if len(disks) != 1:
        return None
    return _read_number(slaves[0] / "dev")


def _whole_disk(directory: Path) -> str:
    return (directory.parent if (directory / "partition").exists() else directory).name


def _without_disk(device: tuple[int, int], view: SystemView, layers: int) -> BackingDevice:
    """A file system with a device number of its own: btrfs has a disk, tmpfs has none."""
    for mount in view.mounts():
        if mount.device != device:
            continue
        below = block_device_number(mount.source) if mount.source.startswith("/") else None
        if layers and below is not None:
            return _follow(below, view, layers - 1)
        return BackingDevice(f"{mount.type_}:{mount.mount_point}"[:_NAME_CHARACTERS_MAX])
    return BackingDevice(f"device {device[0]}:{device[1]}")


def _flag(path: Path) -> bool | None:
    try:
        return int(path.read_text()) != 0
    except (OSError, ValueError):
        return None


def _read_number(path: Path) -> tuple[int, int] | None:
    try:
        major, _, minor = path.read_text().strip().partition(":")
        return int(major), int(minor)
    except (OSError, ValueError):
        return None


def _unescape(text: str) -> str:
    """In mountinfo, the kernel writes blanks and backslashes as three octal digits."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
