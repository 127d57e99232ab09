"""Invariants of the command table, and its rows against the standards' CDB formats."""

from __future__ import annotations

from typing import Final

import pytest

from fairlead.scsi import commands
from fairlead.scsi.cdb import (
    Access,
    Bits,
    Command,
    Execution,
    UnitAttention,
    ZeroLength,
)
from fairlead.scsi.commands import COMMANDS

# Opcode group (top 3 bits) -> CDB bytes. Spec: SPC-4, operation code.
GROUP_BYTES: Final = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}

# Usage maps written out by hand from the CDB formats of SPC-4 and SBC-3.
USAGE: Final = {
    "TEST UNIT READY": "00 00 00 00 00 00",
    "REQUEST SENSE": "03 01 00 00 FF 00",
    "READ (6)": "08 1F FF FF FF 00",
    "WRITE (6)": "0A 1F FF FF FF 00",
    "INQUIRY": "12 01 FF FF FF 00",
    "RESERVE (6)": "16 00 00 00 00 00",
    "RELEASE (6)": "17 00 00 00 00 00",
    "MODE SENSE (6)": "1A 08 FF FF FF 00",
    "START STOP UNIT": "1B 01 00 00 01 00",
    "SEND DIAGNOSTIC": "1D 04 00 00 00 00",
    "READ CAPACITY (10)": "25 00 00 00 00 00 00 00 00 00",
    "READ (10)": "28 18 FF FF FF FF 00 FF FF 00",
    "WRITE (10)": "2A 18 FF FF FF FF 00 FF FF 00",
    "WRITE AND VERIFY (10)": "2E 12 FF FF FF FF 00 FF FF 00",
    "VERIFY (10)": "2F 12 FF FF FF FF 00 FF FF 00",
    "PRE-FETCH (10)": "34 02 FF FF FF FF 00 FF FF 00",
    "SYNCHRONIZE CACHE (10)": "35 02 FF FF FF FF 00 FF FF 00",
    "WRITE SAME (10)": "41 08 FF FF FF FF 00 FF FF 00",
    "UNMAP": "42 00 00 00 00 00 00 FF FF 00",
    "RESERVE (10)": "56 00 00 00 00 00 00 00 00 00",
    "RELEASE (10)": "57 00 00 00 00 00 00 00 00 00",
    "MODE SENSE (10)": "5A 18 FF FF 00 00 00 FF FF 00",
    "PERSISTENT RESERVE IN: READ KEYS": "5E 00 00 00 00 00 00 FF FF 00",
    "PERSISTENT RESERVE IN: READ RESERVATION": "5E 01 00 00 00 00 00 FF FF 00",
    "PERSISTENT RESERVE IN: REPORT CAPABILITIES": "5E 02 00 00 00 00 00 FF FF 00",
    "PERSISTENT RESERVE IN: READ FULL STATUS": "5E 03 00 00 00 00 00 FF FF 00",
    "PERSISTENT RESERVE OUT: REGISTER": "5F 00 00 00 00 FF FF FF FF 00",
    "PERSISTENT RESERVE OUT: RESERVE": "5F 01 FF 00 00 FF FF FF FF 00",
    "PERSISTENT RESERVE OUT: RELEASE": "5F 02 FF 00 00 FF FF FF FF 00",
    "PERSISTENT RESERVE OUT: CLEAR": "5F 03 00 00 00 FF FF FF FF 00",
    "PERSISTENT RESERVE OUT: PREEMPT": "5F 04 FF 00 00 FF FF FF FF 00",
    "PERSISTENT RESERVE OUT: PREEMPT AND ABORT": "5F 05 FF 00 00 FF FF FF FF 00",
    "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY": "5F 06 00 00 00 FF FF FF FF 00",
    "READ (16)": "88 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "COMPARE AND WRITE": "89 18 FF FF FF FF FF FF FF FF 00 00 00 FF 00 00",
    "WRITE (16)": "8A 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "WRITE AND VERIFY (16)": "8E 12 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "VERIFY (16)": "8F 12 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "PRE-FETCH (16)": "90 02 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "SYNCHRONIZE CACHE (16)": "91 02 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "WRITE SAME (16)": "93 09 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "READ CAPACITY (16)": "9E 10 00 00 00 00 00 00 00 00 FF FF FF FF 00 00",
    "GET LBA STATUS": "9E 12 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
    "REPORT LUNS": "A0 00 03 00 00 00 FF FF FF FF 00 00",
    "REPORT SUPPORTED OPERATION CODES": "A3 0C 87 FF FF FF FF FF FF FF 00 00",
    "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": "A3 0D 80 00 00 00 FF FF FF FF 00 00",
    "READ (12)": "A8 18 FF FF FF FF FF FF FF FF 00 00",
    "WRITE (12)": "AA 18 FF FF FF FF FF FF FF FF 00 00",
    "WRITE AND VERIFY (12)": "AE 12 FF FF FF FF FF FF FF FF 00 00",
    "VERIFY (12)": "AF 12 FF FF FF FF FF FF FF FF 00 00",
}

