"""Whether the kernel itself uses a block device: mounted, swapped to, or held by another device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.control.backing import block_device_number
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from fairlead.control.backing import SystemView


def check_unused(path: str, device: tuple[int, int], view: SystemView) -> None:
    """Refuse a device that the kernel itself uses, also by one of its partitions.

    Args:
        path: the device, for messages.
        device: (major, minor).
        view: where to look.

    Raises:
        ConfigError: says who uses it, and how to end that.
    """
    numbers = {device: path}
    directory = view.block_directory(device)
    holders: list[str] = []
    for part in [] if directory is None else [directory, *directory.glob("*/partition")]:
        part_directory = part.parent if part.name == "partition" else part
        major, _, minor = (part_directory / "dev").read_text().strip().partition(":")
        numbers.setdefault((int(major), int(minor)), f"/dev/{part_directory.name}")
        holders += [holder.name for holder in (part_directory / "holders").glob("*")]
    for mount in view.mounts():
        if mount.device in numbers:
            raise ConfigError(
                f"{numbers[mount.device]} is mounted on {mount.mount_point}",
                remedy=f"unmount it first: umount {mount.mount_point}",
            )
    for swap in view.swap_paths():
        # One out of our name space is still guarded by the kernel's exclusive open.
        if block_device_number(swap) in numbers:
            raise ConfigError(f"{swap} is used for swapping", remedy=f"first: swapoff {swap}")
    if holders:
        raise ConfigError(
            f"{path} is in use by {', '.join(sorted(holders))}",
            remedy=f"serve /dev/{min(holders)} instead, or take it apart first",
        )
