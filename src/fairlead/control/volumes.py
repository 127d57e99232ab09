"""Makes a volume ready to be opened: creates, measures, checks, and says what is in the way.

Every refusal is one sentence and its remedy. What only the open file can tell (a lock held by
another process) is found by the data plane when it opens the volume.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fairlead.control.backing import (
    BackingDevice,
    SystemView,
    device_number,
    find_backing_device,
)
from fairlead.control.in_use import check_unused
from fairlead.dataplane.api import VolumeSpec
from fairlead.devices.presets import parse_device
from fairlead.errors import ConfigError
from fairlead.model.size import format_size
from fairlead.model.volume import LOGICAL_BLOCK_BYTES, PHYSICAL_BLOCK_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.control.device_facts import DeviceFacts
    from fairlead.devices.interface import DeviceParameters
    from fairlead.model.volume import VolumeConfig

# The usual page and file system block: what a file's "medium" writes at once.
_FILE_PHYSICAL_BLOCK_BYTES: Final = 4096
_DIRECT_ALIGNMENTS_BYTES: Final = (512, 4096)
# Ioctls of block devices (linux/fs.h): logical and physical block size.
_BLKSSZGET: Final = 0x1268
_BLKPBSZGET: Final = 0x127B
# An image holds other people's data: nobody but its owner reads it.
_CREATE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class PreparedVolume:
    """A volume that can be opened.

    Attributes:
        spec: for the data plane.
        backing: the disk below; also for volumes without one, with their kind as name.
        place: what is served, in one unchanging text: the real path, or kind and name.
        is_created: the file was made just now.
        facts: what a SCSI device that is passed through says of itself; None for other volumes.
    """

    spec: VolumeSpec
    backing: BackingDevice
    place: str
    is_created: bool
    facts: DeviceFacts | None = None


@dataclass(frozen=True, slots=True)
class _Medium:
    """What the kernel says about an existing file or device."""

    path: str
    is_device: bool
    size_bytes: int
    alignment_bytes: int
    physical_block_bytes: int


def prepare_volume(config: VolumeConfig, view: SystemView | None = None) -> PreparedVolume:
    """Check a volume, creating its file when it is missing and has a size.

    Touches the file system: call it in a thread.

    Raises:
        ConfigError: says what is in the way and the way out.
    """
    view = view or SystemView()
    if config.path is None:
        size_bytes = config.size or 0  # The model asks for one.
        place = f"{config.kind}:{config.name}"
        logical = config.logical_block_bytes or LOGICAL_BLOCK_BYTES
        medium = _Medium(place, False, size_bytes, logical, logical)
        return _prepared(config, medium, BackingDevice(place, is_rotational=False), created=False)
    path = os.path.realpath(config.path)
    created = _create_if_missing(config, path)
    try:
        status = Path(path).stat()
        _check_type(path, status)
        if stat.S_ISBLK(status.st_mode):
            check_unused(path, device_number(status), view)
        medium = _measure(config, path)
        backing = find_backing_device(path, view)
    except OSError as error:
        raise _unusable(config, path, error) from error
    return _prepared(config, medium, backing, created=created)


def _prepared(
    config: VolumeConfig, medium: _Medium, backing: BackingDevice, *, created: bool
) -> PreparedVolume:
    logical = _logical_block_bytes(config, medium)
    spec = VolumeSpec(
        name=config.name,
        kind=config.kind,
        path=None if config.path is None else medium.path,
        size_bytes=_size_bytes(config, medium, logical),
        logical_block_bytes=logical,
        physical_block_bytes=config.physical_block_bytes
        or max(medium.physical_block_bytes, logical),
        read_only=config.read_only,
        thin=_is_thin(config, medium, backing),
        write_through=config.write_through,
        device=config.device or backing.name,
        simulated=simulated_device(config),
    )
    return PreparedVolume(spec, backing, medium.path, created)


def check_simulated(volumes: Sequence[VolumeConfig]) -> None:
    """Check the devices that volumes simulate.

    Raises:
        ConfigError: the first that is wrong.
    """
    for number, volume in enumerate(volumes):
        try:
            simulated_device(volume)
        except ConfigError as error:
            where = f"volumes[{number}].model"
            raise ConfigError(error.reason, where=where, remedy=error.remedy) from None


def simulated_device(config: VolumeConfig) -> DeviceParameters | None:
    """Return the device that a volume simulates; it is as large as the volume.

    Raises:
        ConfigError: there is no such device.
    """
    if config.model is None or config.size is None:
        return None
    try:
        parameters = parse_device(config.model)
        return type(parameters).model_validate(parameters.model_dump() | {"size": config.size})
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(f"volume {config.name!r}: {problem}", remedy=remedy) from None


def _create_if_missing(config: VolumeConfig, path: str) -> bool:
    """Make a sparse file. Returns whether it did."""
    if os.path.lexists(path):
        return False
    if config.size is None:
        raise ConfigError(
            f"{config.path} does not exist", remedy=f"to create it, give a size: {config.path}:1G"
        )
    if config.read_only:
        raise ConfigError(
            f"{config.path} does not exist, and a read-only volume is not created",
            remedy="create it first, or serve it writable",
        )
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _CREATE_MODE)
    except FileExistsError:
        return False  # Somebody else made it in this instant: serve theirs.
    except OSError as error:
        raise ConfigError(
            f"{config.path} cannot be created: {_cause(error)}",
            remedy="make the directory, or choose a place where you may write",
        ) from error
    try:
        os.ftruncate(fd, config.size)
    except OSError as error:
        Path(path).unlink()
        raise ConfigError(
            f"{config.path} cannot be {format_size(config.size)}: {_cause(error)}",
            remedy="choose a smaller size or another file system",
        ) from error
    finally:
        os.close(fd)
    return True


def _check_type(path: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFCHR: "a character device",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    kind = kinds.get(stat.S_IFMT(status.st_mode), "neither")
    raise ConfigError(f"{path} is {kind}", remedy="serve a regular file or a block device")


def _measure(config: VolumeConfig, path: str) -> _Medium:
    flags = (os.O_RDONLY if config.read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK
    is_device = Path(path).is_block_device()
    if is_device:
        flags |= os.O_EXCL  # Without O_CREAT: nobody else may hold the device exclusively.
    fd = os.open(path, flags)
    try:
        size_bytes = os.lseek(fd, 0, os.SEEK_END)
        if is_device:
            alignment = _ioctl_int(fd, _BLKSSZGET)
            physical = _ioctl_int(fd, _BLKPBSZGET)
        else:
            alignment, physical = 1, _FILE_PHYSICAL_BLOCK_BYTES
        if config.kind == "direct" and size_bytes:
            # A device's buffers may need more than its block size says; a file has no other way
            # of telling at all. So both are asked by doing it.
            alignment = max(alignment, _direct_alignment_bytes(config, path))
    finally:
        os.close(fd)
    return _Medium(path, is_device, size_bytes, alignment, min(physical, PHYSICAL_BLOCK_BYTES_MAX))


def _direct_alignment_bytes(config: VolumeConfig, path: str) -> int:
    """Return the smallest block that the kernel reads with O_DIRECT here."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ConfigError(
            f"the file system of {config.path} does not take O_DIRECT",
            remedy=f"go through the page cache: file:{config.path}",
        ) from error
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as page:
            for block_bytes in _DIRECT_ALIGNMENTS_BYTES:
                with memoryview(page)[:block_bytes] as buffer:
                    try:
                        os.preadv(fd, [buffer], block_bytes)
                    except OSError as error:
                        if error.errno != errno.EINVAL:
                            raise
                    else:
                        return block_bytes
    finally:
        os.close(fd)
    raise ConfigError(
        f"{config.path} needs direct I/O in blocks above {_DIRECT_ALIGNMENTS_BYTES[-1]} bytes",
        remedy=f"go through the page cache: file:{config.path}",
    )


