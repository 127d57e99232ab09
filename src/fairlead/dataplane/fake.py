"""A data plane that keeps books and moves no data, for tests of the control plane.

It takes what a real one takes, refuses what a real one refuses, and ends sessions when told to;
tests add what the world would do: `emit` an event, `book` what clients did, `hold` the end of
sessions.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fairlead.dataplane.api import (
    ContextInfo,
    ContextReleased,
    DeviceInfo,
    LatencyUs,
    LunMapping,
    SessionEnded,
    SessionInfo,
    VolumeInfo,
)
from fairlead.dataplane.kernel import KernelContextInfo, KernelProbe
from fairlead.dataplane.reservation import AccessRule, NexusLost
from fairlead.errors import DataPlaneError
from fairlead.scsi.cdb import Access

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fairlead.dataplane.api import EngineOptions, Event, VolumeSpec
    from fairlead.dataplane.kernel import KernelContext
    from fairlead.dataplane.pass_through import PassThroughSpec
    from fairlead.proto.iscsi.session import SessionParameters
    from fairlead.sched.settings import Settings
    from fairlead.scsi.sense import Asc, Sense

_NO_TIME = LatencyUs(p50=0.0, p99=0.0, mean=0.0)
_PLAIN = KernelContextInfo(
    state="plain", ring_requests=0, plain_requests=0, keeper=None, reason=None
)


@dataclass(slots=True)
class AdoptedSession:
    """What `adopt_iscsi` was given. ``sock`` is the connection, still open."""

    parameters: SessionParameters
    luns: tuple[LunMapping, ...]
    report_luns: bytes
    peer: str
    unread: bytes
    sock: socket.socket
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What `answer` was given."""

    status: int
    sense: bytes
    data: bytes


@dataclass(slots=True)
class _Volume:
    spec: VolumeSpec
    fault: str | None = None
    logical_units: set[int] = field(default_factory=set)


class FakeProbe:
    """Stands in for `fairlead.dataplane.kernel_probe.probe_kernel`; all works but what is said.

    ``asked`` has the directory and whether polled rings were wanted, of each call.
    """

    def __init__(self, **reasons: str) -> None:
        self.answer = KernelProbe(**reasons)
        self.asked: list[tuple[str | None, bool]] = []

    def __call__(self, cgroup: str | None, *, is_polled: bool) -> KernelProbe:
        """Answer as told."""
        self.asked.append((cgroup, is_polled))
        return self.answer


