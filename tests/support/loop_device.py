"""Loop devices, for volumes that need a block device."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def why_no_loop_device() -> str | None:
    """Say why this machine gives no loop device; None where it does."""
    if os.geteuid() != 0:
        return "a loop device needs root"
    if shutil.which("losetup") is None or not Path("/dev/loop-control").exists():
        return "no losetup, or the kernel has no loop devices"
    return None


@contextlib.contextmanager
def loop_device(file: Path, *, logical_block_bytes: int = 512) -> Iterator[Path]:
    """Attach a free loop device to a file while the block is entered; yields its path."""
    block = str(logical_block_bytes)
    command = ["losetup", "--find", "--show", "--direct-io=on", "--sector-size", block, str(file)]
    attached = subprocess.run(command, check=True, capture_output=True, text=True)
    device = attached.stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
