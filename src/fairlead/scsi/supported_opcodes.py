"""REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.

Both report from the command table and are cut to the allocation length by the caller.
Spec: SPC-4 r37, by the commands' names.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from fairlead.errors import CheckCondition
from fairlead.scsi import commands
from fairlead.scsi.sense import invalid_cdb_field

if TYPE_CHECKING:
    from fairlead.scsi.cdb import Command
    from fairlead.scsi.logical_unit import LogicalUnit
    from fairlead.scsi.request import Request

TASK_MANAGEMENT_ALLOCATION_BYTES_MIN: Final = 4

_RCTD: Final = 0x80
_REPD: Final = 0x80
_REPORTING_OPTIONS: Final = 0x07

_CTDP_ALL: Final = 0x02
_SERVACTV: Final = 0x01
_CTDP_ONE: Final = 0x80
_NOT_SUPPORTED: Final = 0x01
_SUPPORTED: Final = 0x03

# opcode | service action | CTDP, SERVACTV | CDB length
_COMMAND_DESCRIPTOR = struct.Struct(">BxHxBH")
# descriptor length | command specific | nominal | recommended, in seconds
_TIMEOUTS = struct.Struct(">HxBII")
_TIMEOUTS_LENGTH: Final = 10
_NOT_SPECIFIED: Final = 0

_ATS, _ATSS, _CTSS, _LURS = 0x80, 0x40, 0x10, 0x08
TASK_MANAGEMENT_FUNCTIONS: Final = _ATS | _ATSS | _CTSS | _LURS
"""ABORT TASK, ABORT TASK SET, CLEAR TASK SET and LOGICAL UNIT RESET.

CLEAR ACA is not there, as NORMACA is 0; the target resets are iSCSI's own and have no bit.
"""


class ReportingOptions(IntEnum):
    """What REPORT SUPPORTED OPERATION CODES lists."""

    ALL = 0
    OPCODE = 1
    SERVICE_ACTION = 2
    EITHER = 3


def report(request: Request) -> bytes:
    """Answer REPORT SUPPORTED OPERATION CODES, untruncated.

    Raises:
        CheckCondition: INVALID FIELD IN CDB for reporting options above 3, for option 1 with an
            opcode that has service actions, and for option 2 with one that has none.
    """
    cdb = request.cdb
    with_timeouts = bool(cdb[2] & _RCTD)
    options = cdb[2] & _REPORTING_OPTIONS
    if options == ReportingOptions.ALL:
        return _all_commands(request.lu, with_timeouts=with_timeouts)
    opcode = cdb[3]
    service_action = int.from_bytes(cdb[4:6])
    has_service_actions = opcode in commands.OPCODES_WITH_SERVICE_ACTION
    match options:
        case ReportingOptions.OPCODE:
            if has_service_actions:
                raise CheckCondition(invalid_cdb_field(2, 2))
            command = commands.find(opcode, None)
        case ReportingOptions.SERVICE_ACTION:
            command = commands.find(opcode, service_action)
            if command is None and commands.find(opcode, None):
                raise CheckCondition(invalid_cdb_field(2, 2))
        case ReportingOptions.EITHER:
            command = commands.find(opcode, service_action if has_service_actions else None)
            if not has_service_actions and service_action:
                command = None
        case _:
            raise CheckCondition(invalid_cdb_field(2, 2))
    return _one_command(request.lu, command, with_timeouts=with_timeouts)


def report_task_management(request: Request) -> bytes:
    """Answer REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, untruncated.

    With REPD the extended 16 bytes, which say that no timeouts are given.

    Raises:
        CheckCondition: INVALID FIELD IN CDB for an allocation length below 4.
    """
    if int.from_bytes(request.cdb[6:10]) < TASK_MANAGEMENT_ALLOCATION_BYTES_MIN:
        raise CheckCondition(invalid_cdb_field(6, 7))
    if request.cdb[2] & _REPD:
        return bytes((TASK_MANAGEMENT_FUNCTIONS, 0, 0, 12)) + bytes(12)
    return bytes((TASK_MANAGEMENT_FUNCTIONS, 0, 0, 0))


def is_supported(command: Command, lu: LogicalUnit) -> bool:
    """Tell whether this logical unit serves the command."""
    return lu.thin or not command.needs_thin


def _all_commands(lu: LogicalUnit, *, with_timeouts: bool) -> bytes:
    descriptors = b"".join(
        _COMMAND_DESCRIPTOR.pack(
            command.opcode,
            command.service_action or 0,
            (_CTDP_ALL if with_timeouts else 0)
            | (0 if command.service_action is None else _SERVACTV),
            command.cdb_bytes,
        )
        + (_timeouts(command) if with_timeouts else b"")
        for command in commands.COMMANDS
        if is_supported(command, lu)
    )
    return len(descriptors).to_bytes(4) + descriptors


def _one_command(lu: LogicalUnit, command: Command | None, *, with_timeouts: bool) -> bytes:
    if command is None or not is_supported(command, lu):
        return bytes((0, _NOT_SUPPORTED, 0, 0))
    usage = command.usage_for(thin=lu.thin)
    support = _SUPPORTED | (_CTDP_ONE if with_timeouts else 0)
    timeouts = _timeouts(command) if with_timeouts else b""
    return bytes((0, support)) + len(usage).to_bytes(2) + usage + timeouts


def _timeouts(command: Command) -> bytes:
    """Nominal time is not specified: it is the backing device's, which we do not know."""
    return _TIMEOUTS.pack(_TIMEOUTS_LENGTH, 0, _NOT_SPECIFIED, command.recommended_timeout_s)
