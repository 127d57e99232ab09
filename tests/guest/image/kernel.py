"""Debian's kernel for a machine that is emulated: unpacked, with few of its modules."""

from __future__ import annotations

import lzma
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_XZ_MAGIC: Final = b"\xfd7zXZ\x00"
_ELF_MAGIC: Final = b"\x7fELF"


def unpacked(image: bytes) -> bytes:
    """Return the ELF file in a compressed kernel (Debian: XZ).

    qemu starts it by its PVH entry; the emulated machine would take three seconds to unpack it.

    Raises:
        ValueError: none is found.
    """
    start = image.find(_XZ_MAGIC)
    while start >= 0:
        try:
            content = lzma.LZMADecompressor().decompress(image[start:])
        except lzma.LZMAError:
            content = b""
        if content.startswith(_ELF_MAGIC):
            return content
        start = image.find(_XZ_MAGIC, start + 1)
    raise ValueError("no kernel packed with XZ in this image")


class ProgramError(Exception):
    """A program of the tree failed; the message holds what it said."""


def run_inside(tree: Path, program: str, *arguments: str, name: str | None = None) -> str:
    """Run a program of an unpacked tree on this machine, with the tree's own libraries.

    Args:
        tree: the unpacked packages.
        program: its path in the tree, links resolved.
        arguments: its arguments.
        name: what the program is told it is called.

    Raises:
        ProgramError: it failed.
    """
    libraries = f"{tree}/usr/lib/x86_64-linux-gnu:{tree}/usr/lib"
    loader = [str(tree / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", libraries]
    done = subprocess.run(
        [*loader, "--argv0", name or program, str(tree / program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "", "PYTHONHOME": str(tree / "usr")},
    )
    if done.returncode != 0:
        raise ProgramError(f"{name or program} failed:\n{done.stdout[-2000:]}{done.stderr}")
    return done.stdout


class Modules:
    """The kernel modules of an unpacked tree."""

    def __init__(self, tree: Path) -> None:
        (self._folder,) = (tree / "usr/lib/modules").iterdir()
        self._tree: Final = tree
        self.release: Final = self._folder.name
        self._index()

    def _index(self) -> None:
        words = ("-b", str(self._tree / "usr"), self.release)
        run_inside(self._tree, "usr/bin/kmod", *words, name="depmod")
        self._needs = {}
        for line in (self._folder / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            self._needs[_name(path)] = (path, needs.split())

    def in_order(self, names: Iterable[str]) -> list[Path]:
        """Return the modules' files and those they need, each after what it needs.

        Raises:
            KeyError: a module that the kernel does not have.
        """
        ordered: list[str] = []
        for name in names:
            path, needs = self._needs[name]
            # modules.dep has the nearest first.
            ordered += [module for module in (*reversed(needs), path) if module not in ordered]
        return [self._folder / path for path in ordered]

    def keep(self, names: Sequence[str]) -> None:
        """Delete every module but these and what they need."""
        kept = set(self.in_order(names))
        for path in self._folder.rglob("*.ko"):
            if path not in kept:
                path.unlink()
        self._index()


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
