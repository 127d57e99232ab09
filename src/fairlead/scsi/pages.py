"""The device server's two faces to the data plane: rendered pages, and commands that come up.

`render` gives everything that depends on configuration alone; the data plane serves it by lookup.
`upcall` answers the rest. Both are driven by tables.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fairlead.errors import CheckCondition
from fairlead.scsi import capacity, commands, inquiry, mode, vpd
from fairlead.scsi.cdb import Execution
from fairlead.scsi.diagnostic import send_diagnostic
from fairlead.scsi.lba_status import get_lba_status
from fairlead.scsi.request import Request
from fairlead.scsi.sense import INVALID_COMMAND_OPERATION_CODE, INVALID_FIELD_IN_CDB, Sense
from fairlead.scsi.supported_opcodes import report, report_task_management

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairlead.scsi.logical_unit import LogicalUnit

UPCALLS: Final[Mapping[str, Callable[[Request], bytes]]] = MappingProxyType(
    {
        "SEND DIAGNOSTIC": send_diagnostic,
        "GET LBA STATUS": get_lba_status,
        "REPORT SUPPORTED OPERATION CODES": report,
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": report_task_management,
    }
)
"""Command name -> what answers it, for every UPCALL command."""


def key(cdb: bytes) -> bytes | None:
    """Return the lookup key of a CDB, or None when it is not a PAGE command."""
    command = commands.find_cdb(cdb)
    if command is None or command.page_key is None:
        return None
    return bytes(byte & mask for byte, mask in zip(cdb, command.page_key, strict=False))


def render(lu: LogicalUnit) -> dict[bytes, bytes | Sense]:
    """Return lookup key -> answer for every PAGE command, untruncated.

    An answer is data for GOOD, or the sense of a CHECK CONDITION. A key that is not there ends with
    INVALID FIELD IN CDB.
    """
    return {
        inquiry.key(): inquiry.standard(lu),
        **vpd.render(lu),
        **mode.render(lu),
        **capacity.render(lu),
    }


def render_without_logical_unit() -> dict[bytes, bytes]:
    """Return the INQUIRY answers of a LUN that no logical unit is mapped to.

    Everything else there ends with LOGICAL UNIT NOT SUPPORTED, except REPORT LUNS, which is served,
    and REQUEST SENSE, which returns that sense as data. Spec: SPC-4 r37, INQUIRY.
    """
    return {
        inquiry.key(): inquiry.standard_without_logical_unit(),
        inquiry.key(vpd.SUPPORTED_PAGES): vpd.supported_pages_without_logical_unit(),
    }


def upcall(lu: LogicalUnit, cdb: bytes, data: bytes) -> bytes:
    """Answer an UPCALL command; the result is cut to the allocation length.

    Args:
        lu: the logical unit addressed.
        cdb: at least as long as the command's CDB.
        data: the data-out buffer, whole.

    Raises:
        CheckCondition: with the sense to return. INVALID COMMAND OPERATION CODE (INVALID FIELD IN
            CDB for an unknown service action) when the CDB is not that of an UPCALL command.
    """
    command = commands.find_cdb(cdb)
    if command is None or command.execution is not Execution.UPCALL:
        known_opcode = cdb[0] in commands.OPCODES_WITH_SERVICE_ACTION
        raise CheckCondition(
            INVALID_FIELD_IN_CDB if known_opcode else INVALID_COMMAND_OPERATION_CODE
        )
    answer = UPCALLS[command.name](Request(lu, cdb, data))
    return answer if command.allocation is None else answer[: command.allocation.read(cdb)]
