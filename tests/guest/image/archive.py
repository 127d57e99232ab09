"""An archive for the kernel's first file system. Spec: cpio(5), the "newc" format."""

from __future__ import annotations

import stat
from typing import Final

_MAGIC: Final = b"070701"
_TRAILER: Final = "TRAILER!!!"


class Archive:
    """Collects files; paths have no leading slash, and their folders are added before them."""

    def __init__(self) -> None:
        self._parts: Final[list[bytes]] = []
        self._folders: Final[set[str]] = set()

    def add(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Add a file."""
        parts = path.split("/")
        for count in range(1, len(parts)):
            self.add_folder("/".join(parts[:count]))
        self._append(path, stat.S_IFREG | mode, data)

    def add_folder(self, path: str) -> None:
        """Add a folder, once."""
        if path not in self._folders:
            self._folders.add(path)
            self._append(path, stat.S_IFDIR | 0o755, b"")

    def add_character_device(self, path: str, major: int, minor: int) -> None:
        """Add a device node."""
        self._append(path, stat.S_IFCHR | 0o600, b"", device=(major, minor))

    def content(self) -> bytes:
        """Return the archive, complete."""
        self._append(_TRAILER, 0, b"")
        return b"".join(self._parts)

    def _append(
        self, path: str, mode: int, data: bytes, *, device: tuple[int, int] = (0, 0)
    ) -> None:
        name = path.encode() + b"\0"
        inode, links, now = len(self._parts) + 1, 1, 0
        fields = (inode, mode, 0, 0, links, now, len(data), 0, 0, *device, len(name), 0)
        head = _MAGIC + b"".join(b"%08X" % field for field in fields) + name
        self._parts.append(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))
