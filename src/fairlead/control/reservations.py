"""Reservations of all logical units: from upcalls to rules of the data plane.

What holds whom off is `fairlead.scsi.reservations`; here is which sessions I_T nexuses have now.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairlead.control.log import logger
from fairlead.dataplane.reservation import AccessRule
from fairlead.errors import CheckCondition
from fairlead.scsi import reservation_commands
from fairlead.scsi.reservation_commands import ReservationRequest
from fairlead.scsi.reservations import INSUFFICIENT_REGISTRATION_RESOURCES, Reservations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fairlead.dataplane.api import DataPlane, Upcall
    from fairlead.scsi.reservation_parameters import ItNexus
    from fairlead.scsi.reservations import Outcome

BUSY = 0x08
_OFTEN = frozenset({"RESERVE (6)", "RESERVE (10)", "RELEASE (6)", "RELEASE (10)"})

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Live:
    """The session that a nexus has now. ``session`` is 0 until the data plane has adopted it."""

    tsih: int
    session: int = 0


@dataclass(slots=True)
class _Disk:
    """One logical unit; ``ways`` has the data plane's numbers, one for each target."""

    name: str
    ways: set[int] = field(default_factory=set)
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

    What initiators take for one disk is one here: the same ``disk`` in every call about it.

    Args:
        plane: enforces the rules.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._disks: dict[str, _Disk] = {}
        self._by_number: dict[int, _Disk] = {}
        self._live: dict[ItNexus, _Live] = {}
        self._nexuses: dict[int, ItNexus] = {}

    def unit_added(self, number: int, *, disk: str) -> None:
        """A disk is reached by a logical unit of the data plane, or by one more.

        Args:
            number: the data plane's.
            disk: what it is recognised by, and called in the log.
        """
        found = self._by_number[number] = self._disks.setdefault(disk, _Disk(disk))
        found.ways.add(number)
        self._enforce(found)

    def info(self, disk: str) -> ReservationInfo:
        """Return the reservations of a disk as they are now."""
        found = self._disks.get(disk, _Disk(disk)).reservations
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
        for disk in self._disks.values():
            if disk.reservations.nexus_lost(nexus):
                _log("released", disk, nexus, cause="the session has ended", level=logging.DEBUG)
                self._enforce(disk)

    def session_ended(self, session: int) -> None:
        """A session is over, and its TSIH may be given away."""
        self.nexus_lost(session)
        nexus = self._nexuses.pop(session, None)
        if nexus is not None:
            del self._live[nexus]
            self._enforce_for(nexus)

    def unit_reset(self, logical_unit: int) -> None:
        """A logical unit was reset."""
        disk = self._by_number.get(logical_unit)
        if disk is None:
            return
        holder = disk.reservations.reserved_by
        if disk.reservations.reset():
            cause = "the logical unit was reset"
            _log("released", disk, holder, cause=cause, level=logging.DEBUG)
            self._enforce(disk)

    # ---- commands ----------------------------------------------------------------------------

    def answer(self, command: str, upcall: Upcall) -> None:
        """Carry out and answer a command about reservations.

        Args:
            command: its name, as `fairlead.scsi.reservation_commands.find` returns it.
            upcall: the command.

        Raises:
            CheckCondition: it is to be answered with this sense; nothing has changed.
        """
        nexus = self._nexuses.get(upcall.session)
        disk = self._by_number.get(upcall.logical_unit)
        if nexus is None or disk is None:  # It has ended, and nobody waits for the answer.
            self._plane.answer(upcall.id, status=BUSY, sense=b"", data=b"")
            return
        request = ReservationRequest(nexus, upcall.cdb, upcall.data)
        try:
            outcome = reservation_commands.run(command, disk.reservations, request)
        except CheckCondition as error:
            if error.sense == INSUFFICIENT_REGISTRATION_RESOURCES and not disk.is_full_told:
                disk.is_full_told = True
                _log("full", disk, nexus, cause="there is no room for more registrations")
            raise
        if outcome.event is not None:
            disk.is_full_told = disk.is_full_told and outcome.event == "registered"
            # RESERVE and RELEASE come as often as an initiator likes.
            level = logging.DEBUG if command in _OFTEN else logging.INFO
            _log(outcome.event, disk, nexus, cause=command, level=level)
            self._enforce(disk)
            self._tell(disk, outcome)
        self._answer(upcall, outcome)

    def _tell(self, disk: _Disk, outcome: Outcome) -> None:
        for attention in outcome.attentions:
            sessions = self._sessions(attention.nexuses)
            for number in sorted(disk.ways):
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
        for disk in self._disks.values():
            if nexus in disk.reservations.registrations:
                self._enforce(disk)

    def _enforce(self, disk: _Disk) -> None:
        rule = disk.reservations.rule
        tsihs = (self._live[nexus].tsih for nexus in rule.nexuses if nexus in self._live)
        wanted = AccessRule(
            permits=rule.permits,
            nexuses=tuple(sorted(tsihs)),
            ends_with_session=rule.ends_with_session,
        )
        for number in disk.ways:
            self._plane.set_access_rule(number, wanted)

    def _sessions(self, nexuses: Iterable[ItNexus]) -> list[int]:
        """A nexus without a session hears POWER ON in its next one, which is more."""
        live = (self._live.get(nexus) for nexus in nexuses)
        return sorted(one.session for one in live if one is not None and one.session)


def _log(
    event: str, disk: _Disk, nexus: ItNexus | None, *, cause: str, level: int = logging.INFO
) -> None:
    held = disk.reservations.persistent
    name = ".".join(("reservation", event))
    log.log(
        level,
        name,
        disk=disk.name,
        initiator=nexus,
        type="-" if held is None else held.type.name.lower(),
        registrations=len(disk.reservations.registrations),
        cause=cause,
    )
