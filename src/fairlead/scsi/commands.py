"""THE command table: every SCSI command the target serves, and where its fields are.

One table for everybody: the data plane loads `data_plane_rows`, REPORT SUPPORTED OPERATION CODES
reports it, and docs/scsi-commands.md is rendered from it. A command not in the table ends with
ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE; an opcode that is there with another service action
ends with INVALID FIELD IN CDB.

Spec: SPC-4 r37 and SBC-3 r36, each command by the name in its row.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fairlead.scsi.cdb import (
    PROTECT,
    SERVICE_ACTION_MASK,
    SERVICE_ACTION_OFFSET,
    Access,
    Bits,
    Command,
    Execution,
    Field,
    UnitAttention,
    ZeroLength,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where the fields of each CDB length are.
_LBA_6 = Field(1, 21)
_LENGTH_6 = Field(4, 8)
_LBA_10 = Field(2, 32)
_LENGTH_10 = Field(7, 16)
_LBA_12 = Field(2, 32)
_LENGTH_12 = Field(6, 32)
_LBA_16 = Field(2, 64)
_LENGTH_16 = Field(10, 32)
_LENGTH_COMPARE_AND_WRITE = Field(13, 8)

_BYTCHK_0_OR_1 = 0b0011  # 11b (one block against many) and the reserved 10b are refused.

# WRITE SAME, byte 1.
_ANCHOR = 0x10
_UNMAP = 0x08
_PBDATA_LBDATA = 0x06  # Obsolete, but to ignore them would write other data than was asked for.

_SCOPE_AND_TYPE = (Bits(2, 0xFF),)

# Waits worth advertising: unmapping and flushing may take a device long.
_FLUSH_TIMEOUT_S = 60
_RANGE_TIMEOUT_S = 120

# Each service action is a row, so that the data plane refuses those that are not served. REGISTER
# AND MOVE (07h) needs relative target ports of other I_T nexuses.
_PERSISTENT_RESERVE: Final = (
    *(
        Command(
            name=f"PERSISTENT RESERVE IN: {name}",
            opcode=0x5E,
            service_action=service_action,
            cdb_bytes=10,
            execution=Execution.UPCALL,
            allocation=Field(7, 16),
            access=Access.NOTHING,
        )
        for service_action, name in enumerate(
            ("READ KEYS", "READ RESERVATION", "REPORT CAPABILITIES", "READ FULL STATUS")
        )
    ),
    *(
        Command(
            name=f"PERSISTENT RESERVE OUT: {name}",
            opcode=0x5F,
            service_action=service_action,
            cdb_bytes=10,
            execution=Execution.UPCALL,
            length=Field(5, 32),  # PARAMETER LIST LENGTH, bytes
            options=options,
            data_out=True,
            access=Access.NOTHING,
        )
        for service_action, (name, options) in enumerate(
            (
                ("REGISTER", ()),
                ("RESERVE", _SCOPE_AND_TYPE),
                ("RELEASE", _SCOPE_AND_TYPE),
                ("CLEAR", ()),
                ("PREEMPT", _SCOPE_AND_TYPE),
                ("PREEMPT AND ABORT", _SCOPE_AND_TYPE),
                ("REGISTER AND IGNORE EXISTING KEY", ()),
            )
        )
    ),
)

COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        name="TEST UNIT READY",
        opcode=0x00,
        cdb_bytes=6,
        execution=Execution.TEST_UNIT_READY,
        access=Access.STATUS,
    ),
    Command(
        name="REQUEST SENSE",
        opcode=0x03,
        cdb_bytes=6,
        execution=Execution.REQUEST_SENSE,
        allocation=Field(4, 8),
        options=(Bits(1, 0x01),),  # DESC
        unit_attention=UnitAttention.PASS,
        access=Access.NOTHING,
    ),
    Command(
        name="READ (6)",
        opcode=0x08,
        cdb_bytes=6,
        execution=Execution.READ,
        lba=_LBA_6,
        length=_LENGTH_6,
        zero_length=ZeroLength.BLOCKS_256,
        access=Access.READ,
    ),
    Command(
        name="WRITE (6)",
        opcode=0x0A,
        cdb_bytes=6,
        execution=Execution.WRITE,
        lba=_LBA_6,
        length=_LENGTH_6,
        zero_length=ZeroLength.BLOCKS_256,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="INQUIRY",
        opcode=0x12,
        cdb_bytes=6,
        execution=Execution.PAGE,
        allocation=Field(3, 16),
        options=(Bits(1, 0x01), Bits(2, 0xFF)),  # EVPD, PAGE CODE
        # CMDDT (byte 1, bit 1) is obsolete; it is in the key so that no page has it.
        page_key=bytes.fromhex("FF 03 FF"),
        unit_attention=UnitAttention.PASS,
        access=Access.NOTHING,
    ),
    Command(
        name="RESERVE (6)",
        opcode=0x16,
        cdb_bytes=6,
        execution=Execution.UPCALL,
        refused=(Bits(1, 0x1F),),  # 3RDPTY, third party ID, EXTENT
        access=Access.NOTHING,
    ),
    Command(
        name="RELEASE (6)",
        opcode=0x17,
        cdb_bytes=6,
        execution=Execution.UPCALL,
        refused=(Bits(1, 0x1F),),  # 3RDPTY, third party ID, EXTENT
        access=Access.NOTHING,
    ),
    Command(
        name="MODE SENSE (6)",
        opcode=0x1A,
        cdb_bytes=6,
        execution=Execution.PAGE,
        allocation=Field(4, 8),
        options=(Bits(1, 0x08), Bits(2, 0xFF), Bits(3, 0xFF)),  # DBD; PC, PAGE CODE; SUBPAGE CODE
        page_key=bytes.fromhex("FF 08 FF FF"),
        access=Access.READ,
    ),
    Command(
        name="START STOP UNIT",
        opcode=0x1B,
        cdb_bytes=6,
        execution=Execution.START_STOP_UNIT,
        options=(Bits(1, 0x01), Bits(4, 0x01)),  # IMMED; START
        refused=(Bits(3, 0x0F), Bits(4, 0xF2)),  # power conditions; LOEJ (nothing to eject)
        harmless=Bits(4, 0x01),  # START
        recommended_timeout_s=_FLUSH_TIMEOUT_S,
    ),
    Command(
        name="SEND DIAGNOSTIC",
        opcode=0x1D,
        cdb_bytes=6,
        execution=Execution.UPCALL,
        options=(Bits(1, 0x04),),  # SELFTEST: the default self-test
        refused=(Bits(1, 0xE0), Bits(3, 0xFF), Bits(4, 0xFF)),  # SELF-TEST CODE, parameter list
    ),
    Command(
        name="READ CAPACITY (10)",
        opcode=0x25,
        cdb_bytes=10,
        execution=Execution.PAGE,
        page_key=bytes.fromhex("FF"),  # LOGICAL BLOCK ADDRESS and PMI are obsolete: ignored.
        access=Access.NOTHING,
    ),
    Command(
        name="READ (10)",
        opcode=0x28,
        cdb_bytes=10,
        execution=Execution.READ,
        lba=_LBA_10,
        length=_LENGTH_10,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        access=Access.READ,
    ),
    Command(
        name="WRITE (10)",
        opcode=0x2A,
        cdb_bytes=10,
        execution=Execution.WRITE,
        lba=_LBA_10,
        length=_LENGTH_10,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="WRITE AND VERIFY (10)",
        opcode=0x2E,
        cdb_bytes=10,
        execution=Execution.WRITE_VERIFY,
        lba=_LBA_10,
        length=_LENGTH_10,
        has_dpo=True,
        bytchk=_BYTCHK_0_OR_1,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="VERIFY (10)",
        opcode=0x2F,
        cdb_bytes=10,
        execution=Execution.VERIFY,
        lba=_LBA_10,
        length=_LENGTH_10,
        has_dpo=True,
        bytchk=_BYTCHK_0_OR_1,
        protect_mask=PROTECT,
        data_out=True,
        access=Access.READ,
    ),
    Command(
        name="PRE-FETCH (10)",
        opcode=0x34,
        cdb_bytes=10,
        execution=Execution.PREFETCH,
        lba=_LBA_10,
        length=_LENGTH_10,
        zero_length=ZeroLength.REST,
        options=(Bits(1, 0x02),),  # IMMED
        access=Access.READ,
    ),
    Command(
        name="SYNCHRONIZE CACHE (10)",
        opcode=0x35,
        cdb_bytes=10,
        execution=Execution.SYNCHRONIZE_CACHE,
        lba=_LBA_10,
        length=_LENGTH_10,
        zero_length=ZeroLength.REST,
        options=(Bits(1, 0x02),),  # IMMED
        recommended_timeout_s=_FLUSH_TIMEOUT_S,
    ),
    Command(
        name="WRITE SAME (10)",
        opcode=0x41,
        cdb_bytes=10,
        execution=Execution.WRITE_SAME,
        lba=_LBA_10,
        length=_LENGTH_10,
        zero_length=ZeroLength.REST,
        options=(Bits(1, _UNMAP),),
        refused=(Bits(1, _ANCHOR | _PBDATA_LBDATA),),
        protect_mask=PROTECT,
        thin_mask=_UNMAP,
        writes_medium=True,
        data_out=True,
        recommended_timeout_s=_RANGE_TIMEOUT_S,
    ),
    Command(
        name="UNMAP",
        opcode=0x42,
        cdb_bytes=10,
        execution=Execution.UNMAP,
        length=Field(7, 16),  # PARAMETER LIST LENGTH, bytes
        refused=(Bits(1, 0x01),),  # ANCHOR
        writes_medium=True,
        data_out=True,
        needs_thin=True,
        recommended_timeout_s=_RANGE_TIMEOUT_S,
    ),
    Command(
        name="RESERVE (10)",
        opcode=0x56,
        cdb_bytes=10,
        execution=Execution.UPCALL,
        refused=(Bits(1, 0x13),),  # 3RDPTY, LONGID, EXTENT
        access=Access.NOTHING,
    ),
    Command(
        name="RELEASE (10)",
        opcode=0x57,
        cdb_bytes=10,
        execution=Execution.UPCALL,
        refused=(Bits(1, 0x13),),  # 3RDPTY, LONGID, EXTENT
        access=Access.NOTHING,
    ),
    Command(
        name="MODE SENSE (10)",
        opcode=0x5A,
        cdb_bytes=10,
        execution=Execution.PAGE,
        allocation=Field(7, 16),
        options=(Bits(1, 0x18), Bits(2, 0xFF), Bits(3, 0xFF)),  # LLBAA, DBD; PC, PAGE; SUBPAGE
        page_key=bytes.fromhex("FF 18 FF FF"),
        access=Access.READ,
    ),
    *_PERSISTENT_RESERVE,
    Command(
        name="READ (16)",
        opcode=0x88,
        cdb_bytes=16,
        execution=Execution.READ,
        lba=_LBA_16,
        length=_LENGTH_16,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        access=Access.READ,
    ),
    Command(
        name="COMPARE AND WRITE",
        opcode=0x89,
        cdb_bytes=16,
        execution=Execution.COMPARE_AND_WRITE,
        lba=_LBA_16,
        length=_LENGTH_COMPARE_AND_WRITE,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="WRITE (16)",
        opcode=0x8A,
        cdb_bytes=16,
        execution=Execution.WRITE,
        lba=_LBA_16,
        length=_LENGTH_16,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="WRITE AND VERIFY (16)",
        opcode=0x8E,
        cdb_bytes=16,
        execution=Execution.WRITE_VERIFY,
        lba=_LBA_16,
        length=_LENGTH_16,
        has_dpo=True,
        bytchk=_BYTCHK_0_OR_1,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="VERIFY (16)",
        opcode=0x8F,
        cdb_bytes=16,
        execution=Execution.VERIFY,
        lba=_LBA_16,
        length=_LENGTH_16,
        has_dpo=True,
        bytchk=_BYTCHK_0_OR_1,
        protect_mask=PROTECT,
        data_out=True,
        access=Access.READ,
    ),
    Command(
        name="PRE-FETCH (16)",
        opcode=0x90,
        cdb_bytes=16,
        execution=Execution.PREFETCH,
        lba=_LBA_16,
        length=_LENGTH_16,
        zero_length=ZeroLength.REST,
        options=(Bits(1, 0x02),),  # IMMED
        access=Access.READ,
    ),
    Command(
        name="SYNCHRONIZE CACHE (16)",
        opcode=0x91,
        cdb_bytes=16,
        execution=Execution.SYNCHRONIZE_CACHE,
        lba=_LBA_16,
        length=_LENGTH_16,
        zero_length=ZeroLength.REST,
        options=(Bits(1, 0x02),),  # IMMED
        recommended_timeout_s=_FLUSH_TIMEOUT_S,
    ),
    Command(
        name="WRITE SAME (16)",
        opcode=0x93,
        cdb_bytes=16,
        execution=Execution.WRITE_SAME,
        lba=_LBA_16,
        length=_LENGTH_16,
        zero_length=ZeroLength.REST,
        has_ndob=True,
        options=(Bits(1, _UNMAP),),
        refused=(Bits(1, _ANCHOR | _PBDATA_LBDATA),),
        protect_mask=PROTECT,
        thin_mask=_UNMAP,
        writes_medium=True,
        data_out=True,
        recommended_timeout_s=_RANGE_TIMEOUT_S,
    ),
    Command(
        name="READ CAPACITY (16)",
        opcode=0x9E,
        service_action=0x10,
        cdb_bytes=16,
        execution=Execution.PAGE,
        allocation=Field(10, 32),
        page_key=bytes.fromhex("FF 1F"),  # LOGICAL BLOCK ADDRESS and PMI are obsolete: ignored.
        access=Access.NOTHING,
    ),
    Command(
        name="GET LBA STATUS",
        opcode=0x9E,
        service_action=0x12,
        cdb_bytes=16,
        execution=Execution.UPCALL,
        allocation=Field(10, 32),
        options=tuple(Bits(byte, 0xFF) for byte in range(2, 10)),  # STARTING LBA
        access=Access.READ,
    ),
    Command(
        name="REPORT LUNS",
        opcode=0xA0,
        cdb_bytes=12,
        execution=Execution.REPORT_LUNS,
        allocation=Field(6, 32),
        options=(Bits(2, 0x03),),  # SELECT REPORT 0, 1 and 2
        refused=(Bits(2, 0xFC),),
        unit_attention=UnitAttention.PASS,
        access=Access.NOTHING,
    ),
    Command(
        name="REPORT SUPPORTED OPERATION CODES",
        opcode=0xA3,
        service_action=0x0C,
        cdb_bytes=12,
        execution=Execution.UPCALL,
        allocation=Field(6, 32),
        # RCTD and REPORTING OPTIONS; REQUESTED OPERATION CODE; REQUESTED SERVICE ACTION
        options=(Bits(2, 0x87), Bits(3, 0xFF), Bits(4, 0xFF), Bits(5, 0xFF)),
        access=Access.READ,
    ),
    Command(
        name="REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        opcode=0xA3,
        service_action=0x0D,
        cdb_bytes=12,
        execution=Execution.UPCALL,
        allocation=Field(6, 32),
        options=(Bits(2, 0x80),),  # REPD
        access=Access.READ,
    ),
    Command(
        name="READ (12)",
        opcode=0xA8,
        cdb_bytes=12,
        execution=Execution.READ,
        lba=_LBA_12,
        length=_LENGTH_12,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        access=Access.READ,
    ),
    Command(
        name="WRITE (12)",
        opcode=0xAA,
        cdb_bytes=12,
        execution=Execution.WRITE,
        lba=_LBA_12,
        length=_LENGTH_12,
        has_dpo=True,
        has_fua=True,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="WRITE AND VERIFY (12)",
        opcode=0xAE,
        cdb_bytes=12,
        execution=Execution.WRITE_VERIFY,
        lba=_LBA_12,
        length=_LENGTH_12,
        has_dpo=True,
        bytchk=_BYTCHK_0_OR_1,
        protect_mask=PROTECT,
        writes_medium=True,
        data_out=True,
    ),
    Command(
        name="VERIFY (12)",
        opcode=0xAF,
        cdb_bytes=12,
        execution=Execution.VERIFY,
        lba=_LBA_12,
        length=_LENGTH_12,
        has_dpo=True,
        bytchk=_BYTCHK_0_OR_1,
        protect_mask=PROTECT,
        data_out=True,
        access=Access.READ,
    ),
)
"""In the order of opcodes, then service actions."""

BY_CODE: Final[Mapping[tuple[int, int | None], Command]] = MappingProxyType(
    {(command.opcode, command.service_action): command for command in COMMANDS}
)

OPCODES_WITH_SERVICE_ACTION: Final = frozenset(
    command.opcode for command in COMMANDS if command.service_action is not None
)


def find(opcode: int, service_action: int | None) -> Command | None:
    """Return the command with this opcode and service action (None: it has none), if served."""
    return BY_CODE.get((opcode, service_action))


def find_cdb(cdb: bytes) -> Command | None:
    """Return the command a CDB asks for, if served. ``cdb`` has at least 2 bytes."""
    opcode = cdb[0]
    if opcode in OPCODES_WITH_SERVICE_ACTION:
        return find(opcode, cdb[SERVICE_ACTION_OFFSET] & SERVICE_ACTION_MASK)
    return find(opcode, None)


RowValue = int | str | bytes | bool | None
"""What crosses to the data plane: plain data only."""


def data_plane_rows(commands: tuple[Command, ...] = COMMANDS) -> list[dict[str, RowValue]]:
    """Return commands as plain rows for the data plane, in order.

    A field the command does not have is None for its offset and 0 for its width and mask. See
    `Command` for the meaning; ``bytchk`` is a bitmap of accepted values, ``refused`` is
    ``cdb_bytes`` long and covers ``protect_mask`` and NACA.
    """
    return [_row(command) for command in commands]


def _row(command: Command) -> dict[str, RowValue]:
    service_action = command.service_action
    return {
        "name": command.name,
        "opcode": command.opcode,
        "service_action": service_action,
        "service_action_mask": 0 if service_action is None else SERVICE_ACTION_MASK,
        "cdb_bytes": command.cdb_bytes,
        "execution": command.execution.value,
        **_place("lba", command.lba),
        "lba_mask": 0 if command.lba is None else command.lba.mask,
        **_place("length", command.length),
        **_place("allocation", command.allocation),
        "zero_length": command.zero_length.value,
        "page_key": command.page_key,
        "protect_mask": command.protect_mask,
        "refused": command.refused_bits,
        "has_fua": command.has_fua,
        "has_dpo": command.has_dpo,
        "has_ndob": command.has_ndob,
        "bytchk": command.bytchk,
        "writes_medium": command.writes_medium,
        "data_out": command.data_out,
        "unit_attention_passes": command.unit_attention is UnitAttention.PASS,
        "access": int(command.access),
        "harmless_offset": 0 if command.harmless is None else command.harmless.offset_bytes,
        "harmless_mask": 0 if command.harmless is None else command.harmless.mask,
    }


def _place(name: str, field: Field | None) -> dict[str, RowValue]:
    return {
        f"{name}_offset": None if field is None else field.offset_bytes,
        f"{name}_bytes": 0 if field is None else field.width_bytes,
    }
