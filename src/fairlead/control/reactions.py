"""What follows from each event of the data plane: books, logs, answers, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.control.accounts import EndedSession
from fairlead.control.log import logger
from fairlead.control.text_request import answer_text_request
from fairlead.control.upcall import answer_upcall
from fairlead.dataplane.api import (
    ContextReleased,
    DeviceFailed,
    DeviceResumed,
    DeviceStalled,
    KernelContextFailed,
    ProtocolNote,
    SessionEnded,
    TextRequested,
    Upcall,
    VolumeFault,
)
from fairlead.dataplane.reservation import NexusLost, UnitReset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.control.accounts import AccountBook
    from fairlead.control.contexts import Contexts
    from fairlead.control.events import EventHub
    from fairlead.control.reservations import ReservationBook
    from fairlead.control.sessions import SessionTable
    from fairlead.dataplane.api import DataPlane, Event
    from fairlead.scsi.logical_unit import LogicalUnit

log = logger(__name__)


class Reactions:
    """Handles events, on the event loop's thread.

    Args:
        plane: where they come from.
        sessions: loses those that end.
        contexts: gets those of ended sessions back.
        book: keeps last accounts.
        reservations: answers the commands that are about them, and loses what ends.
        hub: is told everything but what is to be answered, and what only reservations are about.
        logical_units: by the data plane's number; read at each upcall.
        volume_names: by the data plane's number; read at each fault.
    """

    def __init__(
        self,
        *,
        plane: DataPlane,
        sessions: SessionTable,
        contexts: Contexts,
        book: AccountBook,
        reservations: ReservationBook,
        hub: EventHub,
        logical_units: Mapping[int, LogicalUnit],
        volume_names: Mapping[int, str],
    ) -> None:
        self._plane = plane
        self._sessions = sessions
        self._contexts = contexts
        self._book = book
        self._reservations = reservations
        self._hub = hub
        self._logical_units = logical_units
        self._volume_names = volume_names
        self._without_ring: set[tuple[str, str]] = set()

    def handle(self, event: Event) -> None:
        """Act on one event, then tell whoever listens."""
        if isinstance(event, Upcall):
            answer_upcall(self._plane, event, self._logical_units, self._reservations)
            return
        if isinstance(event, NexusLost):
            self._reservations.nexus_lost(event.session)
            return
        if isinstance(event, UnitReset):
            self._reservations.unit_reset(event.logical_unit)
            return
        if isinstance(event, TextRequested):
            answer_text_request(self._plane, event, self._sessions.find(event.session))
            return
        if isinstance(event, SessionEnded):
            self._session_ended(event)
        elif isinstance(event, ContextReleased):
            self._book.context_released(event.context)
            self._without_ring.discard((event.context.key, event.context.device))
        elif isinstance(event, KernelContextFailed):
            self._log_failed_ring(event)
        else:
            self._log_notice(event)
        self._hub.publish(event)

    def _session_ended(self, event: SessionEnded) -> None:
        self._reservations.session_ended(event.session)
        live = self._sessions.ended(event.session)
        if live is None:
            return
        for held in live.contexts:
            self._contexts.leave(held)
        initiator_name, _, target_name = live.place.nexus
        self._book.session_ended(
            EndedSession(
                initiator_name=initiator_name,
                target_name=target_name,
                tsih=live.place.tsih,
                peer=live.peer,
                auth_user=live.parameters.auth_user,
                reason=event.reason,
            )
        )
        log.info(
            "iscsi.session.ended",
            peer=live.peer,
            initiator=initiator_name,
            target=target_name,
            session=event.session,
            reason=event.reason,
        )

    def _log_failed_ring(self, event: KernelContextFailed) -> None:
        """Once for each context: what is in the way of one try is in the way of the next."""
        name = (event.key, event.device)
        if name not in self._without_ring:
            self._without_ring.add(name)
            log.warning(
                "kernel_context.failed",
                context=event.key,
                device=event.device,
                reason=event.reason,
            )

    def _log_notice(
        self, event: DeviceStalled | DeviceFailed | DeviceResumed | VolumeFault | ProtocolNote
    ) -> None:
        if isinstance(event, DeviceStalled):
            log.warning("device.stalled", device=event.device, reason=describe_stall(event))
        elif isinstance(event, DeviceFailed):
            log.warning("device.failed", device=event.device, reason=event.reason)
        elif isinstance(event, DeviceResumed):
            log.info("device.resumed", device=event.device)
        elif isinstance(event, VolumeFault):
            name = self._volume_names.get(event.volume, str(event.volume))
            log.error("volume.faulted", volume=name, reason=event.reason)
        else:
            log.info("iscsi.protocol", peer=event.peer, session=event.session, reason=event.reason)


def describe_stall(event: DeviceStalled) -> str:
    """Return the line for the operator: ``vda: 12 commands of 3 clients unanswered for 31 s``."""
    commands = "1 command" if event.commands == 1 else f"{event.commands} commands"
    clients = "1 client" if event.clients == 1 else f"{event.clients} clients"
    return f"{event.device}: {commands} of {clients} unanswered for {event.age_s:.0f} s"