ROW_KEYS: Final = {
    "name", "opcode", "service_action", "service_action_mask", "cdb_bytes", "execution",
    "lba_offset", "lba_bytes", "lba_mask", "length_offset", "length_bytes", "allocation_offset",
    "allocation_bytes", "zero_length", "page_key", "protect_mask", "refused", "has_fua", "has_dpo",
    "has_ndob", "bytchk", "writes_medium", "data_out", "unit_attention_passes",
    "access", "harmless_offset", "harmless_mask",
}  # fmt: skip

MEDIUM: Final = {
    Execution.READ, Execution.WRITE, Execution.WRITE_VERIFY, Execution.VERIFY, Execution.PREFETCH,
    Execution.SYNCHRONIZE_CACHE, Execution.WRITE_SAME, Execution.COMPARE_AND_WRITE,
}  # fmt: skip

PERSISTENT_RESERVE_OUT: Final = 0x5F

# What another I_T nexus may have reserved, beside which a command is permitted: SPC-4 r37 and SBC-3
# r36, commands allowed in the presence of various reservations; SPC-2, table 9 and annex B.
NEVER_CONFLICT: Final = {
    "INQUIRY", "REQUEST SENSE", "REPORT LUNS", "READ CAPACITY (10)", "READ CAPACITY (16)",
}  # fmt: skip
ONLY_RESERVE_CONFLICTS: Final = {"TEST UNIT READY"}
PERMITTED_BESIDE_WRITE_EXCLUSIVE: Final = {
    "READ (6)", "READ (10)", "READ (12)", "READ (16)", "VERIFY (10)", "VERIFY (12)", "VERIFY (16)",
    "PRE-FETCH (10)", "PRE-FETCH (16)", "MODE SENSE (6)", "MODE SENSE (10)", "GET LBA STATUS",
    "REPORT SUPPORTED OPERATION CODES", "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
}  # fmt: skip
ALWAYS_CONFLICT: Final = {
    "WRITE (6)", "WRITE (10)", "WRITE (12)", "WRITE (16)", "WRITE AND VERIFY (10)",
    "WRITE AND VERIFY (12)", "WRITE AND VERIFY (16)", "WRITE SAME (10)", "WRITE SAME (16)", "UNMAP",
    "COMPARE AND WRITE", "SYNCHRONIZE CACHE (10)", "SYNCHRONIZE CACHE (16)", "SEND DIAGNOSTIC",
    "START STOP UNIT",
}  # fmt: skip

every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def command(name: str) -> Command:
    return next(row for row in COMMANDS if row.name == name)


def names(*executions: Execution) -> set[str]:
    return {row.name for row in COMMANDS if row.execution in executions}


def test_no_two_commands_share_a_code_or_a_name() -> None:
    assert len({(row.opcode, row.service_action) for row in COMMANDS}) == len(COMMANDS)
    assert len({row.name for row in COMMANDS}) == len(COMMANDS)


def test_an_opcode_has_service_actions_or_has_none() -> None:
    without = {row.opcode for row in COMMANDS if row.service_action is None}
    assert not without & commands.OPCODES_WITH_SERVICE_ACTION
    assert {0x5E, 0x5F, 0x9E, 0xA3} == commands.OPCODES_WITH_SERVICE_ACTION


def test_table_is_in_order_of_codes() -> None:
    codes = [(row.opcode, row.service_action or 0) for row in COMMANDS]
    assert codes == sorted(codes)


def test_the_table_is_what_is_promised() -> None:
    assert {row.name for row in COMMANDS} == USAGE.keys()


@every_command
def test_usage_map_is_the_standards(command: Command) -> None:
    assert command.usage.hex(" ").upper() == USAGE[command.name]


@every_command
def test_cdb_length_follows_from_the_opcode(command: Command) -> None:
    assert command.cdb_bytes == GROUP_BYTES[command.opcode >> 5]
    assert len(command.usage) == len(command.refused_bits) == command.cdb_bytes
    assert command.usage[0] == command.opcode


