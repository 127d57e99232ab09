"""The files of this repository, as the tidy tests look at them."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "fairlead"

_BUILT = {".venv", ".git", "target", "dist", "__pycache__", "node_modules", ".results", ".guest"}


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Lists the repository's own files, those that git ignores left out.

    Args:
        suffixes: only files that end so (".py"); all without.
    """
    if (ROOT / ".git").exists() and (git := shutil.which("git")):
        listing = subprocess.run(
            [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        names = [name for name in listing.stdout.decode().split("\0") if name]
        paths = [ROOT / name for name in names]
    else:  # A source archive without git's folder.
        paths = [
            path
            for path in ROOT.rglob("*")
            if not (_BUILT & set(path.relative_to(ROOT).parts) or path.suffix == ".so")
        ]
    return tuple(
        sorted(
            path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)
        )
    )


def shown(path: Path) -> str:
    """Names a file for a message."""
    return str(path.relative_to(ROOT))
