"""Whether threads can have cgroups of their own here: that takes cgroup v1's blkio controller.

In cgroup v2, I/O is controlled by process. A context's keeper is a thread, so there is only its
priority to tell it from others by.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fairlead.control.backing import Mount, SystemView

# The data plane calls a context's group fairlead.PID.NUMBER.
_GROUP: Final = re.compile(r"fairlead\.(\d+)\..+")
_MOUNT: Final = "mkdir -p {0} && mount -t cgroup -o blkio blkio {0}"
_MOUNT_POINT: Final = "/sys/fs/cgroup/blkio"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlkioGroup:
    """This process's own group, in which those of contexts would be.

    Attributes:
        directory: of the group; None where there is none.
        version: 1 or 2, of the hierarchy that controls I/O here; None: none does.
        reason: why contexts cannot have groups in it, as a sentence; None: they can.
        remedy: the command that would change that, where there is one.
    """

    directory: str | None
    version: int | None
    reason: str | None = None
    remedy: str | None = None

    @property
    def usable(self) -> str | None:
        """The directory, if contexts can have groups in it."""
        return self.directory if self.reason is None else None


def find_blkio_group(view: SystemView, user: int) -> BlkioGroup:
    """Return the group of this process in cgroup v1's blkio hierarchy, and whether it serves.

    Args:
        view: where to look.
        user: who would have to be allowed to write there.
    """
    try:
        mounts = view.mounts()
    except OSError as error:
        reason = f"nobody can see what is mounted: {error}"
        return BlkioGroup(directory=None, version=None, reason=reason)
    mount = next((m for m in mounts if m.type_ == "cgroup" and "blkio" in m.options), None)
    if mount is None:
        return _without_v1(mounts)
    directory = _own_directory(mount, view.read("self/cgroup") or "")
    if directory is None or not directory.is_dir():
        return BlkioGroup(
            directory=None,
            version=1,
            reason=f"the blkio group of this process is not to be seen below {mount.mount_point}",
        )
    if not any(directory.glob("blkio.bfq.*")):
        return BlkioGroup(
            directory=str(directory),
            version=1,
            reason="blkio groups have no weights for bfq: it is not loaded, or was built without "
            "CONFIG_BFQ_GROUP_IOSCHED",
            remedy="modprobe bfq",
        )
    if not view.can_write(directory):
        return BlkioGroup(
            directory=str(directory),
            version=1,
            reason=f"user {user} may not make groups in {directory}",
            remedy=f"sudo chown -R {user} {directory}",
        )
    return BlkioGroup(directory=str(directory), version=1)


def remove_leftovers(directory: str, view: SystemView) -> list[str]:
    """Remove the empty groups of processes that are gone; return their names.

    A process that was killed could not. A group with threads in it is not empty, and stays.
    """
    removed = []
    for group in sorted(Path(directory).glob("fairlead.*")):
        match = _GROUP.fullmatch(group.name)
        if match is None or (view.proc / match[1]).exists():
            continue
        with contextlib.suppress(OSError):
            group.rmdir()
            removed.append(group.name)
    return removed


def _without_v1(mounts: list[Mount]) -> BlkioGroup:
    v2 = next((mount for mount in mounts if mount.type_ == "cgroup2"), None)
    if v2 is not None and "io" in _controllers(v2):
        return BlkioGroup(
            directory=None,
            version=2,
            reason="cgroup v2 controls I/O by process, so threads cannot have groups of their own",
        )
    return BlkioGroup(
        directory=None,
        version=None,
        reason="the blkio controller of cgroup v1 is not mounted",
        remedy=_MOUNT.format(_MOUNT_POINT),
    )


def _controllers(mount: Mount) -> list[str]:
    try:
        return (Path(mount.mount_point) / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def _own_directory(mount: Mount, groups: str) -> Path | None:
    """The group's directory below a mount that may show only a part of the hierarchy."""
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "blkio" in controllers.split(","):
            group, root = PurePosixPath(path), PurePosixPath(mount.root)
            if group.is_relative_to(root):
                return Path(mount.mount_point) / group.relative_to(root)
    return None
