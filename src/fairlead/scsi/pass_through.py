"""What becomes of each command that is sent to a SCSI device through us.

A command without a row goes down, and only to who may write. The same operation code means other
commands on other types of device (07h: REASSIGN BLOCKS of a disk, INITIALIZE ELEMENT STATUS of a
changer); a row holds for all of them and so has to be right for all of them: 51h, which reads
a disc's information from a CD drive and changes data on a disk (XPWRITE), is not harmless.

Who may write may destroy what is on the device: no row keeps that from them. Dangerous is what
outlasts that or reaches further: it makes the device useless to its next owner, takes it away from
others for hours, or changes what the device is.

Spec: SPC-4 r37, SBC-3 r36, SSC-4, SMC-3, MMC-6, SAT-3, each command by the name in its row; newer
commands from SPC-5, SBC-4 and ZBC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from fairlead.scsi.cdb import Access
from fairlead.scsi.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE_LENGTH: Final = 0x7F
"""Its service action is in bytes 8 and 9, everybody else's in bits 4..0 of byte 1."""

_SIZE_IN_NAME: Final = re.compile(r" \(\d+\)$")


class Treatment(StrEnum):
    """What becomes of a command."""

    PASS = "PASS"  # noqa: S105  it goes down
    ANSWER = "ANSWER"  # our own command table answers, as for other volumes
    PAGE = "PAGE"  # a page of ours, where the unit has one; otherwise it goes down
    REFUSE = "REFUSE"  # INVALID COMMAND OPERATION CODE


