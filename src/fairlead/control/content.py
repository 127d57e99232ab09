"""What is on a medium, before it is overwritten: data that somebody may want, and holes."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# (name, where its mark is, the mark). Those that others may contain come last.
_MARKS: Final = (
    ("a LUKS container", 0, b"LUKS\xba\xbe"),
    ("an LVM physical volume", 512, b"LABELONE"),
    ("an XFS file system", 0, b"XFSB"),
    ("a btrfs file system", 65600, b"_BHRfS_M"),
    ("an ext file system", 1080, b"\x53\xef"),
    ("an F2FS file system", 1024, b"\x10\x20\xf5\xf2"),
    ("a swap area", 4086, b"SWAPSPACE2"),
    ("a qcow2 image", 0, b"QFI\xfb"),
    ("an md member", 4096, b"\xfc\x4e\x2b\xa9"),
    ("an md member", 0, b"\xfc\x4e\x2b\xa9"),
    ("a VMDK image", 0, b"KDMV"),
    ("a VHDX image", 0, b"vhdxfile"),
    ("a VDI image", 64, b"\x7f\x10\xda\xbe"),
    ("an ISO 9660 file system", 32769, b"CD001"),
    ("a squashfs file system", 0, b"hsqs"),
    ("a JFS file system", 32768, b"JFS1"),
    ("a ReiserFS file system", 65588, b"ReIsEr"),
    ("a bcache member", 4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    ("a BlueStore device", 0, b"bluestore block device"),
    ("a partition table", 512, b"EFI PART"),
    ("a partition table", 4096, b"EFI PART"),
    ("a partition table", 510, b"\x55\xaa"),
)
_HEAD_BYTES: Final = 68 << 10
_CHUNK_BYTES: Final = 1 << 20
# A file in more pieces than this is judged by the first of them.
_PIECES_MAX: Final = 10_000


def recognise(path: str) -> str | None:
    """Return what a file or device holds, in words; None: nothing that is known.

    Raises:
        OSError: it cannot be read.
    """
    with _opened(path, os.O_RDONLY) as fd:
        head = os.pread(fd, _HEAD_BYTES, 0)
    return next((name for name, at, mark in _MARKS if head[at : at + len(mark)] == mark), None)


def written_part(path: str, size_bytes: int) -> float:
    """Return which part of a file has ever been written, 0..1; of a device all of it.

    What was only allocated counts as not written: reading it does not touch the medium either.

    Raises:
        OSError: it cannot be looked at.
    """
    with _opened(path, os.O_RDONLY) as fd:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return 1.0
        data_bytes = end = 0
        for _ in range(_PIECES_MAX):
            try:
                start = os.lseek(fd, end, os.SEEK_DATA)
            except OSError:
                end = size_bytes  # ENXIO: nothing but a hole from here on.
                break
            if start >= size_bytes:
                end = size_bytes
                break
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size_bytes)
            data_bytes += end - start
            if end >= size_bytes:
                break
    return data_bytes / max(end, 1)


def fill(path: str, size_bytes: int, tell: Callable[[int], None]) -> None:
    """Overwrite a file with data that does not compress, up to this size.

    Args:
        path: what to overwrite.
        size_bytes: how much of it.
        tell: hears after every MiB or so how many bytes are written.

    Raises:
        OSError: it cannot be written.
    """
    chunk = os.urandom(_CHUNK_BYTES)
    with _opened(path, os.O_WRONLY) as fd:
        room, there = os.fstatvfs(fd), os.fstat(fd)
        new_bytes = size_bytes - there.st_blocks * 512
        if stat.S_ISREG(there.st_mode) and new_bytes > room.f_bavail * room.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        at = 0
        while at < size_bytes:
            at += os.pwrite(fd, chunk[: size_bytes - at], at)
            tell(at)
        os.fsync(fd)
        # What is measured afterwards is to come from the medium.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