@every_command
def test_fields_are_inside_the_cdb_and_clear_of_each_other(command: Command) -> None:
    used: set[int] = set()
    for field in (command.lba, command.length, command.allocation):
        if field is None:
            continue
        place = set(range(field.offset_bytes, field.offset_bytes + field.width_bytes))
        assert min(place) >= 1
        assert max(place) < command.cdb_bytes - 1  # the control byte is last
        assert not place & used
        used |= place


@every_command
def test_no_bit_is_both_served_and_refused(command: Command) -> None:
    pairs = zip(command.usage[1:], command.refused_bits[1:], strict=True)
    assert not any(used & refused for used, refused in pairs)


@every_command
def test_naca_is_refused_and_the_opcode_is_not(command: Command) -> None:
    assert command.refused_bits[0] == 0
    assert command.refused_bits[-1] & 0x04


@every_command
def test_page_key_belongs_to_page_commands_and_selects_by_opcode(command: Command) -> None:
    assert (command.page_key is not None) == (command.execution is Execution.PAGE)
    if command.page_key is None:
        return
    assert command.page_key[0] == 0xFF
    assert len(command.page_key) <= command.cdb_bytes
    if command.service_action is not None:
        assert command.page_key[1] & 0x1F == 0x1F


@every_command
def test_page_key_covers_every_option(command: Command) -> None:
    """An option outside the key could not change the answer."""
    if command.page_key is None:
        return
    for bits in command.options:
        assert command.page_key[bits.offset_bytes] & bits.mask == bits.mask


@every_command
def test_medium_commands_have_lba_and_length(command: Command) -> None:
    is_medium = command.execution in MEDIUM
    assert (command.lba is not None) == is_medium
    has_list = command.execution is Execution.UNMAP or command.opcode == PERSISTENT_RESERVE_OUT
    assert (command.length is not None) == (is_medium or has_list)


@every_command
def test_only_commands_that_take_data_write(command: Command) -> None:
    assert not command.writes_medium or command.data_out
    brings_other = command.execution is Execution.VERIFY or command.opcode == PERSISTENT_RESERVE_OUT
    assert command.data_out == (command.writes_medium or brings_other)


@every_command
def test_thin_bits_are_options(command: Command) -> None:
    assert command.usage[1] & command.thin_mask == command.thin_mask


def test_zero_length_rules() -> None:
    rest = names(Execution.PREFETCH, Execution.SYNCHRONIZE_CACHE, Execution.WRITE_SAME)
    by_rule = {
        rule: {row.name for row in COMMANDS if row.zero_length is rule and row.length}
        for rule in ZeroLength
    }
    assert by_rule[ZeroLength.BLOCKS_256] == {"READ (6)", "WRITE (6)"}
    assert by_rule[ZeroLength.REST] == rest
    assert "READ (10)" in by_rule[ZeroLength.NONE]


def test_commands_that_pass_a_unit_attention() -> None:
    """Spec: SAM-5, unit attention condition."""
    passing = {row.name for row in COMMANDS if row.unit_attention is UnitAttention.PASS}
    assert passing == {"INQUIRY", "REPORT LUNS", "REQUEST SENSE"}


def test_what_conflicts_with_reservations() -> None:
    by_access = {
        access: {row.name for row in COMMANDS if row.access is access} for access in Access
    }
    # These are subject to rules of their own.
    about_reservations = {row.name for row in COMMANDS if "RESERVE" in row.name}
    about_reservations |= {"RELEASE (6)", "RELEASE (10)"}
    assert by_access == {
        Access.NOTHING: NEVER_CONFLICT | about_reservations,
        Access.STATUS: ONLY_RESERVE_CONFLICTS,
        Access.READ: PERMITTED_BESIDE_WRITE_EXCLUSIVE,
        Access.EVERYTHING: ALWAYS_CONFLICT,
    }
    assert {row.name: row.harmless for row in COMMANDS if row.harmless} == {
        "START STOP UNIT": Bits(4, 0x01)
    }


def test_protect_fields_are_where_protection_information_would_be() -> None:
    protecting = {row.name for row in COMMANDS if row.protect_mask}
    families = (
        Execution.READ, Execution.WRITE, Execution.WRITE_VERIFY, Execution.VERIFY,
        Execution.WRITE_SAME, Execution.COMPARE_AND_WRITE,
    )  # fmt: skip
    assert protecting == names(*families) - {"READ (6)", "WRITE (6)"}
    assert {row.protect_mask for row in COMMANDS} == {0, 0xE0}


