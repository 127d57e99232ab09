"""On which disks a volume's requests first meet an elevator, and what is lost on the way there.

The elevator that sees who submits is that of the first request-based disk on the way down. A loop
device is one: it has its own elevator, and hands the work to kernel threads below. dm and md have
none as a rule and pass requests on, in the same thread, to each disk below. Partitions belong to
their disk, files to the disks of their file system.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fairlead.control.backing import SystemView, block_device_number, device_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.control.backing import Mount

# As in `fairlead.control.backing`: only bounds the surprise.
_LAYERS_MAX: Final = 16
_CHOSEN: Final = re.compile(r"\[([^\]]+)\]")
_CRYPT_UUID: Final = "CRYPT-"
_PARITY_LEVELS: Final = frozenset({"raid4", "raid5", "raid6"})
# File systems that do their I/O in threads of their own, in user space or on other machines.
_THREADED: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "lustre", "nfs", "nfs4", "orangefs", "smb3", "virtiofs", "zfs"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk at which requests meet an elevator, or would.

    Attributes:
        name: the kernel's: ``vda``.
        elevator: which is in charge; None where the disk cannot have one.
        elevators: those that it could have now; the kernel may load others on demand.
        is_loop: it hands its requests to kernel threads.
        scheduler: the file that says so.
        guesses: bfq favours whom it takes for interactive (``low_latency``).
    """

    name: str
    elevator: str | None
    elevators: tuple[str, ...]
    is_loop: bool
    scheduler: Path
    guesses: bool = False

    @property
    def setting(self) -> str:
        """The file as operators know it, whatever tree it was read from."""
        return f"/sys/block/{self.name}/queue/scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a volume is.

    Attributes:
        disks: where its requests meet elevators; none where there is no disk.
        file_system: its type; None for a block device.
        writes_by_threads: layers on the way that hand writes to kernel threads.
    """

    disks: tuple[Disk, ...]
    file_system: str | None = None
    writes_by_threads: tuple[str, ...] = ()

    @property
    def is_threaded(self) -> bool:
        """Whether the file system answers through threads, so that nobody sees who asks."""
        name = self.file_system or ""
        return name in _THREADED or name.partition(".")[0] in ("fuse", "fuseblk")


def find_place(path: str, view: SystemView) -> Place:
    """Return where a file or block device is; of what is not there yet, its directory's place.

    Raises:
        OSError: it cannot be looked at.
    """
    found = Path(os.path.realpath(path))
    while not found.exists() and found != found.parent:
        found = found.parent
    status = found.stat()
    number = device_number(status)
    if stat.S_ISBLK(status.st_mode):
        return _walk([view.block_directory(number)])
    mount = _mount_of(str(found), number, view)
    place = _walk(_file_system_devices(number, mount, view))
    return replace(place, file_system=None if mount is None else mount.type_)


def look_again(place: Place) -> Place:
    """Return the same place with the elevators that its disks have now."""
    return replace(
        place, disks=tuple(_read_disk(disk.scheduler.parent.parent) for disk in place.disks)
    )


def _mount_of(path: str, number: tuple[int, int], view: SystemView) -> Mount | None:
    mounts = view.mounts()
    same = [mount for mount in mounts if mount.device == number]
    if same:
        return same[-1]
    # A subvolume of btrfs has a number that no mount has.
    above = [m for m in mounts if Path(path).is_relative_to(m.mount_point)]
    return max(above, key=lambda mount: len(mount.mount_point), default=None)


def _file_system_devices(
    number: tuple[int, int], mount: Mount | None, view: SystemView
) -> list[Path | None]:
    directory = view.block_directory(number)
    if directory is None and mount is not None and mount.source.startswith("/"):
        source = block_device_number(mount.source)
        directory = None if source is None else view.block_directory(source)
    if directory is None:
        return []
    # btrfs names all its devices; other file systems have one.
    for devices in (view.sys / "fs/btrfs").glob("*/devices"):
        if (devices / directory.name).exists():
            return [link.resolve() for link in sorted(devices.iterdir())]
    return [directory]


def _walk(starts: list[Path | None]) -> Place:
    disks: dict[str, Disk] = {}
    threads: dict[str, None] = {}
    for directory in starts:
        if directory is not None:
            for disk in _below(directory, _LAYERS_MAX, threads):
                disks.setdefault(disk.name, disk)
    return Place(disks=tuple(disks.values()), writes_by_threads=tuple(threads))


def _below(directory: Path, layers: int, threads: dict[str, None]) -> Iterator[Disk]:
    if (directory / "partition").exists():
        directory = directory.parent
    disk = _read_disk(directory)
    slaves = sorted((directory / "slaves").glob("*"))
    has_choice = any(name != "none" for name in disk.elevators)
    if has_choice or disk.is_loop or not slaves or not layers:
        yield disk
        return
    what = _writes_by(directory)
    if what is not None:
        threads[f"{directory.name} ({what})"] = None
    for slave in slaves:
        yield from _below(slave.resolve(), layers - 1, threads)


def _read_disk(directory: Path) -> Disk:
    scheduler = directory / "queue/scheduler"
    text = _text(scheduler) or ""
    chosen = _CHOSEN.search(text)
    names = tuple(text.replace("[", "").replace("]", "").split())
    # Where there is nothing to choose, the kernel may leave the brackets out.
    elevator = chosen[1] if chosen else next(iter(names), None)
    return Disk(
        name=directory.name,
        elevator=elevator,
        elevators=names,
        is_loop=(directory / "loop").exists(),
        scheduler=scheduler,
        guesses=(_text(directory / "queue/iosched/low_latency") or "").strip() == "1",
    )


def _writes_by(directory: Path) -> str | None:
    """What hands writes to threads of its own, if this layer does."""
    if (_text(directory / "dm/uuid") or "").startswith(_CRYPT_UUID):
        return "dm-crypt"
    level = _text(directory / "md/level")
    return level if level in _PARITY_LEVELS else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
