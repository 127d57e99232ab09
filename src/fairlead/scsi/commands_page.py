"""The command table as a page of the documentation.

``python -m fairlead.scsi.commands_page > docs/scsi-commands.md`` writes it; a test holds the
committed page to the table. Spec: SPC-4 r37, REPORT SUPPORTED OPERATION CODES (the usage column).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from fairlead.scsi.cdb import Access, UnitAttention, ZeroLength
from fairlead.scsi.commands import COMMANDS

if TYPE_CHECKING:
    from fairlead.scsi.cdb import Command, Field

_HEAD: Final = """\
# SCSI commands served

Rendered from `src/fairlead/scsi/commands.py` by
`python -m fairlead.scsi.commands_page > docs/scsi-commands.md`; do not edit. Standards: SPC-4 r37,
SBC-3 r36, SAM-5.

- *Fields* are `first byte:bits` of the logical block address, the length and the allocation length.
- *Length 0* says what a zero length means: nothing, 256 blocks, or up to the end of the medium.
- *Usage* is the CDB usage data that REPORT SUPPORTED OPERATION CODES returns: bits acted upon.
- *Refused* bits must be zero, otherwise INVALID FIELD IN CDB; all other bits are ignored.
- *Reserved* says what another I_T nexus may reserve without a conflict: anything, anything by a
  *persistent* reservation, the *write exclusive* types of those, or nothing. RESERVE, RELEASE and
  PERSISTENT RESERVE never conflict by the table: they have rules of their own. START STOP UNIT
  with START is permitted beside anything.
- *Thin* commands and bits are served only where blocks can be unmapped.

| Opcode | Command | By | LBA | Length | Length 0 | Allocated | Usage | Refused | Reserved | Notes |
|---|---|---|---|---|---|---|---|---|---|---|
"""

_ZERO_LENGTH: Final = {
    ZeroLength.NONE: "nothing",
    ZeroLength.BLOCKS_256: "256 blocks",
    ZeroLength.REST: "to the end",
}

_ACCESS: Final = {
    Access.NOTHING: "anything",
    Access.STATUS: "persistent",
    Access.READ: "write exclusive",
    Access.EVERYTHING: "nothing",
}


def render() -> str:
    """Return the page, in Markdown."""
    return _HEAD + "".join(map(_row, COMMANDS))


def _row(command: Command) -> str:
    opcode = f"{command.opcode:02X}h"
    if command.service_action is not None:
        opcode += f"/{command.service_action:02X}h"
    cells = (
        opcode,
        command.name,
        command.execution.value,
        _field(command.lba),
        _field(command.length),
        _ZERO_LENGTH[command.zero_length] if command.length else "",
        _field(command.allocation),
        f"`{command.usage.hex(' ').upper()}`",
        f"`{command.refused_bits.hex(' ').upper()}`",
        _ACCESS[command.access],
        _notes(command),
    )
    return f"| {' | '.join(cells)} |\n"


def _field(field: Field | None) -> str:
    return "" if field is None else f"{field.offset_bytes}:{field.width_bits}"


def _notes(command: Command) -> str:
    notes = {
        "writes": command.writes_medium,
        "thin": command.needs_thin,
        "thin bits": bool(command.thin_mask),
        "passes a unit attention": command.unit_attention is UnitAttention.PASS,
    }
    return ", ".join(note for note, holds in notes.items() if holds)


if __name__ == "__main__":
    sys.stdout.write(render())
