"""A file system with the one file ``disk``, but for its data: names, attributes, opening.

What a request for data does is up to who derives from it.
"""

from __future__ import annotations

import errno
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.support import fuse_wire as wire
from tests.support.fuse_wire import FuseOpcode, FuseRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME: Final = "disk"
ROOT_NODE: Final = 1
FILE_NODE: Final = 2
# The kernel cuts larger requests, and those near it whose memory is not page aligned: at odd bytes,
# which tears blocks as no disk does. Tests of tearing stay at half of it.
MAX_WRITE_BYTES: Final = 1 << 20
# Requests the kernel sends on its own behalf (asynchronous direct I/O) before it makes callers
# wait.
MAX_BACKGROUND: Final = 1024

# Sends a header and a payload to the kernel.
Reply: TypeAlias = Callable[[bytes, bytes | memoryview], None]


class OneFileSystem(ABC):
    """Answers FUSE requests about one file.

    Args:
        reply: sends an answer.
        data: what answers the requests that touch data, by opcode.
    """

    def __init__(self, reply: Reply, data: Mapping[int, Callable[[FuseRequest], None]]) -> None:
        self._reply: Final = reply
        self._handlers: Final[dict[int, Callable[[FuseRequest], None]]] = {
            FuseOpcode.INIT: self._init,
            FuseOpcode.LOOKUP: self._lookup,
            FuseOpcode.GETATTR: self._getattr,
            FuseOpcode.SETATTR: self._setattr,
            FuseOpcode.OPEN: self._open,
            FuseOpcode.OPENDIR: self._opendir,
            FuseOpcode.READDIR: self._readdir,
            FuseOpcode.STATFS: self._statfs,
            FuseOpcode.FLUSH: self._done,
            FuseOpcode.RELEASE: self._done,
            FuseOpcode.RELEASEDIR: self._done,
            FuseOpcode.ACCESS: self._done,
            FuseOpcode.DESTROY: self._done,
            **data,
        }

    def serve(self, request: FuseRequest) -> None:
        """Answer one request, now or later."""
        if request.opcode in _UNANSWERED:
            return
        handler = self._handlers.get(request.opcode)
        if handler is None:
            self._fail(request, errno.ENOSYS)
        else:
            handler(request)

    @abstractmethod
    def _size_bytes(self) -> int:
        """Return how large the file is."""

    def _init(self, request: FuseRequest) -> None:
        major, _minor, readahead, offered = wire.INIT_IN.unpack_from(request.body)
        wanted = (
            wire.InitFlag.ASYNC_READ
            | wire.InitFlag.BIG_WRITES
            | wire.InitFlag.ASYNC_DIO
            | wire.InitFlag.MAX_PAGES
        )
        flags = wanted & offered
        pages = MAX_WRITE_BYTES // 4096
        limits = (MAX_BACKGROUND, MAX_BACKGROUND, MAX_WRITE_BYTES, 1, pages, 0, 0)
        self._answer(request, wire.INIT_OUT.pack(major, 38, readahead, flags, *limits))

    def _lookup(self, request: FuseRequest) -> None:
        if request.node != ROOT_NODE or bytes(request.body) != FILE_NAME.encode() + b"\0":
            self._fail(request, errno.ENOENT)
            return
        self._answer(
            request, wire.ENTRY_OUT_HEAD.pack(FILE_NODE, 0, 1, 0, 0, 0) + self._attr(FILE_NODE)
        )

    def _getattr(self, request: FuseRequest) -> None:
        self._answer(request, wire.ATTR_OUT_HEAD.pack(0, 0, 0) + self._attr(request.node))

    def _setattr(self, request: FuseRequest) -> None:
        self._getattr(request)

    def _open(self, request: FuseRequest) -> None:
        mode = wire.FOPEN_DIRECT_IO | wire.FOPEN_PARALLEL_DIRECT_WRITES
        self._answer(request, wire.OPEN_OUT.pack(1, mode, 0))

    def _opendir(self, request: FuseRequest) -> None:
        self._answer(request, wire.OPEN_OUT.pack(0, 0, 0))

    def _readdir(self, request: FuseRequest) -> None:
        transfer = wire.decode_transfer(request.body)
        names = [
            (ROOT_NODE, stat.S_IFDIR >> 12, b"."),
            (ROOT_NODE, stat.S_IFDIR >> 12, b".."),
            (FILE_NODE, stat.S_IFREG >> 12, FILE_NAME.encode()),
        ]
        skip, limit = transfer.offset_bytes, transfer.length_bytes
        self._answer(request, wire.encode_dirents(names, skip=skip, limit_bytes=limit))

    def _statfs(self, request: FuseRequest) -> None:
        blocks = self._size_bytes() // 4096
        self._answer(
            request, wire.STATFS_OUT.pack(blocks, blocks, blocks, 2, 0, 4096, 255, 4096, 0)
        )

    def _done(self, request: FuseRequest) -> None:
        self._answer(request, b"")

    def _attr(self, node: int) -> bytes:
        if node == ROOT_NODE:
            return wire.encode_attr(node=node, mode=stat.S_IFDIR | 0o755, size_bytes=0, links=2)
        size = self._size_bytes()
        return wire.encode_attr(node=node, mode=stat.S_IFREG | 0o666, size_bytes=size, links=1)

    def _answer(self, request: FuseRequest, payload: bytes | memoryview) -> None:
        header = wire.encode_reply_header(request.unique, payload_bytes=len(payload))
        self._reply(header, payload)

    def _fail(self, request: FuseRequest, error: int) -> None:
        self._reply(wire.encode_reply_header(request.unique, error=error), b"")


_UNANSWERED: Final = frozenset({FuseOpcode.FORGET, FuseOpcode.BATCH_FORGET, FuseOpcode.INTERRUPT})