def _logical_block_bytes(config: VolumeConfig, medium: _Medium) -> int:
    needed = medium.alignment_bytes if medium.is_device or config.kind == "direct" else 1
    logical = config.logical_block_bytes or max(LOGICAL_BLOCK_BYTES, needed)
    if config.kind == "direct" and logical < needed:
        raise ConfigError(
            f"{config.path} takes direct I/O in blocks of {needed} bytes, "
            f"and the volume has blocks of {logical}",
            remedy=f"set logical_block_bytes = {needed}, or use kind file",
        )
    if logical not in (512, 4096):
        raise ConfigError(
            f"{config.path} has blocks of {logical} bytes, which initiators are not served",
            remedy="set logical_block_bytes = 4096 and use kind file",
        )
    return logical


def _size_bytes(config: VolumeConfig, medium: _Medium, logical: int) -> int:
    shown = config.path or medium.path
    size = config.size if config.size is not None else medium.size_bytes
    if size > medium.size_bytes:
        remedy = (
            "serve it without a size, to get all there is"
            if medium.is_device
            else f"enlarge it: truncate -s {format_size(size)} {shown}; or leave the size out"
        )
        raise ConfigError(
            f"{shown} has {format_size(medium.size_bytes)}, too small for the {format_size(size)} "
            "asked for",
            remedy=remedy,
        )
    if size < logical:
        raise ConfigError(
            f"{shown} has {size} bytes, less than one block of {logical}",
            remedy="give it a size: " + ("" if medium.is_device else f"truncate -s 1G {shown}"),
        )
    if size % logical:
        whole = size - size % logical
        raise ConfigError(
            f"{shown} has {size} bytes, which is not a multiple of the block of {logical}",
            remedy=f"leave out the last {size % logical} bytes with the size {whole}, or enlarge "
            f"it: truncate -s {whole + logical} {shown}",
        )
    return size


def _is_thin(config: VolumeConfig, medium: _Medium, backing: BackingDevice) -> bool:
    if config.thin is not None:
        if config.thin and config.kind == "null":
            raise ConfigError(
                f"null volume {config.name!r} stores nothing that could be unmapped",
                remedy="remove thin",
            )
        return config.thin
    if config.kind == "null" or config.read_only:
        return False
    return not medium.is_device or bool(backing.can_discard)


def _ioctl_int(fd: int, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0])


def _unusable(config: VolumeConfig, path: str, error: OSError) -> ConfigError:
    remedies = {
        errno.EACCES: "run as a user who may write it, or set read_only = true",
        errno.EPERM: "run as a user who may write it, or set read_only = true",
        errno.EROFS: "its file system is read-only: set read_only = true",
        errno.EBUSY: "stop who holds it: lsof " + path,
        errno.ELOOP: "its symbolic links form a circle: name the file itself",
        errno.ENOENT: "check the path",
        errno.ENXIO: "no driver answers for it: check the device",
    }
    remedy = remedies.get(error.errno or 0, "check the path and the device behind it")
    return ConfigError(f"{config.path} cannot be opened: {_cause(error)}", remedy=remedy)


def _cause(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
