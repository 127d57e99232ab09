"""Who has reserved a logical unit: RESERVE and RELEASE, and persistent reservations.

One `Reservations` for each logical unit, fed with what commands ask for and the I_T nexus that each
came by (`fairlead.scsi.reservation_commands`). It does no I/O and enforces nothing: an `Outcome`
says what to answer, whom to tell, and whose commands to abort; `Reservations.rule` says who may do
what from then on.

A registration belongs to the nexus, not to its session, and ends when the target stops. A logical
unit has RESERVE's reservation or registrations, never both (CRH is 0).

Spec: SPC-4 r37 §5.13 (reservations); SPC-2 §5.5 (RESERVE and RELEASE).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fairlead.errors import CheckCondition
from fairlead.scsi.cdb import Access
from fairlead.scsi.reservation_parameters import (
    SERVICE_ACTION_KEY_OFFSET,
    ReservationType,
    invalid_parameter,
    reservation_type,
)
from fairlead.scsi.sense import Asc, Sense, SenseKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fairlead.scsi.reservation_parameters import ItNexus

REGISTRATIONS_MAX: Final = 256
"""Of one logical unit. Clusters have tens of nodes with a few paths each; initiators name
themselves, so without a limit one of them could fill the memory."""

GOOD: Final = 0x00
RESERVATION_CONFLICT: Final = 0x18

INSUFFICIENT_REGISTRATION_RESOURCES: Final = Sense(
    SenseKey.ILLEGAL_REQUEST, Asc.INSUFFICIENT_REGISTRATION_RESOURCES
)

_GENERATION_MASK: Final = 0xFFFF_FFFF

_REGISTRANTS_ONLY: Final = frozenset(
    {
        ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
        ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY,
    }
)
_ALL_REGISTRANTS: Final = frozenset(
    {
        ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS,
        ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
    }
)
_PERMITS: Final[Mapping[ReservationType, Access]] = MappingProxyType(
    {
        kind: Access.READ if kind.name.startswith("WRITE") else Access.STATUS
        for kind in ReservationType
    }
)
"""What everybody may do beside a persistent reservation of each type."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do what: everybody as much as ``permits``, these nexuses everything.

    ``ends_with_session``: it is gone with the session of its nexus and with a reset.
    """

    permits: Access = Access.EVERYTHING
    nexuses: frozenset[ItNexus] = frozenset()
    ends_with_session: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """A unit attention condition for these nexuses."""

    asc: Asc
    nexuses: frozenset[ItNexus]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What follows from a command.

    Attributes:
        status: GOOD or RESERVATION CONFLICT; a CHECK CONDITION is raised instead.
        data: parameter data, untruncated.
        attentions: to be raised.
        aborted: nexuses whose commands PREEMPT AND ABORT aborts before its answer, but not itself.
        event: what happened, for the log: ``registered``, ``reserved``, ...; None for what changes
            nothing.
    """

    status: int = GOOD
    data: bytes = b""
    attentions: tuple[Attention, ...] = ()
    aborted: frozenset[ItNexus] = frozenset()
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """Of a nexus. ``relative_target_port``: 1..65535, of the port it came by."""

    key: int
    relative_target_port: int


@dataclass(frozen=True, slots=True)
class Persistent:
    """A persistent reservation; its holder is None where all registrants hold it."""

    holder: ItNexus | None
    type: ReservationType


CONFLICT: Final = Outcome(status=RESERVATION_CONFLICT)
_NOTHING_DONE: Final = Outcome()


