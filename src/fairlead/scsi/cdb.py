"""What a row of the command table is made of. Spec: SPC-4, command descriptor block.

A row says where a command's fields are, so that the data plane can check a CDB without knowing
the command. The usage map of REPORT SUPPORTED OPERATION CODES is derived from the same fields and
so cannot drift from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import reduce
from operator import or_
from typing import Final

SERVICE_ACTION_OFFSET: Final = 1
SERVICE_ACTION_MASK: Final = 0x1F
"""Every service action served here sits in bits 4..0 of byte 1."""

NACA: Final = 0x04
"""Control byte, bit 2. Must be zero, as standard INQUIRY data says NORMACA 0. Spec: SAM-5."""

DPO: Final = 0x10
"""Byte 1, bit 4 of the 10, 12 and 16 byte block commands: disable page out."""

FUA: Final = 0x08
"""Byte 1, bit 3 of READ, WRITE and COMPARE AND WRITE: force unit access."""

PROTECT: Final = 0xE0
"""Byte 1, bits 7..5: RDPROTECT, WRPROTECT or VRPROTECT, by command."""

BYTCHK_SHIFT: Final = 1
BYTCHK_MASK: Final = 0x06
"""Byte 1, bits 2..1 of VERIFY and WRITE AND VERIFY."""

NDOB: Final = 0x01
"""Byte 1, bit 0 of WRITE SAME (16): no data-out buffer, the data is zeros."""


class Execution(StrEnum):
    """Which code answers a command. PAGE and UPCALL come from this package, the rest is engine."""

    READ = "READ"
    WRITE = "WRITE"
    WRITE_VERIFY = "WRITE_VERIFY"
    VERIFY = "VERIFY"
    PREFETCH = "PREFETCH"
    SYNCHRONIZE_CACHE = "SYNCHRONIZE_CACHE"
    UNMAP = "UNMAP"
    WRITE_SAME = "WRITE_SAME"
    COMPARE_AND_WRITE = "COMPARE_AND_WRITE"
    TEST_UNIT_READY = "TEST_UNIT_READY"
    REQUEST_SENSE = "REQUEST_SENSE"
    START_STOP_UNIT = "START_STOP_UNIT"
    REPORT_LUNS = "REPORT_LUNS"
    PAGE = "PAGE"
    UPCALL = "UPCALL"


class ZeroLength(StrEnum):
    """What a zero in the length field means."""

    NONE = "none"  # no blocks: nothing is transferred and that is no error
    BLOCKS_256 = "256"
    REST = "rest"  # from the LBA to the end of the medium


class UnitAttention(StrEnum):
    """What a pending unit attention condition does to a command. Spec: SAM-5, unit attention."""

    REPORT = "report"
    PASS = "pass"  # noqa: S105  the standard's INQUIRY, REPORT LUNS and REQUEST SENSE rule


class Access(IntEnum):
    """What a command needs of a logical unit, the least first.

    A reservation held by another I_T nexus permits commands up to one of these, and conflicts with
    those above. Spec: SPC-4 r37 §5.13 and SBC-3 r36, commands allowed in the presence of
    persistent reservations; SPC-2 and its annex B, the same of RESERVE.
    """

    NOTHING = 0
    """Permitted in the presence of any reservation, or subject to rules of its own."""
    STATUS = 1
    """Permitted in the presence of any persistent reservation; RESERVE conflicts."""
    READ = 2
    """Permitted in the presence of the Write Exclusive types."""
    EVERYTHING = 3
    """Permitted to the holder and, by type, to registrants alone. Of commands not in the table
    that is the safe thing to believe."""


@dataclass(frozen=True, slots=True)
class Field:
    """A big-endian number in a CDB, ending on a byte boundary: bits above its width are others'."""

    offset_bytes: int
    width_bits: int

    @property
    def width_bytes(self) -> int:
        """Number of bytes to load."""
        return (self.width_bits + 7) // 8

    @property
    def mask(self) -> int:
        """Ones where the loaded number belongs to the field."""
        return (1 << self.width_bits) - 1

    def read(self, cdb: bytes) -> int:
        """Return the number this field has in ``cdb``; bytes behind the end count as absent."""
        return int.from_bytes(cdb[self.offset_bytes :][: self.width_bytes]) & self.mask

    def mask_bytes(self) -> bytes:
        """Return ``mask`` as it lies in the CDB from ``offset_bytes`` on."""
        return self.mask.to_bytes(self.width_bytes)


