"""Reservations of all logical units: from upcalls to rules of the data plane.

What holds whom off is `fairlead.scsi.reservations`; here is which sessions I_T nexuses have now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairlead.control.log import logger
from fairlead.dataplane.reservation import AccessRule
from fairlead.errors import CheckCondition
from fairlead.scsi import reservation_commands
from fairlead.scsi.reservation_commands import ReservationRequest
from fairlead.scsi.reservations import INSUFFICIENT_REGISTRATION_RESOURCES, Reservations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fairlead.dataplane.api import DataPlane, Upcall
    from fairlead.scsi.identity import Identity
    from fairlead.scsi.logical_unit import LogicalUnit
    from fairlead.scsi.reservation_parameters import ItNexus
    from fairlead.scsi.reservations import Outcome

BUSY = 0x08

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Live:
    """The session that a nexus has now. ``session`` is 0 until the data plane has adopted it."""

    tsih: int
    session: int = 0


@dataclass(slots=True)
class _Unit:
    """One logical unit, by however many targets it is reached."""

    reservations: Reservations = field(default_factory=Reservations)
    is_full_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationInfo:
    """A registration; ``has_session``: its nexus has a session now."""

    initiator_name: str
    isid: bytes
    target_name: str
    key: int
    holds: bool
    has_session: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationInfo:
    """The reservations of one logical unit.

    Attributes:
        reserved_by: the initiator port that has reserved it by RESERVE, or None.
        type: of the persistent reservation, by the standard's name, or None.
        generation: PRGENERATION.
        registrations: at most `fairlead.scsi.reservations.REGISTRATIONS_MAX`.
    """

    reserved_by: str | None
    type: str | None
    generation: int
    registrations: tuple[RegistrationInfo, ...]


class ReservationBook:
    """The reservations of a running target. Used on the event loop's thread only.

    Args:
        plane: enforces the rules.
        logical_units: by the data plane's number; read whenever it is needed. Those of one identity
            are one logical unit, reached by several target ports.
    """

    def __init__(self, plane: DataPlane, logical_units: Mapping[int, LogicalUnit]) -> None:
        self._plane = plane
        self._logical_units = logical_units
        self._units: dict[Identity, _Unit] = {}
        self._live: dict[ItNexus, _Live] = {}
        self._nexuses: dict[int, ItNexus] = {}

    def info(self, identity: Identity) -> ReservationInfo:
        """Return the reservations of a logical unit as they are now."""
        found = self._units.get(identity, _Unit()).reservations
        held = found.persistent
        return ReservationInfo(
            reserved_by=None if found.reserved_by is None else str(found.reserved_by),
            type=None if held is None else held.type.name.lower(),
            generation=found.generation,
            registrations=tuple(
                RegistrationInfo(
                    initiator_name=nexus.initiator_name,
                    isid=nexus.isid,
                    target_name=nexus.target_name,
                    key=one.key,
                    holds=found.holds(nexus),
                    has_session=nexus in self._live,
                )
                for nexus, one in found.registrations.items()
            ),
        )

    # ---- sessions ----------------------------------------------------------------------------

    def session_starting(self, nexus: ItNexus, *, tsih: int) -> None:
        """A session of this nexus is about to be adopted.

        What the nexus has registered holds for its first command already.
        """
        self._live[nexus] = _Live(tsih)
        self._enforce_for(nexus)

    def session_started(self, nexus: ItNexus, session: int) -> None:
        """The data plane has adopted it, by this number."""
        self._live[nexus] = _Live(self._live[nexus].tsih, session)
        self._nexuses[session] = nexus

    def session_failed(self, nexus: ItNexus) -> None:
        """The data plane has not."""
        del self._live[nexus]
        self._enforce_for(nexus)

    def nexus_lost(self, session: int) -> None:
        """A session takes no more commands. Ends what RESERVE has reserved; registrations stay."""
        nexus = self._nexuses.get(session)
        if nexus is None:
            return
        for identity, unit in self._units.items():
            if unit.reservations.nexus_lost(nexus):
                _log("released", identity, unit, nexus, cause="the session has ended")
                self._enforce(identity, unit)

    def session_ended(self, session: int) -> None:
        """A session is over, and its TSIH may be given away."""
        self.nexus_lost(session)
        nexus = self._nexuses.pop(session, None)
        if nexus is not None:
            del self._live[nexus]
            self._enforce_for(nexus)

    def unit_reset(self, logical_unit: int) -> None:
        """A logical unit was reset."""
        found = self._logical_units.get(logical_unit)
        unit = None if found is None else self._units.get(found.identity)
        if found is None or unit is None:
            return
        holder = unit.reservations.reserved_by
        if unit.reservations.reset():
            _log("released", found.identity, unit, holder, cause="the logical unit was reset")
            self._enforce(found.identity, unit)

    def unit_added(self, identity: Identity) -> None:
        """A logical unit is reached in one more way."""
        unit = self._units.get(identity)
        if unit is not None:
            self._enforce(identity, unit)

    # ---- commands ----------------------------------------------------------------------------

    def answer(self, command: str, upcall: Upcall, logical_unit: LogicalUnit) -> None:
        """Carry out and answer a command about reservations.

        Args:
            command: its name, as `fairlead.scsi.reservation_commands.find` returns it.
            upcall: the command.
            logical_unit: what it is sent to.

        Raises:
            CheckCondition: it is to be answered with this sense; nothing has changed.
        """
        nexus = self._nexuses.get(upcall.session)
        if nexus is None:  # It has ended, and nobody waits for the answer.
            self._plane.answer(upcall.id, status=BUSY, sense=b"", data=b"")
            return
        identity = logical_unit.identity
        unit = self._units.setdefault(identity, _Unit())
        request = ReservationRequest(
            nexus, upcall.cdb, upcall.data, logical_unit.relative_target_port
        )
        try:
            outcome = reservation_commands.run(command, unit.reservations, request)
        except CheckCondition as error:
            if error.sense == INSUFFICIENT_REGISTRATION_RESOURCES and not unit.is_full_told:
                unit.is_full_told = True
                _log("full", identity, unit, nexus, cause="there is no room for more registrations")
            raise
        if outcome.event is not None:
            unit.is_full_told = unit.is_full_told and outcome.event == "registered"
            _log(outcome.event, identity, unit, nexus, cause=command)
            self._enforce(identity, unit)
            self._tell(identity, outcome)
        self._answer(upcall, outcome)

    def _tell(self, identity: Identity, outcome: Outcome) -> None:
        for attention in outcome.attentions:
            sessions = self._sessions(attention.nexuses)
            for number in self._numbers(identity):
                self._plane.raise_attention(number, attention.asc, sessions=sessions)

    def _answer(self, upcall: Upcall, outcome: Outcome) -> None:
        if outcome.attentions or outcome.aborted:
            aborted = self._sessions(outcome.aborted)
            self._plane.answer_settled(upcall.id, upcall.logical_unit, aborted=aborted)
        else:
            self._plane.answer(upcall.id, status=outcome.status, sense=b"", data=outcome.data)

    # ---- the data plane's rules --------------------------------------------------------------

    def _enforce_for(self, nexus: ItNexus) -> None:
        """Whatever depends on the session that a nexus has."""
        for identity, unit in self._units.items():
            if nexus in unit.reservations.registrations:
                self._enforce(identity, unit)

    def _enforce(self, identity: Identity, unit: _Unit) -> None:
        rule = unit.reservations.rule
        tsihs = (self._live[nexus].tsih for nexus in rule.nexuses if nexus in self._live)
        wanted = AccessRule(
            permits=rule.permits,
            nexuses=tuple(sorted(tsihs)),
            ends_with_session=rule.ends_with_session,
        )
        for number in self._numbers(identity):
            self._plane.set_access_rule(number, wanted)

    def _numbers(self, identity: Identity) -> list[int]:
        return [number for number, unit in self._logical_units.items() if unit.identity == identity]

    def _sessions(self, nexuses: Iterable[ItNexus]) -> list[int]:
        """A nexus without a session hears POWER ON in its next one, which is more."""
        live = (self._live.get(nexus) for nexus in nexuses)
        return sorted(one.session for one in live if one is not None and one.session)


def _log(event: str, identity: Identity, unit: _Unit, nexus: ItNexus | None, *, cause: str) -> None:
    held = unit.reservations.persistent
    name = ".".join(("reservation", event))
    log.info(
        name,
        serial=identity.unit_serial,
        initiator=nexus,
        type="-" if held is None else held.type.name.lower(),
        registrations=len(unit.reservations.registrations),
        cause=cause,
    )
