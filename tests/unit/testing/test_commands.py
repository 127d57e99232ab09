"""Every command method: the CDB it sends and the transfer it announces."""

from __future__ import annotations

from typing import Any

import pytest
from typing_extensions import override

from fairlead.testing.commands import ScsiCommands

Sent = tuple[int, str, bytes, int]


class Recorder(ScsiCommands[Sent]):
    """Answers every command with what it was given."""

    @override
    def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> Sent:
        return lun, cdb.hex(), data_out, data_in_bytes


BLOCK = bytes(512)
LBA_10 = "00 00 00 00 05"
LBA_16 = "00 00 00 00 00 00 00 00 05"
CASES: list[tuple[str, tuple[Any, ...], str, bytes, int]] = [
    ("test_unit_ready", (), "00 00 00 00 00 00", b"", 0),
    ("request_sense", (), "03 00 00 00 fc 00", b"", 252),
    ("inquiry", (), "12 00 00 00 ff 00", b"", 255),
    ("mode_sense_6", (), "1a 00 3f 00 ff 00", b"", 255),
    ("mode_sense_10", (), "5a 00 3f 00 00 00 00 04 00 00", b"", 1024),
    ("start_stop_unit", (), "1b 00 00 00 01 00", b"", 0),
    ("read_capacity_10", (), "25 00 00 00 00 00 00 00 00 00", b"", 8),
    ("read_capacity_16", (), "9e 10" + "00" * 8 + "00 00 00 20 00 00", b"", 32),
    ("read_6", (5, 0), "08 00 00 05 00 00", b"", 256 * 512),
    ("read_10", (5, 2), f"28 {LBA_10} 00 00 02 00", b"", 1024),
    ("read_12", (5, 2), f"a8 {LBA_10} 00 00 00 02 00 00", b"", 1024),
    ("read_16", (5, 2), f"88 {LBA_16} 00 00 00 02 00 00", b"", 1024),
    ("write_6", (5, BLOCK * 256), "0a 00 00 05 00 00", BLOCK * 256, 0),
    ("write_10", (5, BLOCK), f"2a {LBA_10} 00 00 01 00", BLOCK, 0),
    ("write_12", (5, BLOCK), f"aa {LBA_10} 00 00 00 01 00 00", BLOCK, 0),
    ("write_16", (5, BLOCK), f"8a {LBA_16} 00 00 00 01 00 00", BLOCK, 0),
    ("write_and_verify_10", (5, BLOCK), f"2e {LBA_10} 00 00 01 00", BLOCK, 0),
    ("write_and_verify_12", (5, BLOCK), f"ae {LBA_10} 00 00 00 01 00 00", BLOCK, 0),
    ("write_and_verify_16", (5, BLOCK), f"8e {LBA_16} 00 00 00 01 00 00", BLOCK, 0),
    ("verify_10", (5, 2), f"2f {LBA_10} 00 00 02 00", b"", 0),
    ("verify_10", (5, 1, BLOCK), "2f 02 00 00 00 05 00 00 01 00", BLOCK, 0),
    ("verify_12", (5, 1, BLOCK), "af 02 00 00 00 05 00 00 00 01 00 00", BLOCK, 0),
    ("verify_16", (5, 1, BLOCK), "8f 02" + LBA_16[2:] + " 00 00 00 01 00 00", BLOCK, 0),
    ("pre_fetch_10", (5, 2), f"34 {LBA_10} 00 00 02 00", b"", 0),
    ("pre_fetch_16", (5, 2), f"90 {LBA_16} 00 00 00 02 00 00", b"", 0),
    ("synchronize_cache_10", (), "35 00 00 00 00 00 00 00 00 00", b"", 0),
    ("synchronize_cache_16", (5, 2), f"91 {LBA_16} 00 00 00 02 00 00", b"", 0),
    ("write_same_10", (5, 2, BLOCK), f"41 {LBA_10} 00 00 02 00", BLOCK, 0),
    ("write_same_16", (5, 2, BLOCK), f"93 {LBA_16} 00 00 00 02 00 00", BLOCK, 0),
    ("reserve_6", (), "16 00 00 00 00 00", b"", 0),
    ("release_6", (), "17 00 00 00 00 00", b"", 0),
    ("persistent_reserve_in", (3,), "5e 03 00 00 00 00 00 20 00 00", b"", 8192),
    ("persistent_reserve_out", (6,), "5f 06 00 00 00 00 00 00 18 00", bytes(24), 0),
    ("get_lba_status", (5,), f"9e 12 {LBA_16[3:]} 00 00 00 18 00 00", b"", 24),
    (
        "compare_and_write",
        (5, b"a" * 512, b"b" * 512),
        f"89 {LBA_16} 00 00 00 01 00 00",
        b"a" * 512 + b"b" * 512,
        0,
    ),
    (
        "unmap",
        ([(5, 2)],),
        "42 00 00 00 00 00 00 00 18 00",
        bytes.fromhex("0016 0010 00000000 0000000000000005 00000002 00000000"),
        0,
    ),
]


@pytest.mark.parametrize(("method", "arguments", "cdb", "data_out", "data_in_bytes"), CASES)
def test_command(
    method: str, arguments: tuple[Any, ...], cdb: str, data_out: bytes, data_in_bytes: int
) -> None:
    sent = getattr(Recorder(), method)(*arguments, lun=3)
    assert sent == (3, bytes.fromhex(cdb).hex(), data_out, data_in_bytes)


def test_commands_that_address_no_logical_unit_go_to_lun_0() -> None:
    assert Recorder().report_luns() == (0, "a00000000000000010000000", b"", 4096)


def test_report_supported_operation_codes() -> None:
    sent = Recorder().report_supported_operation_codes(lun=1, options=1, opcode=0x28)
    assert sent == (1, "a30c0128000000010000" + "0000", b"", 65536)


def test_every_method_is_covered() -> None:
    named = {case[0] for case in CASES} | {"report_luns", "report_supported_operation_codes"}
    methods = {name for name in vars(ScsiCommands) if not name.startswith("_")}
    assert methods - {"execute", "block_bytes"} == named


def test_other_block_lengths() -> None:
    recorder = Recorder()
    recorder.block_bytes = 4096
    assert recorder.read_10(0, 2)[3] == 8192
    assert recorder.write_10(0, bytes(8192))[1] == "2a000000000000000200"