@dataclass(frozen=True, slots=True)
class Bits:
    """Some bits of one CDB byte."""

    offset_bytes: int
    mask: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command the target serves.

    Attributes:
        name: the standard's.
        service_action: bits 4..0 of byte 1, or None where the opcode alone names the command.
        lba: first logical block.
        length: transfer, verification or block count; for UNMAP the parameter list length in bytes.
        allocation: allocation length in bytes: the answer is cut to it.
        has_dpo: the DPO bit is served.
        has_fua: the FUA bit is served.
        has_ndob: the NDOB bit is served.
        bytchk: one bit for each accepted value of BYTCHK (bit n set: value n); 0 without BYTCHK.
        options: further bits that choose behaviour.
        protect_mask: RDPROTECT, WRPROTECT or VRPROTECT in byte 1: no protection information is
            kept, so they must be zero. 0 where the command has no such field.
        refused: further bits that must be zero; otherwise the command ends with ILLEGAL REQUEST,
            INVALID FIELD IN CDB.
        page_key: PAGE commands only, ANDed with the CDB's first bytes to give the page's key.
        data_out: the command can bring data (VERIFY only with BYTCHK, WRITE SAME only without
            NDOB).
        needs_thin: known only to a thin logical unit: otherwise INVALID COMMAND OPERATION CODE.
        thin_mask: bits of byte 1 that are refused unless the logical unit is thin.
        access: what it needs of a unit that another I_T nexus has reserved.
        harmless: with one of these bits set it needs ``Access.NOTHING``.
        recommended_timeout_s: how long an initiator should wait; for RCTD.
    """

    name: str
    opcode: int
    cdb_bytes: int
    execution: Execution
    service_action: int | None = None
    lba: Field | None = None
    length: Field | None = None
    allocation: Field | None = None
    zero_length: ZeroLength = ZeroLength.NONE
    has_dpo: bool = False
    has_fua: bool = False
    has_ndob: bool = False
    bytchk: int = 0
    options: tuple[Bits, ...] = ()
    protect_mask: int = 0
    refused: tuple[Bits, ...] = ()
    page_key: bytes | None = None
    writes_medium: bool = False
    data_out: bool = False
    unit_attention: UnitAttention = UnitAttention.REPORT
    needs_thin: bool = False
    thin_mask: int = 0
    access: Access = Access.EVERYTHING
    harmless: Bits | None = None
    recommended_timeout_s: int = 30

    @property
    def usage(self) -> bytes:
        """CDB usage data of a thin logical unit: ones where the device server acts on the bit.

        Byte 0 is the opcode and the service action field holds the service action. Bits that are
        reserved, ignored or must be zero are zero. Spec: SPC-4, REPORT SUPPORTED OPERATION CODES.
        """
        return self.usage_for(thin=True)

    def usage_for(self, *, thin: bool) -> bytes:
        """Return the CDB usage data for a logical unit that is thin, or is not."""
        usage = bytearray(self.cdb_bytes)
        for field in (self.lba, self.length, self.allocation):
            if field is not None:
                for index, mask in enumerate(field.mask_bytes(), field.offset_bytes):
                    usage[index] |= mask
        for bits in self.options:
            usage[bits.offset_bytes] |= bits.mask
        usage[1] |= self.has_dpo * DPO | self.has_fua * FUA | self.has_ndob * NDOB
        usage[1] |= self._bytchk_bits
        if not thin:
            usage[1] &= ~self.thin_mask
        usage[0] = self.opcode
        if self.service_action is not None:
            usage[SERVICE_ACTION_OFFSET] |= self.service_action
        return bytes(usage)

    @property
    def refused_bits(self) -> bytes:
        """``cdb_bytes`` bytes: ones where the CDB must be zero on any logical unit."""
        refused = bytearray(self.cdb_bytes)
        refused[1] |= self.protect_mask
        if self.bytchk:
            refused[1] |= BYTCHK_MASK & ~self._bytchk_bits
        refused[-1] |= NACA
        for bits in self.refused:
            refused[bits.offset_bytes] |= bits.mask
        return bytes(refused)

    @property
    def _bytchk_bits(self) -> int:
        """Bits of byte 1 that some accepted value of BYTCHK uses."""
        values = (value for value in range(4) if self.bytchk >> value & 1)
        return reduce(or_, values, 0) << BYTCHK_SHIFT
