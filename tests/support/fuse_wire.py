"""The part of the kernel's FUSE wire format that a file system with one file needs.

Spec: include/uapi/linux/fuse.h, protocol 7.38 (older kernels of the 7.x line send shorter
structures, which are read as far as they go). Bytes in, values out: nothing here reads or writes a
descriptor.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

IN_HEADER: Final = struct.Struct("=IIQQIIIHH")
OUT_HEADER: Final = struct.Struct("=IiQ")
ATTR: Final = struct.Struct("=QQQQQQIIIIIIIIII")
ENTRY_OUT_HEAD: Final = struct.Struct("=QQQQII")
ATTR_OUT_HEAD: Final = struct.Struct("=QII")
OPEN_OUT: Final = struct.Struct("=QII")
INIT_IN: Final = struct.Struct("=IIII")
INIT_OUT: Final = struct.Struct("=IIIIHHIIHHI28x")
TRANSFER_IN: Final = struct.Struct("=QQIIQII")
WRITE_OUT: Final = struct.Struct("=II")
FSYNC_IN: Final = struct.Struct("=QII")
FALLOCATE_IN: Final = struct.Struct("=QQQII")
SETATTR_IN: Final = struct.Struct("=IIQQ")
OPEN_IN: Final = struct.Struct("=II")
STATFS_OUT: Final = struct.Struct("=QQQQQIIII24x")
DIRENT_HEAD: Final = struct.Struct("=QQII")
NOTIFY_INVAL_INODE: Final = struct.Struct("=Qqq")

NOTIFY_INVAL_INODE_CODE: Final = 2
FATTR_SIZE: Final = 1 << 3
FSYNC_FDATASYNC: Final = 1
FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_KEEP_CACHE: Final = 1 << 1
FOPEN_PARALLEL_DIRECT_WRITES: Final = 1 << 6
# Room in front of the data of a WRITE request, rounded up to the page the kernel asks for.
REQUEST_HEADER_BYTES: Final = 4096


class FuseOpcode(IntEnum):
    """Requests of the kernel; those not named here are answered ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    ACCESS = 34
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43


class InitFlag(IntFlag):
    """What the file system tells the kernel that it can do."""

    ASYNC_READ = 1 << 0
    BIG_WRITES = 1 << 5
    ASYNC_DIO = 1 << 15
    MAX_PAGES = 1 << 22


@dataclass(frozen=True, slots=True)
class FuseRequest:
    """One request: the header's fields that are used, and the bytes after the header."""

    opcode: int
    unique: int
    node: int
    pid: int
    body: memoryview


@dataclass(frozen=True, slots=True)
class Transfer:
    """The arguments of READ and WRITE; ``flags`` are the open file's, with the call's O_DSYNC."""

    handle: int
    offset_bytes: int
    length_bytes: int
    flags: int


def decode_request(data: memoryview) -> FuseRequest:
    """Decode one whole request as read from /dev/fuse."""
    length, opcode, unique, node, _uid, _gid, pid, _ext, _pad = IN_HEADER.unpack_from(data)
    return FuseRequest(opcode, unique, node, pid, data[IN_HEADER.size : length])


def decode_transfer(body: memoryview) -> Transfer:
    """Decode the arguments of READ or WRITE."""
    handle, offset, length, _call_flags, _owner, flags, _pad = TRANSFER_IN.unpack_from(body)
    return Transfer(handle, offset, length, flags)


def encode_reply_header(unique: int, *, error: int = 0, payload_bytes: int = 0) -> bytes:
    """Encode the header of an answer; ``error`` is a positive errno or 0."""
    return OUT_HEADER.pack(OUT_HEADER.size + payload_bytes, -error, unique)


def encode_inval_inode(node: int) -> bytes:
    """Encode the notification that makes the kernel drop its cached pages of ``node``."""
    body = NOTIFY_INVAL_INODE.pack(node, 0, -1)
    return OUT_HEADER.pack(OUT_HEADER.size + len(body), NOTIFY_INVAL_INODE_CODE, 0) + body


def encode_attr(*, node: int, mode: int, size_bytes: int, links: int) -> bytes:
    """Encode the attributes of a file or folder, owned by root, with all times zero."""
    blocks = (size_bytes + 511) // 512
    times = (0,) * 6
    return ATTR.pack(node, size_bytes, blocks, *times, mode, links, 0, 0, 0, 4096, 0)


def encode_dirents(names: list[tuple[int, int, bytes]], *, skip: int, limit_bytes: int) -> bytes:
    """Encode the (node, type, name) entries after the first ``skip``, up to ``limit_bytes``."""
    out = bytearray()
    for index, (node, kind, name) in enumerate(names[skip:], start=skip + 1):
        entry = DIRENT_HEAD.pack(node, index, len(name), kind) + name
        entry += bytes(-len(entry) % 8)
        if len(out) + len(entry) > limit_bytes:
            break
        out += entry
    return bytes(out)