class Reservations:
    """The reservations of one logical unit."""

    def __init__(self) -> None:
        self.generation = 0
        self.registrations: dict[ItNexus, Registration] = {}
        self.persistent: Persistent | None = None
        self.reserved_by: ItNexus | None = None

    @property
    def rule(self) -> Rule:
        """Who may do what now."""
        if self.reserved_by is not None:
            return Rule(Access.NOTHING, frozenset({self.reserved_by}), ends_with_session=True)
        held = self.persistent
        if held is None:
            return Rule()
        if held.holder is None or held.type in _REGISTRANTS_ONLY:
            return Rule(_PERMITS[held.type], frozenset(self.registrations))
        return Rule(_PERMITS[held.type], frozenset({held.holder}))

    def nexus_lost(self, nexus: ItNexus) -> bool:
        """A session of this nexus has ended. Returns whether a reservation has with it."""
        return nexus == self.reserved_by and self.reset()

    def reset(self) -> bool:
        """The logical unit is reset. Returns whether a reservation has ended.

        Persistent ones, and registrations, stay. Spec: SPC-4 r37 §5.13.5.
        """
        had_one = self.reserved_by is not None
        self.reserved_by = None
        return had_one

    # ---- RESERVE and RELEASE. Spec: SPC-2 §5.5.1 ---------------------------------------------

    def reserve_unit(self, nexus: ItNexus) -> Outcome:
        """RESERVE (6) and RESERVE (10)."""
        if self.registrations or self.reserved_by not in {None, nexus}:
            return CONFLICT
        if self.reserved_by == nexus:
            return _NOTHING_DONE
        self.reserved_by = nexus
        return Outcome(event="reserved")

    def release_unit(self, nexus: ItNexus) -> Outcome:
        """RELEASE (6) and RELEASE (10): of somebody else's reservation nothing, and no error."""
        if self.registrations:
            return CONFLICT
        if self.reserved_by != nexus:
            return _NOTHING_DONE
        self.reserved_by = None
        return Outcome(event="released")

    # ---- PERSISTENT RESERVE OUT, by service action. Spec: SPC-4 r37 §5.13.7 to §5.13.11 ------
    #
    # All but the first two are for a nexus that has shown its key: see `has_key`.

    def has_key(self, nexus: ItNexus, key: int) -> bool:
        """The nexus is registered with this key."""
        registration = self.registrations.get(nexus)
        return registration is not None and registration.key == key

    def register(
        self, nexus: ItNexus, key: int, new_key: int, *, relative_target_port: int
    ) -> Outcome:
        """REGISTER. ``key`` is 0 for a nexus without registration; ``new_key`` 0 ends one.

        Raises:
            CheckCondition: INSUFFICIENT REGISTRATION RESOURCES.
        """
        old = self.registrations.get(nexus)
        if key != (0 if old is None else old.key):
            return CONFLICT
        return self.register_anyway(nexus, new_key, relative_target_port=relative_target_port)

    def register_anyway(
        self, nexus: ItNexus, new_key: int, *, relative_target_port: int
    ) -> Outcome:
        """REGISTER AND IGNORE EXISTING KEY; raises as `register`."""
        is_registered = nexus in self.registrations
        if not new_key and not is_registered:
            return _NOTHING_DONE
        if not is_registered and len(self.registrations) >= REGISTRATIONS_MAX:
            raise CheckCondition(INSUFFICIENT_REGISTRATION_RESOURCES)
        self._next_generation()
        if new_key:
            self.registrations[nexus] = Registration(new_key, relative_target_port)
            return Outcome(event="registered")
        gone = self._remove({nexus})
        attentions = () if gone is None else self._released(gone, nexus)
        return Outcome(event="unregistered", attentions=attentions)

    def reserve(self, nexus: ItNexus, scope_and_type: int) -> Outcome:
        """RESERVE.

        Raises:
            CheckCondition: INVALID FIELD IN CDB for another scope, or a type that there is not.
        """
        kind = reservation_type(scope_and_type)
        if self.persistent is None:
            self._hold(nexus, kind)
            return Outcome(event="reserved")
        is_same = self.holds(nexus) and kind is self.persistent.type
        return _NOTHING_DONE if is_same else CONFLICT

    def release(self, nexus: ItNexus, scope_and_type: int) -> Outcome:
        """RELEASE: nothing, for who does not hold it.

        Raises:
            CheckCondition: INVALID RELEASE OF PERSISTENT RESERVATION for another type than is
                held; INVALID FIELD IN CDB as for `reserve`.
        """
        kind = reservation_type(scope_and_type)
        held = self.persistent
        if held is None or not self.holds(nexus):
            return _NOTHING_DONE
        if kind is not held.type:
            raise CheckCondition(
                Sense(SenseKey.ILLEGAL_REQUEST, Asc.INVALID_RELEASE_OF_PERSISTENT_RESERVATION)
            )
        self.persistent = None
        return Outcome(event="released", attentions=self._released(held, nexus))

    def clear(self, nexus: ItNexus) -> Outcome:
        """CLEAR."""
        others = frozenset(self.registrations) - {nexus}
        self._next_generation()
        self.registrations.clear()
        self.persistent = None
        attentions = _attentions((Asc.RESERVATIONS_PREEMPTED, others))
        return Outcome(event="cleared", attentions=attentions)

    def preempt(self, nexus: ItNexus, named_key: int, scope_and_type: int) -> Outcome:
        """PREEMPT and, as the outcome says whose commands it is about, PREEMPT AND ABORT.

        Who names the holder takes the reservation over; others with that key lose their
        registrations, in either case. Zero names all where all registrants hold it.

        Raises:
            CheckCondition: INVALID FIELD IN PARAMETER LIST for a ``named_key`` of 0 that names
                nobody; INVALID FIELD IN CDB as for `reserve`, where the type matters.
        """
        held = self.persistent
        named = {other for other, one in self.registrations.items() if one.key == named_key}
        changed: frozenset[ItNexus] = frozenset()
        if held is not None and (held.holder in named if held.holder else not named_key):
            kind = reservation_type(scope_and_type)
            named = (named or set(self.registrations)) - {nexus}
            self._remove(named)
            self._hold(nexus, kind)
            if kind is not held.type:
                changed = frozenset(self.registrations) - {nexus}
        elif not named_key:
            raise CheckCondition(invalid_parameter(SERVICE_ACTION_KEY_OFFSET))
        elif not named:
            return CONFLICT
        else:
            self._remove(named)
        self._next_generation()
        return Outcome(
            event="preempted",
            attentions=_attentions(
                (Asc.REGISTRATIONS_PREEMPTED, named - {nexus}),
                (Asc.RESERVATIONS_RELEASED, changed),
            ),
            aborted=frozenset(named),
        )

    # ---- what they have in common ------------------------------------------------------------

    def holds(self, nexus: ItNexus) -> bool:
        """The nexus is the holder of the persistent reservation, or one of the holders."""
        held = self.persistent
        if held is None or nexus not in self.registrations:
            return False
        return held.holder in {None, nexus}

    def _hold(self, nexus: ItNexus, kind: ReservationType) -> None:
        self.persistent = Persistent(None if kind in _ALL_REGISTRANTS else nexus, kind)

    def _remove(self, nexuses: Iterable[ItNexus]) -> Persistent | None:
        """Remove registrations. Returns the reservation, if it is gone with its last holder."""
        for nexus in nexuses:
            del self.registrations[nexus]
        held = self.persistent
        if held is None:
            return None
        if self.registrations if held.holder is None else held.holder in self.registrations:
            return None
        self.persistent = None
        return held

    def _released(self, held: Persistent, by: ItNexus) -> tuple[Attention, ...]:
        """Registrants hear of it where the reservation was theirs, too. Spec: §5.13.11.3."""
        if held.holder is not None and held.type not in _REGISTRANTS_ONLY:
            return ()
        others = frozenset(self.registrations) - {by}
        return _attentions((Asc.RESERVATIONS_RELEASED, others))

    def _next_generation(self) -> None:
        self.generation = (self.generation + 1) & _GENERATION_MASK


def _attentions(*found: tuple[Asc, Iterable[ItNexus]]) -> tuple[Attention, ...]:
    return tuple(Attention(asc, frozenset(nexuses)) for asc, nexuses in found if nexuses)