@dataclass(frozen=True, slots=True)
class Rule:
    """What the data plane is told of one command.

    Attributes:
        opcode: 0..255.
        service_action: None: all that have no rule of their own.
        treatment: what becomes of it.
        is_harmless: read-only sessions and units have it too; others get WRITE PROTECTED there.
        attention: additional sense code and qualifier, ``asc << 8 | ascq``, that the other nexuses
            are told when it has gone well: to the device we all are one, which knows.
        access: what it needs of a unit that another nexus has reserved, as a number of
            `fairlead.scsi.cdb.Access`; None: what its row of the command table says, and
            ``EVERYTHING`` where it has none.
    """

    opcode: int
    service_action: int | None
    treatment: Treatment
    is_harmless: bool
    attention: int | None = None
    access: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One row.

    Attributes:
        name: the standard's; of several devices', with a slash.
        opcode: 0..255.
        service_action: None: the opcode alone names it, or all other service actions are meant.
        treatment: what becomes of it.
        is_harmless: it changes nothing that others see.
        is_dangerous: refused unless the operator allows it by name, and passed on then.
        endangers_blocks: dangerous for devices that have blocks; passes on all others.
        needs_identity: it speaks of ports and identities of the device itself, and is refused where
            initiators see an identity of ours.
        attention: see `Rule`.
        access: see `Rule`; of a device that has blocks where `is_of_several`.
        why: where that does not go without saying.
    """

    name: str
    opcode: int
    service_action: int | None = None
    treatment: Treatment = Treatment.PASS
    is_harmless: bool = False
    is_dangerous: bool = False
    endangers_blocks: bool = False
    needs_identity: bool = False
    attention: int | None = None
    access: Access | None = None
    why: str = ""

    @property
    def allow_name(self) -> str:
        """How it is named to be allowed: without the length of its CDB."""
        return _SIZE_IN_NAME.sub("", self.name)

    @property
    def is_of_several(self) -> bool:
        """Whether it is another command on devices of another type."""
        return " / " in self.name

    @property
    def may_be_dangerous(self) -> bool:
        """Whether it is refused for some device unless it is allowed by name."""
        return self.is_dangerous or self.endangers_blocks


def _harmless(
    name: str,
    opcode: int,
    service_action: int | None = None,
    why: str = "",
    access: Access | None = None,
) -> Policy:
    return Policy(name, opcode, service_action, is_harmless=True, access=access, why=why)


def _answered(name: str, opcode: int, why: str, *, is_harmless: bool = True) -> Policy:
    return Policy(name, opcode, treatment=Treatment.ANSWER, is_harmless=is_harmless, why=why)


def _refused(name: str, opcode: int, why: str) -> Policy:
    return Policy(name, opcode, treatment=Treatment.REFUSE, why=why)


def _dangerous(name: str, opcode: int, service_action: int | None = None, why: str = "") -> Policy:
    return Policy(
        name,
        opcode,
        service_action,
        treatment=Treatment.REFUSE,
        is_dangerous=True,
        why=why,
    )


_RESERVED: Final = "the device knows one initiator, us: whom it reserves itself for, we must know"
_RESERVES: Final = f"{_RESERVED}; who only reads takes it from nobody"
_COPIES: Final = "it names other devices, which are not ours to give"
_WIPES: Final = "it makes the device unusable for hours and wipes what others have on it"
_ATA: Final = "it carries every ATA command: firmware, passwords, SECURITY ERASE UNIT"
_ELEMENTS: Final = "it wipes the device, and changes its capacity for good"
_MOVES: Final = "it moves the tape, without which nothing can be read"

_BLOCKS: Final = "a block descriptor changes capacity or block length for good"

_MODE_PARAMETERS_CHANGED: Final = 0x2A01
_LOG_PARAMETERS_CHANGED: Final = 0x2A02

# Spec: SPC-4 r37 and SBC-3 r36, commands that are allowed in the presence of various reservations:
# of those that our command table does not have, what is allowed beside all, and what beside Write
# Exclusive alone.
_ALWAYS: Final = Access.NOTHING
_READS: Final = Access.READ

POLICIES: Final[tuple[Policy, ...]] = (
    _harmless("TEST UNIT READY", 0x00),
    _harmless("REWIND", 0x01, why=_MOVES),
    _harmless("REQUEST SENSE", 0x03),
    _dangerous("FORMAT UNIT", 0x04, why=_WIPES),
    _harmless("READ BLOCK LIMITS", 0x05),
    Policy(
        "REASSIGN BLOCKS / INITIALIZE ELEMENT STATUS",
        0x07,
        why="who owns the data may have its defective blocks replaced; changers need theirs",
    ),
    _harmless("READ (6)", 0x08),
    _harmless("SPACE (6)", 0x11, why=_MOVES),
    Policy(
        "INQUIRY",
        0x12,
        treatment=Treatment.PAGE,
        is_harmless=True,
        why="page B0h says how much we pass on at a time; 80h and 83h are ours by identity",
    ),
    Policy(
        "MODE SELECT (6)",
        0x15,
        endangers_blocks=True,
        attention=_MODE_PARAMETERS_CHANGED,
        why=f"{_BLOCKS}; tapes are set up by it; the other initiators are told",
    ),
    _answered("RESERVE (6)", 0x16, _RESERVES, is_harmless=False),
    _answered("RELEASE (6)", 0x17, _RESERVED),
    _refused("COPY", 0x18, _COPIES),
    _harmless("MODE SENSE (6)", 0x1A),
    Policy(
        "START STOP UNIT / LOAD UNLOAD",
        0x1B,
        why="START undoes STOP, and tapes and discs are changed by it; initiators stop disks only "
        "when told to",
    ),
    _harmless("RECEIVE DIAGNOSTIC RESULTS", 0x1C, access=_READS),
    _dangerous(
        "SEND DIAGNOSTIC",
        0x1D,
        why="tests in the foreground take a device away for hours, and pages of an enclosure "
        "switch off its slots; RECEIVE DIAGNOSTIC RESULTS passes",
    ),
    _harmless("PREVENT ALLOW MEDIUM REMOVAL", 0x1E, why="who reads a disc holds it"),
    _harmless("READ FORMAT CAPACITIES", 0x23),
    _harmless("READ CAPACITY (10)", 0x25),
    _harmless("READ (10)", 0x28),
    _harmless("SEEK (10) / LOCATE (10)", 0x2B, why=_MOVES),
    _harmless("VERIFY (10)", 0x2F),
    _harmless("PRE-FETCH (10) / READ POSITION", 0x34),
    _harmless("SYNCHRONIZE CACHE (10)", 0x35),
    Policy(
        "READ DEFECT DATA (10) / INITIALIZE ELEMENT STATUS WITH RANGE",
        0x37,
        access=_READS,
        why="the latter moves a changer's robot",
    ),
    _dangerous("FORMAT WITH PRESET", 0x38, why=_WIPES),
    _refused("COMPARE", 0x39, _COPIES),
    _refused("COPY AND VERIFY", 0x3A, _COPIES),
    _dangerous("WRITE BUFFER", 0x3B, why="it loads firmware"),
    _harmless("READ BUFFER (10)", 0x3C, access=_READS),
    _harmless("READ LONG (10)", 0x3E),
    _dangerous("CHANGE DEFINITION", 0x40, why="it changes what the device is, for everybody"),
    _harmless("READ TOC", 0x43),
    _harmless("REPORT DENSITY SUPPORT", 0x44),
    _harmless("GET CONFIGURATION", 0x46),
    _dangerous("SANITIZE", 0x48, why=f"{_WIPES}, and nothing ends it"),
    _harmless("GET EVENT STATUS NOTIFICATION", 0x4A),
    Policy(
        "LOG SELECT",
        0x4C,
        attention=_LOG_PARAMETERS_CHANGED,
        why="it sets counters back; the other initiators are told",
    ),
    _harmless("LOG SENSE", 0x4D, access=_ALWAYS),
    Policy(
        "MODE SELECT (10)",
        0x55,
        endangers_blocks=True,
        attention=_MODE_PARAMETERS_CHANGED,
        why="as MODE SELECT (6)",
    ),
    _answered("RESERVE (10)", 0x56, _RESERVES, is_harmless=False),
    _answered("RELEASE (10)", 0x57, _RESERVED),
    _harmless("MODE SENSE (10)", 0x5A),
    _answered("PERSISTENT RESERVE IN", 0x5E, _RESERVED),
    _answered("PERSISTENT RESERVE OUT", 0x5F, _RESERVES, is_harmless=False),
    _refused("Extended CDB", 0x7E, "the command that it carries would go by no rule"),
    _harmless("READ (32)", VARIABLE_LENGTH, 0x0009, access=_READS),
    _harmless("VERIFY (32)", VARIABLE_LENGTH, 0x000A, access=_READS),
    _dangerous("ATA PASS-THROUGH (32)", VARIABLE_LENGTH, 0x1FF0, why=_ATA),
    _refused("EXTENDED COPY and the like (third-party copy out)", 0x83, _COPIES),
    _refused("RECEIVE COPY RESULTS and the like (third-party copy in)", 0x84, _COPIES),
    _dangerous("ATA PASS-THROUGH (16)", 0x85, why=_ATA),
    _dangerous("ACCESS CONTROL OUT", 0x87, why="it says who may use the device, us included"),
    _harmless("READ (16)", 0x88),
    _harmless("READ ATTRIBUTE", 0x8C, access=_READS),
    _harmless("VERIFY (16)", 0x8F),
    _harmless("PRE-FETCH (16)", 0x90),
    _harmless("SYNCHRONIZE CACHE (16) / SPACE (16)", 0x91, why="the latter moves the tape"),
    _harmless("LOCATE (16)", 0x92, why=_MOVES),
    _harmless("REPORT ZONES and the like (zone management in)", 0x95),
    _harmless("READ BUFFER (16)", 0x9B, access=_READS),
    _harmless("READ CAPACITY (16)", 0x9E, 0x10),
    _harmless("READ LONG (16)", 0x9E, 0x11),
    _harmless("GET LBA STATUS", 0x9E, 0x12),
    _harmless("REPORT REFERRALS", 0x9E, 0x13, access=_ALWAYS),
    _harmless("GET STREAM STATUS", 0x9E, 0x16),
    _harmless("GET PHYSICAL ELEMENT STATUS", 0x9E, 0x17),
    _dangerous("REMOVE ELEMENT AND TRUNCATE", 0x9E, 0x18, why=_ELEMENTS),
    _dangerous("RESTORE ELEMENTS AND REBUILD", 0x9E, 0x19, why=_ELEMENTS),
    _dangerous("REMOVE ELEMENT AND MODIFY ZONES", 0x9E, 0x1A, why=_ELEMENTS),
    _answered("REPORT LUNS", 0xA0, "LUNs are our target's"),
    _dangerous("ATA PASS-THROUGH (12)", 0xA1, why=f"{_ATA}; BLANK of a CD drive, too"),
    _harmless("SECURITY PROTOCOL IN", 0xA2, access=_READS),
    _harmless("REPORT IDENTIFYING INFORMATION", 0xA3, 0x05, access=_ALWAYS),
    Policy(
        "REPORT TARGET PORT GROUPS",
        0xA3,
        0x0A,
        is_harmless=True,
        needs_identity=True,
        access=_ALWAYS,
        why="its groups are those of the device's page 83h",
    ),
    _harmless("REPORT ALIASES", 0xA3, 0x0B, access=_ALWAYS),
    _harmless("REPORT SUPPORTED OPERATION CODES", 0xA3, 0x0C),
    _harmless("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", 0xA3, 0x0D),
    _harmless("REPORT PRIORITY", 0xA3, 0x0E, access=_ALWAYS),
    _harmless("REPORT TIMESTAMP", 0xA3, 0x0F, access=_ALWAYS),
    _harmless("MANAGEMENT PROTOCOL IN", 0xA3, 0x10, access=_READS),
    Policy("REPORT KEY", 0xA4, 0x00, why="CD and DVD drives; nothing else has this action"),
    Policy(
        "SET TARGET PORT GROUPS",
        0xA4,
        0x0A,
        treatment=Treatment.REFUSE,
        is_dangerous=True,
        needs_identity=True,
        why="it moves the device to other ports for everybody, this host included",
    ),
    _dangerous(
        "MAINTENANCE OUT",
        0xA4,
        why="all others of its actions: names, clocks, priorities and nexuses of the device",
    ),
    _harmless("READ (12)", 0xA8),
    _harmless("SERVICE ACTION IN (12)", 0xAB),
    _harmless("READ DISC STRUCTURE", 0xAD),
    _harmless("VERIFY (12)", 0xAF),
    _dangerous(
        "SECURITY PROTOCOL OUT", 0xB5, why="it locks a device by a password, or wipes it by one"
    ),
    _harmless("READ DEFECT DATA (12)", 0xB7, access=_READS),
    _harmless("READ ELEMENT STATUS", 0xB8),
    _harmless("READ CD MSF", 0xB9),
    _harmless("READ CD", 0xBE),
)
"""In the order of opcodes, then service actions, and the rest of them last."""

DANGEROUS: Final = tuple(
    sorted({policy.allow_name for policy in POLICIES if policy.may_be_dangerous})
)
"""What can be allowed."""

# By the command table's rows, which are of disks.
_READING: Final = frozenset(
    (command.opcode, command.service_action)
    for command in COMMANDS
    if command.access is Access.READ
)


def rules(
    *,
    has_blocks: bool = True,
    identity: Literal["device", "own"] = "device",
    allow: Iterable[str] = (),
) -> tuple[Rule, ...]:
    """Return what the data plane is told.

    Args:
        has_blocks: SBC is the device's command set.
        identity: whether initiators recognise the device itself, or a volume of ours.
        allow: dangerous commands that are passed on, by names in `DANGEROUS`, in any case of
            letters.
    """
    allowed = {name.upper() for name in allow}
    return tuple(
        Rule(
            policy.opcode,
            policy.service_action,
            _treatment(policy, identity, allowed, has_blocks=has_blocks),
            policy.is_harmless,
            policy.attention,
            _access(policy, has_blocks=has_blocks),
        )
        for policy in POLICIES
    )


def _treatment(policy: Policy, identity: str, allowed: set[str], *, has_blocks: bool) -> Treatment:
    if policy.needs_identity and identity == "own":
        return Treatment.REFUSE
    if policy.is_dangerous or (policy.endangers_blocks and has_blocks):
        return Treatment.PASS if policy.allow_name in allowed else Treatment.REFUSE
    return policy.treatment


def _access(policy: Policy, *, has_blocks: bool) -> int | None:
    """What reads a disk moves the medium of a tape, or is another command there."""
    is_reading = (policy.opcode, policy.service_action) in _READING
    if not has_blocks and (is_reading or policy.is_of_several):
        return int(Access.EVERYTHING)
    return None if policy.access is None else int(policy.access)
