"""The SCSI device behind a path, as sysfs tells it, and the sg node that leads to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.control.in_use import check_unused
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.control.backing import SystemView

_LOAD_DRIVER = "load it: modprobe sg"
_LIST = "lsscsi -g lists SCSI devices with their nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScsiDevice:
    """A SCSI device of this host.

    Attributes:
        node: its sg node: ``/dev/sg3``.
        address: host, channel, target and LUN: ``2:0:0:0``; changes with what is plugged in when.
        vendor: as in its INQUIRY data; empty where sysfs does not say.
        model: likewise.
        wwid: its lasting name, where it has one: ``naa.5000c500a1b2c3d4``.
        disks: (major, minor) of its block devices by name; none for a tape.
        queue_depth: commands that the host lets it have at a time, at least 1.
        timeout_s: how long the kernel's own commands may take.
        transfer_bytes_max: data of one command that the host adapter takes; None: not known.
        is_rotational: seeking costs; None where the kernel does not say.
    """

    node: str
    address: str
    vendor: str
    model: str
    wwid: str | None
    disks: dict[str, tuple[int, int]]
    queue_depth: int
    timeout_s: int
    transfer_bytes_max: int | None
    is_rotational: bool | None


def find_scsi_device(path: str, view: SystemView) -> ScsiDevice:
    """Find the device behind ``/dev/sg3``, ``/dev/sdb``, ``/dev/st0`` or a link to one of these.

    Opens nothing.

    Args:
        path: as written.
        view: where to look.

    Raises:
        ConfigError: there is none, or none that commands could be sent to; says the way out.
    """
    real = os.path.realpath(path)
    try:
        kind, number = view.node(real)
    except OSError as error:
        raise _not_there(path, real, view, error) from error
    if kind is None:
        raise ConfigError(f"{path} is no device", remedy=f"name a SCSI device; {_LIST}")
    link = view.sys / f"dev/{kind}/{number[0]}:{number[1]}"
    directory = link.resolve()
    if (directory / "partition").exists():
        whole = directory.parent.name
        raise ConfigError(
            f"{path} is a partition, and commands reach the whole of {whole}",
            remedy=f"pass on all of it, sg:/dev/{whole}, or serve the partition: direct:{path}",
        )
    device = (directory / "device").resolve()
    if not (device / "scsi_level").exists():
        way = f"serve it as direct:{path}" if kind == "block" else _LIST
        raise ConfigError(f"{path} is not a SCSI device", remedy=way)
    generic = sorted((device / "scsi_generic").glob("sg*"))
    if not generic:
        raise ConfigError(f"the kernel has no sg driver for {path}", remedy=_LOAD_DRIVER)
    return _read(device, generic[0].name)


def check_device_unused(device: ScsiDevice, view: SystemView) -> None:
    """Refuse a device that the kernel uses: mounted, swapped to, or below another.

    Raises:
        ConfigError: says who uses it, and how to end that.
    """
    for name, number in device.disks.items():
        check_unused(f"/dev/{name}", number, view)
        if view.is_held(f"/dev/{name}"):
            raise ConfigError(
                f"/dev/{name} is held by somebody", remedy=f"stop who holds it: lsof /dev/{name}"
            )


def _read(device: Path, generic: str) -> ScsiDevice:
    blocks = sorted((device / "block").glob("*"))
    disks = {block.name: _number(block / "dev") for block in blocks}
    queues = [block / "queue" for block in blocks]
    rotational = _int(queues[0] / "rotational") if queues else None
    return ScsiDevice(
        node=f"/dev/{generic}",
        address=device.name,
        vendor=_text(device / "vendor"),
        model=_text(device / "model"),
        wwid=_text(device / "wwid") or None,
        disks={name: number for name, number in disks.items() if number is not None},
        queue_depth=max(1, _int(device / "queue_depth") or 1),
        timeout_s=_int(device / "timeout") or 0,
        transfer_bytes_max=_transfer_bytes_max(queues),
        is_rotational=None if rotational is None else rotational != 0,
    )


def _transfer_bytes_max(queues: list[Path]) -> int | None:
    """What the adapter takes; where it does not say, what the block layer's own requests have."""
    for name in ("max_hw_sectors_kb", "max_sectors_kb"):
        found = [kib for queue in queues if (kib := _int(queue / name))]
        if found:
            return min(found) << 10
    return None


def _not_there(path: str, real: str, view: SystemView, error: OSError) -> ConfigError:
    if isinstance(error, PermissionError):
        return ConfigError(f"{path} may not be looked at", remedy="run as a user who may, or root")
    is_generic = os.path.basename(real).startswith("sg")  # noqa: PTH119  path is text
    if is_generic and not (view.sys / "class/scsi_generic").exists():
        return ConfigError(f"{path} is not there: no sg driver", remedy=_LOAD_DRIVER)
    return ConfigError(f"{path} is not there", remedy=_LIST)


def _text(path: Path) -> str:
    """What a file says, blanks squeezed; empty where it says nothing."""
    try:
        return " ".join(path.read_text(errors="replace").replace("\0", " ").split())
    except OSError:
        return ""


def _int(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _number(path: Path) -> tuple[int, int] | None:
    major, _, minor = _text(path).partition(":")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
