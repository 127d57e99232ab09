"""An initiator without a target: executes block commands on a file by plain system calls.

It proves the model test itself: done right it must pass, and with one promise broken it must be
caught. What it does for each command is what a target has to do.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from fairlead.testing.commands import ScsiCommands
from fairlead.testing.outcome import Result

if TYPE_CHECKING:
    from pathlib import Path

_FUA: Final = 0x08
_UNMAP_BIT: Final = 0x08
_MISCOMPARE: Final = bytes((0x72, 0x0E, 0x1D, 0x00)) + bytes(4)
_MEDIUM_ERROR: Final = bytes((0x72, 0x03, 0x0C, 0x00)) + bytes(4)
_CHECK_CONDITION: Final = 0x02
_PUNCH_HOLE_KEEP_SIZE: Final = 0x03


class FileInitiator(ScsiCommands[Coroutine[Any, Any, Result]]):
    """Executes commands on the file at ``path``; a context manager, as it has the file open.

    Args:
        path: a file of whole blocks. block_bytes: logical block length. broken: promises not to
        keep: "flush", "fua", "compare" (of COMPARE AND WRITE), "stale read".
    """

    def __init__(self, path: Path, *, block_bytes: int, broken: frozenset[str]) -> None:
        self.block_bytes = block_bytes
        self._file: Final = os.open(path, os.O_RDWR)
        self._broken: Final = broken
        self._alone: Final = threading.Lock()
        self._first_reads: Final[dict[bytes, bytes]] = {}

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @override
    async def execute(
        self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0
    ) -> Result:
        """Execute one command in a thread; a failing system call is a MEDIUM ERROR."""
        runner = _RUNNERS[cdb[0]]
        try:
            return await asyncio.to_thread(runner, self, cdb, data_out)
        except OSError:
            return Result(status=_CHECK_CONDITION, sense=_MEDIUM_ERROR)

    def _do_read(self, cdb: bytes, _data: bytes) -> Result:
        offset, length = self._range(cdb)
        data = os.pread(self._file, length, offset)
        if "stale read" in self._broken:
            data = self._first_reads.setdefault(cdb[2:14], data)
        return Result(status=0, data=data)

    def _do_write(self, cdb: bytes, data: bytes) -> Result:
        offset, _ = self._range(cdb)
        is_forced = cdb[1] & _FUA and "fua" not in self._broken and cdb[0] == 0x8A
        os.pwritev(self._file, [data], offset, os.RWF_DSYNC if is_forced else 0)
        return Result(status=0)

    def _do_write_same(self, cdb: bytes, data: bytes) -> Result:
        offset, length = self._range(cdb)
        if cdb[1] & _UNMAP_BIT:
            self._punch(offset, length)
        else:
            os.pwrite(self._file, data * (length // self.block_bytes), offset)
        return Result(status=0)

    def _do_unmap(self, _cdb: bytes, parameters: bytes) -> Result:
        for lba, blocks in struct.iter_unpack(">QI4x", parameters[8:]):
            self._punch(lba * self.block_bytes, blocks * self.block_bytes)
        return Result(status=0)

    def _do_compare_and_write(self, cdb: bytes, data: bytes) -> Result:
        offset, length = int.from_bytes(cdb[2:10]) * self.block_bytes, len(data) // 2
        with self._alone:
            is_equal = os.pread(self._file, length, offset) == data[:length]
            if not is_equal and "compare" not in self._broken:
                return Result(status=_CHECK_CONDITION, sense=_MISCOMPARE)
            os.pwrite(self._file, data[length:], offset)
        return Result(status=0)

    def _do_synchronize_cache(self, _cdb: bytes, _data: bytes) -> Result:
        if "flush" not in self._broken:
            os.fdatasync(self._file)
        return Result(status=0)

    def _range(self, cdb: bytes) -> tuple[int, int]:
        lba, blocks = struct.unpack_from(">QI", cdb, 2)
        return lba * self.block_bytes, blocks * self.block_bytes

    def _punch(self, offset_bytes: int, length_bytes: int) -> None:
        call = ctypes.CDLL(None, use_errno=True).fallocate
        call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        if call(self._file, _PUNCH_HOLE_KEEP_SIZE, offset_bytes, length_bytes) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


_RUNNERS: Final[dict[int, Callable[[FileInitiator, bytes, bytes], Result]]] = {
    0x88: FileInitiator._do_read,
    0x8A: FileInitiator._do_write,
    0x8E: FileInitiator._do_write,
    0x93: FileInitiator._do_write_same,
    0x42: FileInitiator._do_unmap,
    0x89: FileInitiator._do_compare_and_write,
    0x91: FileInitiator._do_synchronize_cache,
}
