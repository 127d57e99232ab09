"""THE table of text keys: one row for each key of RFC 7143, §12 and §13.

Negotiation, login, discovery, the documentation and the tests read this table; a key of the
standard that is not here is answered NotUnderstood. To add a key, add a row, and our own value for
it in ``key_offers`` where its result function needs one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

Value = bool | int | str
"""What a key stands at: a claim, a number, or a word chosen from a list."""

Offer = bool | int | tuple[str, ...]
"""What one side can accept: a claim, a limit, or words in order of preference."""

SEGMENT_BYTES_MIN: Final = 512
SEGMENT_BYTES_MAX: Final = (1 << 24) - 1
_TIME_S_MAX: Final = 3600
_U16_MAX: Final = (1 << 16) - 1


class Form(enum.Enum):
    """How a value is written. Spec: RFC 7143 §6.1."""

    BOOLEAN = enum.auto()  # Yes, No
    NUMBER = enum.auto()  # decimal or 0x
    LIST = enum.auto()  # words, comma-separated; the answer is one of them
    TEXT = enum.auto()  # a name, an alias, an address
    BINARY = enum.auto()  # 0x or 0b


class Result(enum.Enum):
    """How two sides' values become one. Spec: RFC 7143 §6.2.1, §6.2.2."""

    AND = enum.auto()
    OR = enum.auto()
    MINIMUM = enum.auto()
    MAXIMUM = enum.auto()
    LIST = enum.auto()  # the first of the offer that the other side accepts
    DECLARATIVE = enum.auto()  # the sender says so; it gets no answer
    OBSOLETE = enum.auto()  # still received, always rejected. Spec: RFC 7143 §13.25.
    DIALOGUE = enum.auto()  # part of an exchange with its own rules: authentication, SendTargets


class Phase(enum.Flag):
    """When a key may be sent."""

    SECURITY = enum.auto()  # stage 0 of the login
    OPERATIONAL = enum.auto()  # stage 1 of the login
    FULL_FEATURE = enum.auto()


class Sender(enum.Flag):
    """Who may offer or declare a key."""

    INITIATOR = enum.auto()
    TARGET = enum.auto()
    BOTH = INITIATOR | TARGET


class Use(enum.Enum):
    """The standard's words for when; the value is the phases they stand for.

    "Leading only" and "initialize only" differ only for a second connection of a session, which a
    target with MaxConnections 1 never has.
    """

    def __init__(self, abbreviation: str, phases: Phase) -> None:
        self.abbreviation = abbreviation
        self.phases = phases

    SECURITY = ("SN", Phase.SECURITY)
    LEADING_ONLY = ("LO", Phase.OPERATIONAL)
    INITIALIZE_ONLY = ("IO", Phase.OPERATIONAL)
    FULL_FEATURE_ONLY = ("FFPO", Phase.FULL_FEATURE)
    ALL = ("ALL", Phase.OPERATIONAL | Phase.FULL_FEATURE)


