"""A /sys and /proc with the disks, mounts and groups of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.control.backing import SystemView, device_number

if TYPE_CHECKING:
    from pathlib import Path

ALL_ELEVATORS = ("none", "mq-deadline", "kyber", "bfq")


class KernelTree:
    """Begins with a kernel that has everything, and no disk; the process is root's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.view = SystemView(sys=root / "sys", proc=root / "proc")
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/sys/kernel").mkdir(parents=True)
        (root / "sys/dev/block").mkdir(parents=True)
        self.write("self/mountinfo", "")
        self.write("self/cgroup", "0::/\n")
        self.write("sys/kernel/osrelease", "6.1.0-test\n")
        self.user(0)

    def write(self, path: str, text: str) -> None:
        """Write a file below /proc."""
        (self.view.proc / path).write_text(text)

    def user(self, number: int, *, capabilities: int = (1 << 41) - 1) -> None:
        """Let the process be this user's."""
        held = capabilities if number == 0 else 0
        uid = f"Uid:\t1000\t{number}\t{number}\t{number}"
        self.write("self/status", f"Name:\tfairlead\n{uid}\nCapEff:\t{held:016x}\n")

    def disk(self, name: str, number: str, *, rotational: str = "0", below: str = "block") -> Path:
        """Add a disk that says nothing of elevators."""
        directory = self.view.sys / "devices" / below / name
        (directory / "queue").mkdir(parents=True)
        (directory / "queue/rotational").write_text(f"{rotational}\n")
        (directory / "queue/discard_max_bytes").write_text("0\n")
        self._number(directory, number)
        return directory

    def elevator(self, disk: Path, chosen: str, available: tuple[str, ...] = ALL_ELEVATORS) -> Path:
        """Let a disk have an elevator; returns the file that says so."""
        names = (f"[{name}]" if name == chosen else name for name in available)
        file = disk / "queue/scheduler"
        file.write_text(" ".join(names) + "\n")
        return file

    def disk_below(self, folder: Path, name: str, chosen: str) -> Path:
        """Add a disk on which the file system of a folder is."""
        major, minor = device_number(folder.stat())
        disk = self.disk(name, f"{major}:{minor}")
        self.elevator(disk, chosen)
        return disk

    def partition(self, disk: Path, name: str, number: str) -> Path:
        """Add a partition to a disk."""
        directory = disk / name
        directory.mkdir()
        (directory / "partition").write_text("1\n")
        self._number(directory, number)
        return directory

    def stack(self, name: str, number: str, *below: Path) -> Path:
        """Add a dm or md device over others."""
        directory = self.disk(name, number)
        (directory / "slaves").mkdir()
        for slave in below:
            (directory / "slaves" / slave.name).symlink_to(slave)
        return directory

    def loop(self, name: str, number: str, file: str) -> Path:
        """Add a loop device."""
        directory = self.disk(name, number)
        (directory / "loop").mkdir()
        (directory / "loop/backing_file").write_text(f"{file}\n")
        return directory

    def mount(
        self, number: str, point: object, type_: str, source: str, options: str = "rw"
    ) -> None:
        """Add a line of mountinfo."""
        file = self.view.proc / "self/mountinfo"
        line = f"30 1 {number} / {point} rw,nosuid shared:5 - {type_} {source} {options}\n"
        file.write_text(file.read_text() + line)

    def blkio(self, group: str = "/", *, has_weights: bool = True) -> Path:
        """Mount cgroup v1's blkio controller; returns the directory of the process's group."""
        point = self._root / "blkio"
        self.mount("0:34", self._root / "freezer", "cgroup", "cgroup", "rw,freezer")
        self.mount("0:35", point, "cgroup", "cgroup", "rw,blkio")
        self.write("self/cgroup", f"7:blkio:{group}\n6:freezer:/\n0::/\n")
        directory = point / group.strip("/")
        directory.mkdir(parents=True)
        if has_weights:
            (directory / "blkio.bfq.io_serviced").touch()
        return directory

    def _number(self, directory: Path, number: str) -> None:
        (directory / "dev").write_text(f"{number}\n")
        (self.view.sys / "dev/block" / number).symlink_to(directory)