def test_dpo_fua_bytchk_and_ndob() -> None:
    fua = {row.name for row in COMMANDS if row.has_fua}
    dpo = {row.name for row in COMMANDS if row.has_dpo}
    bytchk = {row.name for row in COMMANDS if row.bytchk}
    verifying = names(Execution.VERIFY, Execution.WRITE_VERIFY)
    moving = names(Execution.READ, Execution.WRITE, Execution.COMPARE_AND_WRITE)
    assert fua == moving - {"READ (6)", "WRITE (6)"}
    assert dpo == fua | verifying
    assert bytchk == verifying
    assert {row.name for row in COMMANDS if row.has_ndob} == {"WRITE SAME (16)"}


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("READ (10)", "00 E0 00 00 00 00 00 00 00 04"),
        ("VERIFY (10)", "00 E4 00 00 00 00 00 00 00 04"),  # BYTCHK 10b and 11b
        ("WRITE SAME (10)", "00 F6 00 00 00 00 00 00 00 04"),  # ANCHOR, PBDATA, LBDATA
        ("UNMAP", "00 01 00 00 00 00 00 00 00 04"),  # ANCHOR
        ("RESERVE (6)", "00 1F 00 00 00 04"),  # 3RDPTY, third party ID, EXTENT
        ("RELEASE (10)", "00 13 00 00 00 00 00 00 00 04"),  # 3RDPTY, LONGID, EXTENT
        ("START STOP UNIT", "00 00 00 0F F2 04"),  # power conditions, LOEJ
        ("SEND DIAGNOSTIC", "00 E0 00 FF FF 04"),  # other self-tests, parameter list
        ("REPORT LUNS", "00 00 FC 00 00 00 00 00 00 00 00 04"),  # other SELECT REPORT values
    ],
)
def test_refused_bits(name: str, refused: str) -> None:
    assert command(name).refused_bits.hex(" ").upper() == refused


def test_thin_only_commands() -> None:
    assert {row.name for row in COMMANDS if row.needs_thin} == {"UNMAP"}
    assert {row.name: row.thin_mask for row in COMMANDS if row.thin_mask} == {
        "WRITE SAME (10)": 0x08,
        "WRITE SAME (16)": 0x08,
    }


def test_find_cdb_uses_the_service_action_field_alone() -> None:
    found = commands.find_cdb(bytes.fromhex("A3 EC") + bytes(10))
    assert found is command("REPORT SUPPORTED OPERATION CODES")
    assert commands.find_cdb(bytes.fromhex("A3 0E") + bytes(10)) is None


def test_find_cdb_ignores_byte_1_of_other_opcodes() -> None:
    assert commands.find_cdb(bytes.fromhex("28 18") + bytes(8)) is command("READ (10)")
    assert commands.find_cdb(bytes.fromhex("C0 00") + bytes(8)) is None


def test_data_plane_rows_are_plain_and_complete() -> None:
    rows = commands.data_plane_rows()
    assert [row["name"] for row in rows] == [row.name for row in COMMANDS]
    for row in rows:
        assert row.keys() == ROW_KEYS
        assert all(type(value) in {int, str, bytes, bool, type(None)} for value in row.values()), (
            row
        )


def test_data_plane_row_of_read_6() -> None:
    row = next(row for row in commands.data_plane_rows() if row["opcode"] == 0x08)
    expected = {
        "name": "READ (6)",
        "service_action": None,
        "cdb_bytes": 6,
        "execution": "READ",
        "lba_offset": 1,
        "lba_bytes": 3,
        "lba_mask": 0x1FFFFF,
        "length_offset": 4,
        "length_bytes": 1,
        "allocation_offset": None,
        "allocation_bytes": 0,
        "page_key": None,
        "protect_mask": 0,
        "has_fua": False,
        "zero_length": "256",
        "writes_medium": False,
        "data_out": False,
        "unit_attention_passes": False,
    }
    assert {name: row[name] for name in expected} == expected


def test_data_plane_row_of_a_service_action() -> None:
    row = next(row for row in commands.data_plane_rows() if row["opcode"] == 0x9E)
    assert (row["service_action"], row["service_action_mask"]) == (0x10, 0x1F)
    assert (row["allocation_offset"], row["allocation_bytes"]) == (10, 4)
    assert row["page_key"] == bytes.fromhex("FF 1F")