class Scope(enum.Enum):
    """What a value holds for."""

    CONNECTION = "CO"
    SESSION = "SW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One row.

    Attributes:
        name: as the standard writes it; keys are case sensitive.
        section: of RFC 7143.
        form: how the value is written.
        result: how an offer and our limit become the value.
        use: when it may be sent; ``any_stage`` adds the security stage of the login.
        sender: who may offer or declare it.
        scope: what the value holds for.
        default: value without negotiation, or None where there is none.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        any_stage: the standard's "any-stage".
        repeatable: the same declaration may come again. libiscsi repeats its names when it enters
            the operational stage; a different value is refused even so.
        irrelevant_in_discovery: has no meaning in a discovery session.
        originated: we offer it ourselves where the initiator is silent and the default is beyond
            our limit.
    """

    name: str
    section: str
    form: Form
    result: Result
    use: Use
    sender: Sender
    scope: Scope
    default: Value | None = None
    minimum: int = 0
    maximum: int = 0
    any_stage: bool = False
    repeatable: bool = False
    irrelevant_in_discovery: bool = False
    originated: bool = False

    @property
    def phases(self) -> Phase:
        """When the key may be sent."""
        return self.use.phases | Phase.SECURITY if self.any_stage else self.use.phases


def _security(name: str, section: str, form: Form) -> Key:
    return Key(
        name=name,
        section=section,
        form=form,
        result=Result.DIALOGUE,
        use=Use.SECURITY,
        sender=Sender.BOTH,
        scope=Scope.CONNECTION,
    )


def _digest(name: str) -> Key:
    return Key(
        name=name,
        section="13.1",
        form=Form.LIST,
        result=Result.LIST,
        use=Use.INITIALIZE_ONLY,
        sender=Sender.BOTH,
        scope=Scope.CONNECTION,
        default="None",
        originated=True,
    )


def _declared_name(name: str, section: str, use: Use, sender: Sender) -> Key:
    return Key(
        name=name,
        section=section,
        form=Form.TEXT,
        result=Result.DECLARATIVE,
        use=use,
        sender=sender,
        scope=Scope.SESSION,
        any_stage=True,
        repeatable=True,
    )


def _boolean(name: str, section: str, result: Result, *, originated: bool = False) -> Key:
    return Key(
        name=name,
        section=section,
        form=Form.BOOLEAN,
        result=result,
        use=Use.LEADING_ONLY,
        sender=Sender.BOTH,
        scope=Scope.SESSION,
        default=True,
        irrelevant_in_discovery=True,
        originated=originated,
    )


def _number(
    name: str,
    section: str,
    result: Result,
    *,
    default: int,
    minimum: int,
    maximum: int,
    irrelevant_in_discovery: bool = True,
    originated: bool = False,
) -> Key:
    return Key(
        name=name,
        section=section,
        form=Form.NUMBER,
        result=result,
        use=Use.LEADING_ONLY,
        sender=Sender.BOTH,
        scope=Scope.SESSION,
        default=default,
        minimum=minimum,
        maximum=maximum,
        irrelevant_in_discovery=irrelevant_in_discovery,
        originated=originated,
    )


def _obsolete(name: str, form: Form) -> Key:
    return Key(
        name=name,
        section="13.25",
        form=form,
        result=Result.OBSOLETE,
        use=Use.INITIALIZE_ONLY,
        sender=Sender.BOTH,
        scope=Scope.CONNECTION,
    )


KEYS: Final = (
    _security("AuthMethod", "12.1", Form.LIST),
    _security("CHAP_A", "12.1.3", Form.LIST),
    _security("CHAP_I", "12.1.3", Form.NUMBER),
    _security("CHAP_C", "12.1.3", Form.BINARY),
    _security("CHAP_N", "12.1.3", Form.TEXT),
    _security("CHAP_R", "12.1.3", Form.BINARY),
    _digest("HeaderDigest"),
    _digest("DataDigest"),
    _number("MaxConnections", "13.2", Result.MINIMUM, default=1, minimum=1, maximum=_U16_MAX),
    Key(
        name="SendTargets",
        section="13.3",
        form=Form.TEXT,
        result=Result.DIALOGUE,
        use=Use.FULL_FEATURE_ONLY,
        sender=Sender.INITIATOR,
        scope=Scope.SESSION,
    ),
    _declared_name("TargetName", "13.4", Use.INITIALIZE_ONLY, Sender.BOTH),
    _declared_name("InitiatorName", "13.5", Use.INITIALIZE_ONLY, Sender.INITIATOR),
    _declared_name("TargetAlias", "13.6", Use.ALL, Sender.TARGET),
    _declared_name("InitiatorAlias", "13.7", Use.ALL, Sender.INITIATOR),
    _declared_name("TargetAddress", "13.8", Use.ALL, Sender.TARGET),
    Key(
        name="TargetPortalGroupTag",
        section="13.9",
        form=Form.NUMBER,
        result=Result.DECLARATIVE,
        use=Use.INITIALIZE_ONLY,
        sender=Sender.TARGET,
        scope=Scope.SESSION,
        maximum=_U16_MAX,
        any_stage=True,
    ),
    _boolean("InitialR2T", "13.10", Result.OR, originated=True),
    _boolean("ImmediateData", "13.11", Result.AND, originated=True),
    Key(
        name="MaxRecvDataSegmentLength",
        section="13.12",
        form=Form.NUMBER,
        result=Result.DECLARATIVE,
        use=Use.ALL,
        sender=Sender.BOTH,
        scope=Scope.CONNECTION,
        default=8192,
        minimum=SEGMENT_BYTES_MIN,
        maximum=SEGMENT_BYTES_MAX,
    ),
    _number(
        "MaxBurstLength",
        "13.13",
        Result.MINIMUM,
        default=262_144,
        minimum=SEGMENT_BYTES_MIN,
        maximum=SEGMENT_BYTES_MAX,
        originated=True,
    ),
    # After MaxBurstLength, InitialR2T and ImmediateData: it depends on all three, and a batch is
    # answered in the order of this table.
    _number(
        "FirstBurstLength",
        "13.14",
        Result.MINIMUM,
        default=65_536,
        minimum=SEGMENT_BYTES_MIN,
        maximum=SEGMENT_BYTES_MAX,
        originated=True,
    ),
    _number(
        "DefaultTime2Wait",
        "13.15",
        Result.MAXIMUM,
        default=2,
        minimum=0,
        maximum=_TIME_S_MAX,
        irrelevant_in_discovery=False,
    ),
    _number(
        "DefaultTime2Retain",
        "13.16",
        Result.MINIMUM,
        default=20,
        minimum=0,
        maximum=_TIME_S_MAX,
        irrelevant_in_discovery=False,
    ),
    _number(
        "MaxOutstandingR2T",
        "13.17",
        Result.MINIMUM,
        default=1,
        minimum=1,
        maximum=_U16_MAX,
        originated=True,
    ),
    _boolean("DataPDUInOrder", "13.18", Result.OR),
    _boolean("DataSequenceInOrder", "13.19", Result.OR),
    _number(
        "ErrorRecoveryLevel",
        "13.20",
        Result.MINIMUM,
        default=0,
        minimum=0,
        maximum=2,
        irrelevant_in_discovery=False,
    ),
    Key(
        name="SessionType",
        section="13.21",
        form=Form.TEXT,
        result=Result.DECLARATIVE,
        use=Use.LEADING_ONLY,
        sender=Sender.INITIATOR,
        scope=Scope.SESSION,
        default="Normal",
        any_stage=True,
        repeatable=True,
    ),
    Key(
        name="TaskReporting",
        section="13.23",
        form=Form.LIST,
        result=Result.LIST,
        use=Use.LEADING_ONLY,
        sender=Sender.BOTH,
        scope=Scope.SESSION,
        default="RFC3720",
        irrelevant_in_discovery=True,
    ),
    _number("iSCSIProtocolLevel", "13.24", Result.MINIMUM, default=1, minimum=0, maximum=31),
    _obsolete("IFMarker", Form.BOOLEAN),
    _obsolete("OFMarker", Form.BOOLEAN),
    _obsolete("IFMarkInt", Form.TEXT),
    _obsolete("OFMarkInt", Form.TEXT),
    Key(
        name="X#NodeArchitecture",
        section="13.26",
        form=Form.TEXT,
        result=Result.DECLARATIVE,
        use=Use.LEADING_ONLY,
        sender=Sender.BOTH,
        scope=Scope.SESSION,
        any_stage=True,
    ),
)

_BY_NAME: Final = {key.name: key for key in KEYS}
if len(_BY_NAME) != len(KEYS):
    raise AssertionError("two rows for one key")
RANK: Final = {key.name: rank for rank, key in enumerate(KEYS)}


def find_key(name: str) -> Key | None:
    """Return the row of a key, or None for a key that we answer NotUnderstood."""
    return _BY_NAME.get(name)
