"""What this kernel and this process's privileges let fairlead do for its contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fairlead.control.blkio_group import BlkioGroup, find_blkio_group

if TYPE_CHECKING:
    from fairlead.control.backing import SystemView
    from fairlead.dataplane.kernel import KernelProbe
    from fairlead.dataplane.kernel_probe import ProbeKernel

# Bits of CapEff that matter here. Spec: linux/capability.h.
_CAPABILITIES: Final = {"CAP_SYS_ADMIN": 21, "CAP_SYS_NICE": 23}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFindings:
    """What holds for all devices.

    Attributes:
        release: of the kernel.
        user: effective user of this process.
        capabilities: which of CAP_SYS_ADMIN and CAP_SYS_NICE it has.
        io_uring_disabled: the sysctl: 0 for nobody, 1 for those without privilege, 2 for all; None
            where the kernel has no such setting.
        cgroup: where contexts could have groups.
        probe: what works, by having tried it.
    """

    release: str
    user: int
    capabilities: tuple[str, ...]
    io_uring_disabled: int | None
    cgroup: BlkioGroup
    probe: KernelProbe

    @property
    def is_root(self) -> bool:
        """Whether the effective user is root."""
        return self.user == 0

    @property
    def io_uring_remedy(self) -> str | None:
        """The command that lets processes have rings, where a setting is in their way."""
        return "sysctl kernel.io_uring_disabled=0" if self.io_uring_disabled else None


def effective_user(view: SystemView) -> int:
    """Return the effective user of this process."""
    # The second of real, effective, saved and file system user.
    return int(_status(view)["Uid"].split()[1])


def find_kernel(
    view: SystemView, probe: ProbeKernel, *, wants_cgroups: bool, is_polled: bool
) -> KernelFindings:
    """Look around, and try what can only be tried. Takes milliseconds; leaves nothing behind.

    Args:
        view: where to look.
        probe: what tries.
        wants_cgroups: contexts are to have groups where they can.
        is_polled: rings are to be polled.
    """
    status = _status(view)
    user = effective_user(view)
    held = int(status.get("CapEff", "0"), 16)
    cgroup = find_blkio_group(view, user)
    found = probe(cgroup.usable if wants_cgroups else None, is_polled=is_polled)
    if wants_cgroups and cgroup.usable and found.cgroup is not None:
        # Looks usable and is not: the kernel has the last word.
        reason = f"no group can be made in {cgroup.directory}: {found.cgroup}"
        cgroup = BlkioGroup(directory=cgroup.directory, version=cgroup.version, reason=reason)
    disabled = view.read("sys/kernel/io_uring_disabled")
    return KernelFindings(
        release=view.read("sys/kernel/osrelease") or "unknown",
        user=user,
        capabilities=tuple(name for name, bit in _CAPABILITIES.items() if held >> bit & 1),
        io_uring_disabled=None if disabled is None else int(disabled),
        cgroup=cgroup,
        probe=found,
    )


def _status(view: SystemView) -> dict[str, str]:
    lines = (view.read("self/status") or "Uid:\t-1 -1").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
