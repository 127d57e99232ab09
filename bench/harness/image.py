"""The image every server serves, kept in the page cache."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK_BYTES = 4 << 20
_PAGE_BYTES = 4096


def create(path: Path, *, size_bytes: int, seed: int = 1) -> None:
    """Write an image of incompressible data; every block has its place on the disk.

    Page by page, so that the page cache holds it in single pages. A file written or read ahead in
    large pieces is held in large ones, and then ext4 (Linux 6.18) goes through all blocks of such
    a piece for every 4 KiB that is written into it: 15 us, whoever serves the file.
    """
    source = random.Random(seed)
    with path.open("wb", buffering=0) as image:
        for start in range(0, size_bytes, _CHUNK_BYTES):
            chunk = source.randbytes(min(_CHUNK_BYTES, size_bytes - start))
            for page in range(0, len(chunk), _PAGE_BYTES):
                image.write(chunk[page : page + _PAGE_BYTES])
        os.fsync(image.fileno())


def settle(path: Path) -> None:
    """Bring the image to rest: nothing dirty, everything in the page cache.

    What one server has written must not be flushed during the next one's turn, and a machine that
    reclaims idle page cache early would otherwise turn the first seconds into a disk benchmark.
    """
    buffer = bytearray(_CHUNK_BYTES)
    with path.open("rb", buffering=0) as image:
        # What has left the page cache comes back in single pages, as `create` says.
        os.posix_fadvise(image.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.fsync(image.fileno())
        while image.readinto(buffer):
            pass


def resident_share(path: Path) -> float | None:
    """Return the share (0..1) of the image in the page cache; None where ``fincore`` is missing."""
    fincore = shutil.which("fincore")
    if fincore is None:
        return None
    done = subprocess.run(
        [fincore, "--bytes", "--noheadings", "--output", "RES,SIZE", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    fields = done.stdout.split()
    if done.returncode != 0 or len(fields) != 2:
        return None
    resident_bytes, size_bytes = (int(field) for field in fields)
    return resident_bytes / size_bytes if size_bytes else 1.0
