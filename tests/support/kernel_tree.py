"""A /sys and /proc with the disks, mounts and groups of a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from fairlead.control.backing import SystemView, device_number

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class MadeUpView(SystemView):
    """A view of a tree, with device nodes that are nowhere but here.

    Attributes:
        nodes: kind and (major, minor) by path.
        held: paths of block devices that somebody has for himself.
    """

    nodes: dict[str, tuple[Literal["block", "char"] | None, tuple[int, int]]] = field(
        default_factory=dict
    )
    held: set[str] = field(default_factory=set)

    @override
    def node(self, path: str) -> tuple[Literal["block", "char"] | None, tuple[int, int]]:
        return self.nodes[path] if path in self.nodes else super().node(path)

    @override
    def is_held(self, path: str) -> bool:
        return path in self.held


ALL_ELEVATORS = ("none", "mq-deadline", "kyber", "bfq")


class KernelTree:
    """Begins with a kernel that has everything, and no disk; the process is root's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.view = MadeUpView(sys=root / "sys", proc=root / "proc")
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

    def scsi_device(
        self, address: str, *, sg: str | None = "sg3", disk: str | None = None, **says: str
    ) -> Path:
        """Add a SCSI device with its nodes: an sg node, and a block device of 8:16.

        Args:
            address: host, channel, target and LUN.
            sg: its sg node; None: the driver is not loaded.
            disk: its block device; None for what is no disk.
            says: what its files say, ``queue_depth="32"``.
        """
        device = self.view.sys / "devices/host2" / address
        device.mkdir(parents=True)
        plain = {"scsi_level": "7", "vendor": "ATA     ", "model": "Disk of 1 TB    "}
        for name, text in {**plain, **says}.items():
            (device / name).write_text(f"{text}\n")
        if sg is not None:
            (self.view.sys / "class/scsi_generic").mkdir(parents=True, exist_ok=True)
            self._node(device / "scsi_generic" / sg, "char", (21, int(sg.removeprefix("sg"))))
        if disk is not None:
            self.disk(disk, "8:16", below=f"host2/{address}/block")
            self._node(device / "block" / disk, "block", (8, 16))
        return device

    def tape(self, device: Path, name: str = "st0") -> None:
        """Let a SCSI device be a tape, with a node of its own."""
        self._node(device / "scsi_tape" / name, "char", (9, 0))

    def _node(
        self, directory: Path, kind: Literal["block", "char"], number: tuple[int, int]
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "device").symlink_to(directory.parent.parent)
        link = self.view.sys / f"dev/{kind}/{number[0]}:{number[1]}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(directory)
        self.view.nodes[f"/dev/{directory.name}"] = (kind, number)

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
