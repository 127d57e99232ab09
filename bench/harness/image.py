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


def create(path: Path, *, size_bytes: int, seed: int = 1) -> None:
    """Write an image of incompressible data; every block has its place on the disk."""
    source = random.Random(seed)
    with path.open("wb") as image:
        for start in range(0, size_bytes, _CHUNK_BYTES):
            image.write(source.randbytes(min(_CHUNK_BYTES, size_bytes - start)))
        image.flush()
        os.fsync(image.fileno())


def settle(path: Path) -> None:
    """Bring the image to rest: nothing dirty, everything in the page cache.

    What one server has written must not be flushed during the next one's turn, and a machine that
    reclaims idle page cache early would otherwise turn the first seconds into a disk benchmark.
    """
    buffer = bytearray(_CHUNK_BYTES)
    with path.open("rb", buffering=0) as image:
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
