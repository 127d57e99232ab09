"""SCSI commands as methods, for the synchronous and the asyncio client alike.

Spec: SPC-4 and SBC-3, by command name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from fairlead.testing import cdb

_Answer = TypeVar("_Answer")


class ScsiCommands(ABC, Generic[_Answer]):
    """One method for each command; each returns what ``execute`` returns.

    Lengths are blocks of ``block_bytes``. Where the transfer is to differ from what the CDB says
    (residual tests), call ``execute`` with a CDB of ``fairlead.testing.cdb``.

    Attributes:
        block_bytes: logical block length that reads and writes count in.
    """

    block_bytes: int = 512

    @abstractmethod
    def execute(
        self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0
    ) -> _Answer:
        """Execute one command.

        Args:
            lun: logical unit number.
            cdb: 6 to 260 bytes.
            data_out: what the command writes.
            data_in_bytes: how much it may read.
        """

    def test_unit_ready(self, *, lun: int = 0) -> _Answer:
        """TEST UNIT READY."""
        return self.execute(lun, bytes(6))

    def request_sense(self, *, lun: int = 0, length: int = 252) -> _Answer:
        """REQUEST SENSE, fixed format."""
        return self.execute(lun, bytes((0x03, 0, 0, 0, length, 0)), data_in_bytes=length)

    def inquiry(self, *, lun: int = 0, page: int | None = None, length: int = 255) -> _Answer:
        """INQUIRY: the standard data, or a vital product data page."""
        return self.execute(lun, cdb.inquiry(length, page=page), data_in_bytes=length)

    def mode_sense_6(
        self,
        page: int = 0x3F,
        *,
        lun: int = 0,
        subpage: int = 0,
        control: int = 0,
        dbd: bool = False,
        length: int = 255,
    ) -> _Answer:
        """MODE SENSE (6)."""
        command = cdb.mode_sense_6(page, subpage=subpage, control=control, dbd=dbd, length=length)
        return self.execute(lun, command, data_in_bytes=length)

    def mode_sense_10(
        self,
        page: int = 0x3F,
        *,
        lun: int = 0,
        subpage: int = 0,
        control: int = 0,
        dbd: bool = False,
        length: int = 1024,
    ) -> _Answer:
        """MODE SENSE (10)."""
        command = cdb.mode_sense_10(page, subpage=subpage, control=control, dbd=dbd, length=length)
        return self.execute(lun, command, data_in_bytes=length)

    def report_luns(self, *, select: int = 0, length: int = 4096) -> _Answer:
        """REPORT LUNS, sent to LUN 0."""
        return self.execute(0, cdb.report_luns(length, select=select), data_in_bytes=length)

    def report_supported_operation_codes(
        self,
        *,
        lun: int = 0,
        options: int = 0,
        opcode: int = 0,
        service_action: int = 0,
        length: int = 65536,
    ) -> _Answer:
        """REPORT SUPPORTED OPERATION CODES."""
        command = cdb.report_supported_operation_codes(
            length, options=options, opcode=opcode, service_action=service_action
        )
        return self.execute(lun, command, data_in_bytes=length)

    def start_stop_unit(self, *, lun: int = 0, start: bool = True) -> _Answer:
        """START STOP UNIT."""
        return self.execute(lun, bytes((0x1B, 0, 0, 0, int(start), 0)))

    def read_capacity_10(self, *, lun: int = 0) -> _Answer:
        """READ CAPACITY (10)."""
        return self.execute(lun, bytes((0x25,)) + bytes(9), data_in_bytes=8)

    def read_capacity_16(self, *, lun: int = 0, length: int = 32) -> _Answer:
        """READ CAPACITY (16)."""
        return self.execute(lun, cdb.service_action_in_16(0x10, 0, length), data_in_bytes=length)

    def read_6(self, lba: int, blocks: int, *, lun: int = 0) -> _Answer:
        """READ (6); 0 blocks means 256."""
        data_in_bytes = (blocks or 256) * self.block_bytes
        return self.execute(lun, cdb.rw_6(0x08, lba, blocks), data_in_bytes=data_in_bytes)

    def read_10(self, lba: int, blocks: int, *, lun: int = 0, flags: int = 0) -> _Answer:
        """READ (10)."""
        return self._read(lun, cdb.rw_10(0x28, lba, blocks, flags=flags), blocks)

    def read_12(self, lba: int, blocks: int, *, lun: int = 0, flags: int = 0) -> _Answer:
        """READ (12)."""
        return self._read(lun, cdb.rw_12(0xA8, lba, blocks, flags=flags), blocks)

    def read_16(self, lba: int, blocks: int, *, lun: int = 0, flags: int = 0) -> _Answer:
        """READ (16)."""
        return self._read(lun, cdb.rw_16(0x88, lba, blocks, flags=flags), blocks)

    def write_6(self, lba: int, data: bytes, *, lun: int = 0) -> _Answer:
        """WRITE (6); 256 blocks are encoded as 0."""
        return self.execute(lun, cdb.rw_6(0x0A, lba, self._blocks(data) % 256), data)

    def write_10(self, lba: int, data: bytes, *, lun: int = 0, flags: int = 0) -> _Answer:
        """WRITE (10)."""
        return self.execute(lun, cdb.rw_10(0x2A, lba, self._blocks(data), flags=flags), data)

    def write_12(self, lba: int, data: bytes, *, lun: int = 0, flags: int = 0) -> _Answer:
        """WRITE (12)."""
        return self.execute(lun, cdb.rw_12(0xAA, lba, self._blocks(data), flags=flags), data)

    def write_16(self, lba: int, data: bytes, *, lun: int = 0, flags: int = 0) -> _Answer:
        """WRITE (16)."""
        return self.execute(lun, cdb.rw_16(0x8A, lba, self._blocks(data), flags=flags), data)

    def write_and_verify_10(
        self, lba: int, data: bytes, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """WRITE AND VERIFY (10)."""
        return self.execute(lun, cdb.rw_10(0x2E, lba, self._blocks(data), flags=flags), data)

    def write_and_verify_12(
        self, lba: int, data: bytes, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """WRITE AND VERIFY (12)."""
        return self.execute(lun, cdb.rw_12(0xAE, lba, self._blocks(data), flags=flags), data)

    def write_and_verify_16(
        self, lba: int, data: bytes, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """WRITE AND VERIFY (16)."""
        return self.execute(lun, cdb.rw_16(0x8E, lba, self._blocks(data), flags=flags), data)

    def verify_10(self, lba: int, blocks: int, data: bytes = b"", *, lun: int = 0) -> _Answer:
        """VERIFY (10); with data it compares (BYTCHK 01b)."""
        command = cdb.rw_10(0x2F, lba, blocks, flags=cdb.BYTCHK if data else 0)
        return self.execute(lun, command, data)

    def verify_12(self, lba: int, blocks: int, data: bytes = b"", *, lun: int = 0) -> _Answer:
        """VERIFY (12); with data it compares (BYTCHK 01b)."""
        command = cdb.rw_12(0xAF, lba, blocks, flags=cdb.BYTCHK if data else 0)
        return self.execute(lun, command, data)

    def verify_16(self, lba: int, blocks: int, data: bytes = b"", *, lun: int = 0) -> _Answer:
        """VERIFY (16); with data it compares (BYTCHK 01b)."""
        command = cdb.rw_16(0x8F, lba, blocks, flags=cdb.BYTCHK if data else 0)
        return self.execute(lun, command, data)

    def pre_fetch_10(self, lba: int, blocks: int, *, lun: int = 0, flags: int = 0) -> _Answer:
        """PRE-FETCH (10)."""
        return self.execute(lun, cdb.rw_10(0x34, lba, blocks, flags=flags))

    def pre_fetch_16(self, lba: int, blocks: int, *, lun: int = 0, flags: int = 0) -> _Answer:
        """PRE-FETCH (16)."""
        return self.execute(lun, cdb.rw_16(0x90, lba, blocks, flags=flags))

    def synchronize_cache_10(
        self, lba: int = 0, blocks: int = 0, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """SYNCHRONIZE CACHE (10); 0 blocks means up to the end."""
        return self.execute(lun, cdb.rw_10(0x35, lba, blocks, flags=flags))

    def synchronize_cache_16(
        self, lba: int = 0, blocks: int = 0, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """SYNCHRONIZE CACHE (16); 0 blocks means up to the end."""
        return self.execute(lun, cdb.rw_16(0x91, lba, blocks, flags=flags))

    def write_same_10(
        self, lba: int, blocks: int, block: bytes, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """WRITE SAME (10): ``block`` is one logical block."""
        return self.execute(lun, cdb.rw_10(0x41, lba, blocks, flags=flags), block)

    def write_same_16(
        self, lba: int, blocks: int, block: bytes, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """WRITE SAME (16): ``block`` is one logical block; none with the NDOB flag."""
        return self.execute(lun, cdb.rw_16(0x93, lba, blocks, flags=flags), block)

    def unmap(self, ranges: list[tuple[int, int]], *, lun: int = 0) -> _Answer:
        """UNMAP: pairs of LBA and number of blocks."""
        parameters = cdb.unmap_parameter_list(ranges)
        return self.execute(lun, cdb.unmap(len(parameters)), parameters)

    def compare_and_write(
        self, lba: int, expected: bytes, data: bytes, *, lun: int = 0, flags: int = 0
    ) -> _Answer:
        """COMPARE AND WRITE: writes ``data`` where ``expected`` is found; both of one length."""
        command = cdb.compare_and_write(lba, self._blocks(data), flags=flags)
        return self.execute(lun, command, expected + data)

    def reserve_6(self, *, lun: int = 0) -> _Answer:
        """RESERVE (6)."""
        return self.execute(lun, cdb.reserve_6())

    def release_6(self, *, lun: int = 0) -> _Answer:
        """RELEASE (6)."""
        return self.execute(lun, cdb.release_6())

    def persistent_reserve_in(
        self, service_action: int, *, lun: int = 0, length: int = 8192
    ) -> _Answer:
        """PERSISTENT RESERVE IN."""
        command = cdb.persistent_reserve_in(service_action, length)
        return self.execute(lun, command, data_in_bytes=length)

    def persistent_reserve_out(
        self,
        service_action: int,
        *,
        key: int = 0,
        service_action_key: int = 0,
        scope_and_type: int = 0,
        lun: int = 0,
    ) -> _Answer:
        """PERSISTENT RESERVE OUT."""
        command = cdb.persistent_reserve_out(service_action, scope_and_type=scope_and_type)
        data = cdb.persistent_reserve_out_list(key, service_action_key)
        return self.execute(lun, command, data)

    def get_lba_status(self, lba: int = 0, *, lun: int = 0, length: int = 24) -> _Answer:
        """GET LBA STATUS."""
        return self.execute(lun, cdb.service_action_in_16(0x12, lba, length), data_in_bytes=length)

    def _read(self, lun: int, command: bytes, blocks: int) -> _Answer:
        return self.execute(lun, command, data_in_bytes=blocks * self.block_bytes)

    def _blocks(self, data: bytes) -> int:
        return len(data) // self.block_bytes