class FakeDataPlane:
    """Books only. Single-threaded, except that any thread may call it.

    Attributes:
        options: what it was opened with.
        adopted: live sessions by number.
        pages: pages by logical unit.
        answers: answers by upcall.
        settings: of each context that `set_context` was called for.
        drained_s: the argument of `stop`, once stopped.
        pass_through: how commands go to SCSI devices, by volume.
        elevator_sees: what `set_elevator_sees` was told, by device.
        rules: by logical unit.
        attentions: logical unit, code and session of each that `raise_attention` was to raise.
        aborted: sessions of `answer_settled`, by upcall.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.adopted: dict[int, AdoptedSession] = {}
        self.pages: dict[int, dict[bytes, bytes | Sense]] = {}
        self.answers: dict[int, Answer] = {}
        self.text_answers: dict[int, tuple[bytes, int | None]] = {}
        self.settings: dict[tuple[int, int], Settings] = {}
        self.drained_s: float | None = None
        self.elevator_sees: dict[str, bool] = {}
        self.rules: dict[int, AccessRule] = {}
        self.attentions: list[tuple[int, Asc, int]] = []
        self.aborted: dict[int, tuple[int, ...]] = {}
        self._accounts: dict[tuple[str, str], dict[str, Any]] = {}
        self._indexes: dict[tuple[str, str], int] = {}
        self.pass_through: dict[str, PassThroughSpec] = {}
        self._volumes: dict[int, _Volume] = {}
        self._events: list[Event] = []
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_holding = False
        self._last_number = 0
        self._refusal: str | None = None

    # What tests do.

    def hold(self) -> None:
        """From now on sessions that are told to end do not, as on a device that stalls."""
        self._is_holding = True

    def let_go(self) -> None:
        """End what was held."""
        self._is_holding = False
        for number, session in list(self.adopted.items()):
            if session.is_ending:
                self._finish(number, "ended by the target")

    def refuse(self, reason: str | None) -> None:
        """From now on refuse volumes and sessions for this reason; None accepts them again."""
        self._refusal = reason

    def disconnect(self, session: int) -> None:
        """End a session as if its initiator had gone."""
        self._finish(session, "connection closed by the initiator")

    def emit(self, event: Event) -> None:
        """Report an event."""
        self._events.append(event)
        os.eventfd_write(self._event_fd, 1)

    def book(self, key: str, device: str, **accounts: Any) -> None:
        """Let a context have these accounts, fields of `ContextInfo`, from now on."""
        self._accounts.setdefault((key, device), {}).update(accounts)

    def close(self) -> None:
        """Give back the event descriptor; nothing works afterwards."""
        os.close(self._event_fd)

    # What a data plane does.

    @property
    def event_fd(self) -> int:
        """See `DataPlane.event_fd`."""
        return self._event_fd

    def report(self) -> dict[str, Any]:
        """See `DataPlane.report`."""
        return {"driver": "fake", "submitters": self.options.submitters or 1}

    def take_events(self) -> list[Event]:
        """See `DataPlane.take_events`."""
        if self._events:
            os.eventfd_read(self._event_fd)
        events, self._events = self._events, []
        return events

    def add_volume(self, spec: VolumeSpec) -> int:
        """See `DataPlane.add_volume`. One path is served once."""
        self._check_refusal()
        paths = {volume.spec.path for volume in self._volumes.values()}
        if spec.path is not None and spec.path in paths:
            raise DataPlaneError(f"{spec.path} is served already")
        kernel = self._kernel_contexts().get(spec.device, spec.kernel_context)
        if (spec.kind in ("sg", "iscsi")) != (spec.pass_through is not None):
            raise DataPlaneError(f"{spec.kind} volumes and rules do not go together")
        if not spec.meets_elevators and spec.kernel_context != "off":
            raise DataPlaneError(f"{spec.kind} volumes have kernel context off")
        if spec.meets_elevators and kernel != spec.kernel_context:
            raise DataPlaneError(f"{spec.device} has kernel context {kernel} already")
        number = self._number()
        self._volumes[number] = _Volume(spec)
        if spec.pass_through is not None:
            self.pass_through[spec.name] = spec.pass_through
        return number

    def remove_volume(self, volume: int) -> None:
        """See `DataPlane.remove_volume`."""
        found = self._volume(volume)
        used = {lun.logical_unit for session in self.adopted.values() for lun in session.luns}
        if used & found.logical_units:
            raise DataPlaneError(f"volume {found.spec.name} is in use")
        del self._volumes[volume]
        for logical_unit in found.logical_units:
            del self.pages[logical_unit]
            self.rules.pop(logical_unit, None)

    def clear_fault(self, volume: int) -> None:
        """See `DataPlane.clear_fault`."""
        self._volume(volume).fault = None

    def add_logical_unit(self, *, volume: int, pages: Mapping[bytes, bytes | Sense]) -> int:
        """See `DataPlane.add_logical_unit`."""
        found = self._volume(volume)
        number = self._number()
        found.logical_units.add(number)
        self.pages[number] = dict(pages)
        return number

    def set_pages(self, logical_unit: int, pages: Mapping[bytes, bytes | Sense]) -> None:
        """See `DataPlane.set_pages`."""
        self._check_unit(logical_unit)
        self.pages[logical_unit] = dict(pages)

    def set_access_rule(self, logical_unit: int, rule: AccessRule) -> None:
        """See `DataPlane.set_access_rule`."""
        self._check_unit(logical_unit)
        for volume in self._volumes.values():
            if logical_unit in volume.logical_units:
                self.rules.update(dict.fromkeys(volume.logical_units, rule))

    def raise_attention(
        self,
        logical_unit: int,
        asc: Asc,
        *,
        sessions: Sequence[int] | None = None,
        except_session: int = 0,
    ) -> None:
        """See `DataPlane.raise_attention`."""
        self._check_unit(logical_unit)
        for number, adopted in self.adopted.items():
            is_meant = number != except_session if sessions is None else number in sessions
            if is_meant and any(lun.logical_unit == logical_unit for lun in adopted.luns):
                self.attentions.append((logical_unit, asc, number))

    def answer_settled(self, upcall: int, logical_unit: int, *, aborted: Sequence[int]) -> None:
        """See `DataPlane.answer_settled`."""
        self._check_unit(logical_unit)
        self.aborted[upcall] = tuple(aborted)
        self.answer(upcall, status=0, sense=b"", data=b"")

    def adopt_iscsi(
        self,
        fd: int,
        session: SessionParameters,
        luns: Sequence[LunMapping],
        *,
        report_luns: bytes,
        peer: str,
        unread: bytes,
    ) -> int:
        """See `DataPlane.adopt_iscsi`."""
        sock = socket.socket(fileno=fd)
        try:
            self._check_refusal()
        except DataPlaneError:
            sock.close()
            raise
        number = self._number()
        self.adopted[number] = AdoptedSession(session, tuple(luns), report_luns, peer, unread, sock)
        return number

    def end_session(self, session: int) -> None:
        """See `DataPlane.end_session`."""
        if session in self.adopted:
            self.adopted[session].is_ending = True
            if not self._is_holding:
                self._finish(session, "ended by the target")

    def answer(self, upcall: int, *, status: int, sense: bytes, data: bytes) -> None:
        """See `DataPlane.answer`."""
        self.answers[upcall] = Answer(status, sense, data)

    def answer_text(
        self, text: int, *, data: bytes, peer_max_recv_data_segment_bytes: int | None
    ) -> None:
        """See `DataPlane.answer_text`."""
        self.text_answers[text] = (data, peer_max_recv_data_segment_bytes)

    def sessions(self) -> list[SessionInfo]:
        """See `DataPlane.sessions`."""
        return [
            SessionInfo(
                session=number,
                initiator_name=session.parameters.initiator_name,
                target_name=session.parameters.target_name,
                isid=session.parameters.isid,
                tsih=session.parameters.tsih,
                peer=session.peer,
                state="ending" if session.is_ending else "active",
                commands=0,
                bytes_read=0,
                bytes_written=0,
                in_flight=0,
            )
            for number, session in self.adopted.items()
        ]

    def contexts(self) -> list[ContextInfo]:
        """See `DataPlane.contexts`. One for each (key, device) of the live sessions."""
        counts: dict[tuple[str, str], int] = {}
        for session in self.adopted.values():
            for name in self._context_names(session):
                counts[name] = counts.get(name, 0) + 1
        return [self._context(*name, sessions=count) for name, count in counts.items()]

    def set_context(self, index: int, generation: int, settings: Settings) -> None:
        """See `DataPlane.set_context`."""
        if (index, generation) not in {(c.index, c.generation) for c in self.contexts()}:
            raise DataPlaneError(f"there is no context {index}")
        self.settings[index, generation] = settings

    def volumes(self) -> list[VolumeInfo]:
        """See `DataPlane.volumes`."""
        return [
            VolumeInfo(
                volume=number,
                name=volume.spec.name,
                kind=volume.spec.kind,
                path=volume.spec.path,
                size_bytes=volume.spec.size_bytes,
                device=volume.spec.device,
                thin=volume.spec.thin,
                may_block="nothing",
                fault=volume.fault,
            )
            for number, volume in self._volumes.items()
        ]

    def set_elevator_sees(self, device: str, sees: bool) -> None:
        """See `DataPlane.set_elevator_sees`."""
        self.elevator_sees[device] = sees

    def devices(self) -> list[DeviceInfo]:
        """See `DataPlane.devices`."""
        names = dict.fromkeys(volume.spec.device for volume in self._volumes.values())
        return [
            DeviceInfo(name=name, is_measured=name in self.options.costs, write_factor=1.0)
            for name in names
        ]

    def stop(self, *, drain_s: float) -> None:
        """See `DataPlane.stop`."""
        if self.drained_s is None:
            self.drained_s = drain_s
            for number in list(self.adopted):
                self._finish(number, "the target stops")
            self._volumes.clear()

    def _finish(self, number: int, reason: str) -> None:
        session = self.adopted.pop(number)
        session.sock.close()
        self.emit(NexusLost(session=number))
        self._drop_rules(session.parameters.tsih)
        live = {(context.key, context.device) for context in self.contexts()}
        for key, device in sorted(self._context_names(session) - live):
            self.emit(ContextReleased(context=self._context(key, device, sessions=0)))
        self.emit(SessionEnded(session=number, reason=reason, peer=session.peer))

    def _context(self, key: str, device: str, *, sessions: int) -> ContextInfo:
        index = self._indexes.setdefault((key, device), len(self._indexes))
        accounts = self._accounts.get((key, device), {})
        info = _context(index, key, device, sessions=sessions)
        if self._kernel_contexts().get(device) == "ring":
            info = replace(info, kernel=_PLAIN)
        return replace(info, **accounts)

    def _kernel_contexts(self) -> dict[str, KernelContext]:
        specs = [volume.spec for volume in self._volumes.values()]
        return {spec.device: spec.kernel_context for spec in specs if spec.meets_elevators}

    def _context_names(self, session: AdoptedSession) -> set[tuple[str, str]]:
        devices = {
            logical_unit: volume.spec.device
            for volume in self._volumes.values()
            for logical_unit in volume.logical_units
        }
        return {(lun.context, devices[lun.logical_unit]) for lun in session.luns}

    def _volume(self, number: int) -> _Volume:
        if number not in self._volumes:
            raise DataPlaneError(f"no volume {number}")
        return self._volumes[number]

    def _check_unit(self, logical_unit: int) -> None:
        if logical_unit not in self.pages:
            raise DataPlaneError(f"no logical unit {logical_unit}")

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _drop_rules(self, tsih: int) -> None:
        for logical_unit, rule in list(self.rules.items()):
            if rule.ends_with_session and rule.nexuses == (tsih,):
                self.rules[logical_unit] = AccessRule(permits=Access.EVERYTHING)

    def _check_refusal(self) -> None:
        if self._refusal is not None:
            raise DataPlaneError(self._refusal)


def _context(index: int, key: str, device: str, *, sessions: int) -> ContextInfo:
    return ContextInfo(
        index=index,
        generation=0,
        key=key,
        device=device,
        state="active",
        sessions=sessions,
        commands_read=0,
        commands_write=0,
        commands_other=0,
        bytes_read=0,
        bytes_written=0,
        in_flight=0,
        queue_time_us=_NO_TIME,
        service_time_us=_NO_TIME,
        response_time_us=_NO_TIME,
        submitted=0,
        completed=0,
        cost_ns=0,
        entered=0,
        left=0,
    )
