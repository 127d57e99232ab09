"""The wheel, as ``make wheel`` builds it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_BUILD_S: Final = 600


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder, one process at a time: maturin's own files have one place.

    Raises:
        AssertionError: it cannot be built; the message holds what maturin says.
    """
    maturin = Path(sys.executable).parent / "maturin"
    command = [str(maturin), "build", "--release", "--locked", "--out", str(folder)]
    (ROOT / "target").mkdir(exist_ok=True)
    with (ROOT / "target" / "test-wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_BUILD_S, check=False
        )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    (wheel,) = folder.glob("*.whl")
    return wheel
