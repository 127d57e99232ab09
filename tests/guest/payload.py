"""fairlead as its wheel brings it, and what it needs, as a tar file for a guest to unpack."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Final

from tests.guest.image.build import CACHE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

_PINNED: Final = ROOT / "requirements" / "runtime.txt"
_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q")


def payload(wheel: Path, python: str) -> Path:
    """Return the tar file, made now if there is none of this wheel and these requirements.

    Args:
        wheel: our own.
        python: version of the guest's Python, as "3.11"; ours may be another one.
    """
    packages = CACHE / f"packages-{_digest(_PINNED.read_bytes(), python.encode())}"
    if not packages.exists():
        new = packages.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        wheels_only = ("--only-binary", ":all:", "--python-version", python)
        words = ("--require-hashes", *wheels_only, "--target", str(new), "-r", str(_PINNED))
        _run(*_PIP, *words)
        new.rename(packages)
    tar = CACHE / f"payload-{_digest(wheel.read_bytes(), packages.name.encode())}.tar"
    if not tar.exists():
        for old in CACHE.glob("payload-*"):
            old.unlink() if old.is_file() else shutil.rmtree(old)
        ours = tar.with_suffix(".new")
        _run(*_PIP, "--no-index", "--no-deps", "--target", str(ours), str(wheel))
        with tarfile.open(tar.with_suffix(".part"), "w") as archive:
            for folder in (packages, ours):
                archive.add(folder, ".")
        shutil.rmtree(ours)
        tar.with_suffix(".part").rename(tar)
    return tar


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _run(*command: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
