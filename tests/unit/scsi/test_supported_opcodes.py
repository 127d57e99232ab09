"""What is reported of commands and task management, taken apart by a parser of the test's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fairlead.errors import CheckCondition
from fairlead.scsi import supported_opcodes
from fairlead.scsi.commands import COMMANDS
from fairlead.scsi.request import Request
from fairlead.scsi.sense import invalid_cdb_field
from tests.support.logical_unit import logical_unit, thin_logical_unit

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit

ALL, OPCODE, SERVICE_ACTION, EITHER = range(4)


@dataclass(frozen=True)
class Descriptor:
    opcode: int
    service_action: int | None
    cdb_bytes: int
    timeouts_s: tuple[int, int] | None


def report(
    options: int,
    opcode: int = 0,
    service_action: int = 0,
    *,
    rctd: bool = False,
    lu: LogicalUnit | None = None,
) -> bytes:
    cdb = bytes((0xA3, 0x0C, rctd << 7 | options, opcode)) + service_action.to_bytes(2)
    return supported_opcodes.report(
        Request(lu or thin_logical_unit(), cdb + bytes.fromhex("0000FFFF 00 00"))
    )


def timeouts(data: bytes) -> tuple[int, int]:
    assert len(data) == 12
    assert data[:4] == bytes.fromhex("000A 00 00")
    return int.from_bytes(data[4:8]), int.from_bytes(data[8:12])


def all_commands(data: bytes) -> list[Descriptor]:
    assert int.from_bytes(data[:4]) == len(data) - 4
    rest = data[4:]
    found = []
    while rest:
        assert rest[1] == rest[4] == 0
        assert rest[5] & ~3 == 0
        with_timeouts, has_action = rest[5] & 2, rest[5] & 1
        action = int.from_bytes(rest[2:4])
        assert has_action or action == 0
        end = 20 if with_timeouts else 8
        found.append(
            Descriptor(
                opcode=rest[0],
                service_action=action if has_action else None,
                cdb_bytes=int.from_bytes(rest[6:8]),
                timeouts_s=timeouts(rest[8:20]) if with_timeouts else None,
            )
        )
        rest = rest[end:]
    return found


@pytest.mark.parametrize("rctd", [False, True])
def test_all_commands(rctd: bool) -> None:
    assert all_commands(report(ALL, rctd=rctd)) == [
        Descriptor(
            command.opcode,
            command.service_action,
            command.cdb_bytes,
            (0, command.recommended_timeout_s) if rctd else None,
        )
        for command in COMMANDS
    ]


def test_unmap_is_reported_only_where_blocks_can_be_unmapped() -> None:
    assert 0x42 in {entry.opcode for entry in all_commands(report(ALL))}
    thick = all_commands(report(ALL, lu=logical_unit()))
    assert 0x42 not in {entry.opcode for entry in thick}
    assert len(thick) == len(COMMANDS) - 1
    assert report(OPCODE, 0x42, lu=logical_unit()) == bytes.fromhex("00 01 0000")


def test_unmap_bit_of_write_same_is_reported_only_where_blocks_can_be_unmapped() -> None:
    assert report(OPCODE, 0x93)[5] == 0x09
    assert report(OPCODE, 0x93, lu=logical_unit())[5] == 0x01


@pytest.mark.parametrize("rctd", [False, True])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_one_command(command: object, rctd: bool) -> None:
    row = next(row for row in COMMANDS if row is command)
    option = OPCODE if row.service_action is None else SERVICE_ACTION
    data = report(option, row.opcode, row.service_action or 0, rctd=rctd)
    assert data[0] == 0
    assert data[1] == (0x83 if rctd else 0x03)
    end = 4 + int.from_bytes(data[2:4])
    assert data[4:end] == row.usage
    if rctd:
        assert timeouts(data[end:]) == (0, row.recommended_timeout_s)
    else:
        assert data[end:] == b""
    assert report(EITHER, row.opcode, row.service_action or 0, rctd=rctd) == data


@pytest.mark.parametrize(
    ("options", "opcode", "service_action"),
    [
        (OPCODE, 0xC0, 0),
        (SERVICE_ACTION, 0xC0, 0),
        (SERVICE_ACTION, 0xA3, 0x0A),
        (EITHER, 0xC0, 0),
        (EITHER, 0xA3, 0x0A),
        (EITHER, 0x28, 1),
    ],
)
def test_a_command_that_is_not_served(options: int, opcode: int, service_action: int) -> None:
    assert report(options, opcode, service_action, rctd=True) == bytes.fromhex("00 01 0000")


@pytest.mark.parametrize(
    ("options", "opcode", "service_action"),
    [(OPCODE, 0xA3, 0x0C), (SERVICE_ACTION, 0x28, 0), (4, 0x28, 0), (7, 0x28, 0)],
)
def test_options_that_do_not_fit(options: int, opcode: int, service_action: int) -> None:
    with pytest.raises(CheckCondition) as caught:
        report(options, opcode, service_action)
    assert caught.value.sense == invalid_cdb_field(2, 2)


def task_management(byte_2: int, allocation_bytes: int) -> bytes:
    cdb = bytes((0xA3, 0x0D, byte_2, 0, 0, 0)) + allocation_bytes.to_bytes(4) + bytes(2)
    return supported_opcodes.report_task_management(Request(logical_unit(), cdb))


def test_task_management_functions() -> None:
    """ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET; no CLEAR ACA."""
    assert task_management(0, 4) == bytes.fromhex("D8 00 00 00")


def test_task_management_functions_extended() -> None:
    assert task_management(0x80, 16) == bytes.fromhex("D8 00 00 0C") + bytes(12)


def test_task_management_functions_need_room_for_four_bytes() -> None:
    with pytest.raises(CheckCondition) as caught:
        task_management(0, 3)
    assert caught.value.sense == invalid_cdb_field(6, 7)
