"""The data plane in Rust behind the interface of `fairlead.dataplane.api`.

The only importer of `fairlead._dataplane`. Converts between its plain dictionaries and the
dataclasses of the interface, and nothing else.
"""

from __future__ import annotations

import os
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, Final

from fairlead import _dataplane
from fairlead.dataplane.api import (
    ContextInfo,
    ContextReleased,
    DeviceFailed,
    DeviceInfo,
    DeviceResumed,
    DeviceStalled,
    KernelContextFailed,
    LatencyUs,
    ProtocolNote,
    SessionEnded,
    SessionInfo,
    TextRequested,
    Upcall,
    VolumeFault,
    VolumeInfo,
)
from fairlead.dataplane.kernel import KernelProbe
from fairlead.dataplane.kernel_record import KernelRecord, kernel_context_info
from fairlead.dataplane.pass_through import LinkAnswer
from fairlead.dataplane.reservation import NexusLost, UnitReset
from fairlead.errors import DataPlaneError
from fairlead.model.iscsi_url import without_password
from fairlead.scsi.commands import data_plane_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from fairlead.dataplane.api import (
        DataPlane,
        EngineOptions,
        Event,
        LunMapping,
        VolumeSpec,
    )
    from fairlead.dataplane.pass_through import LinkKind
    from fairlead.dataplane.reservation import AccessRule
    from fairlead.proto.iscsi.session import SessionParameters
    from fairlead.sched.settings import Settings
    from fairlead.scsi.sense import Asc, Sense

# A second submitter pays off only where it has a processor to itself; see bench/README.md.
SUBMITTERS_MAX: Final = 4


def default_submitters() -> int:
    """One for each processor this process may use, at most `SUBMITTERS_MAX`."""
    return max(1, min(len(os.sched_getaffinity(0)), SUBMITTERS_MAX))


def open_data_plane(options: EngineOptions) -> DataPlane:
    """Start the data plane.

    Raises:
        DataPlaneError: the driver asked for is not to be had, or a thread or memory is not.
    """
    return NativeDataPlane(options)


def probe_kernel_context(cgroup: str | None, *, is_polled: bool) -> KernelProbe:
    """Return what works; see `fairlead.dataplane.kernel_probe.ProbeKernel`."""
    return KernelProbe(**_dataplane.probe_kernel_context(cgroup, is_polled=is_polled))


class NativeDataPlane:
    """`DataPlane` over the extension."""

    def __init__(self, options: EngineOptions) -> None:
        self._queue_depth = options.queue_depth
        self._ringed: set[str] = set()
        try:
            self._plane = _dataplane.DataPlane(
                driver=options.driver,
                submitters=options.submitters or default_submitters(),
                pool=options.pool,
                commands=data_plane_rows(options.commands),
                pages_without_unit=_pages(options.pages_without_logical_unit),
                options={
                    "nop_interval_s": options.nop_interval_s,
                    "nop_timeout_s": options.nop_timeout_s,
                    "stall_s": options.stall_s,
                    "queue_depth": options.queue_depth,
                    "memory_limit_bytes": options.memory_limit_bytes,
                    "scheduler": options.scheduler,
                    "costs": dict(options.costs),
                    "kernel": asdict(options.kernel),
                },
            )
        except OSError as error:
            raise DataPlaneError(f"the data plane cannot start: {error}") from None

    @property
    def event_fd(self) -> int:
        """See `DataPlane.event_fd`."""
        return self._plane.event_fd

    def report(self) -> dict[str, Any]:
        """See `DataPlane.report`."""
        return self._plane.report()

    def take_events(self) -> list[Event]:
        """See `DataPlane.take_events`."""
        return [_event(**event, ringed=self._ringed) for event in self._plane.take_events()]

    def add_volume(self, spec: VolumeSpec) -> int:
        """See `DataPlane.add_volume`."""
        simulated = None if spec.simulated is None else spec.simulated.plain()
        plain: dict[str, Any] = {"simulated": simulated}
        passed = spec.pass_through
        if passed is not None:
            plain |= {"pass_through": passed.plain(), "path": passed.url or spec.path}
        try:
            # Only the outermost: what is inside has a plain form of its own.
            number = self._plane.add_volume(_fields(spec) | plain)
        except RuntimeError as error:
            raise DataPlaneError(without_password(str(error))) from None
        if spec.kernel_context == "ring":
            self._ringed.add(spec.device)
        return number

    def remove_volume(self, volume: int) -> None:
        """See `DataPlane.remove_volume`."""
        _checked(self._plane.remove_volume, volume)

    def clear_fault(self, volume: int) -> None:
        """See `DataPlane.clear_fault`."""
        _checked(self._plane.clear_fault, volume)

    def add_logical_unit(self, *, volume: int, pages: Mapping[bytes, bytes | Sense]) -> int:
        """See `DataPlane.add_logical_unit`."""
        try:
            return self._plane.add_logical_unit(volume, _pages(pages))
        except RuntimeError as error:
            raise DataPlaneError(str(error)) from None

    def set_pages(self, logical_unit: int, pages: Mapping[bytes, bytes | Sense]) -> None:
        """See `DataPlane.set_pages`."""
        _checked(self._plane.set_pages, logical_unit, _pages(pages))

    def set_access_rule(self, logical_unit: int, rule: AccessRule) -> None:
        """See `DataPlane.set_access_rule`."""
        _checked(self._plane.set_access_rule, logical_unit, rule)

    def raise_attention(
        self,
        logical_unit: int,
        asc: Asc,
        *,
        sessions: Sequence[int] | None = None,
        except_session: int = 0,
    ) -> None:
        """See `DataPlane.raise_attention`."""
        code, qualifier = asc.value
        whom = None if sessions is None else list(sessions)
        _checked(
            self._plane.raise_attention, logical_unit, code << 8 | qualifier, whom, except_session
        )

    def answer_settled(self, upcall: int, logical_unit: int, *, aborted: Sequence[int]) -> None:
        """See `DataPlane.answer_settled`."""
        _checked(self._plane.answer_settled, upcall, logical_unit, list(aborted))

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
        extra = {"queue_depth": self._queue_depth, "peer": peer, "report_luns": report_luns}
        try:
            return self._plane.adopt_iscsi(
                fd, {**asdict(session), **extra, "unread": unread}, list(luns)
            )
        except RuntimeError as error:
            raise DataPlaneError(str(error)) from None

    def set_context(self, index: int, generation: int, settings: Settings) -> None:
        """See `DataPlane.set_context`."""
        _checked(self._plane.set_context, index, generation, settings)

    def end_session(self, session: int) -> None:
        """See `DataPlane.end_session`."""
        self._plane.end_session(session)

    def answer(self, upcall: int, *, status: int, sense: bytes, data: bytes) -> None:
        """See `DataPlane.answer`."""
        self._plane.answer(upcall, status=status, sense=sense, data=data)

    def answer_text(
        self, text: int, *, data: bytes, peer_max_recv_data_segment_bytes: int | None
    ) -> None:
        """See `DataPlane.answer_text`."""
        self._plane.answer(
            text, status=0, sense=b"", data=data, peer_max_recv=peer_max_recv_data_segment_bytes
        )

    def sessions(self) -> list[SessionInfo]:
        """See `DataPlane.sessions`."""
        return [SessionInfo(**session) for session in self._plane.sessions()]

    def contexts(self) -> list[ContextInfo]:
        """See `DataPlane.contexts`."""
        return [_context(context, self._ringed) for context in self._plane.contexts()]

    def volumes(self) -> list[VolumeInfo]:
        """See `DataPlane.volumes`."""
        volumes = [VolumeInfo(**volume) for volume in self._plane.volumes()]
        return [
            replace(volume, path=without_password(volume.path)) if volume.path else volume
            for volume in volumes
        ]

    def devices(self) -> list[DeviceInfo]:
        """See `DataPlane.devices`."""
        return [DeviceInfo(**device) for device in self._plane.devices()]

    def set_elevator_sees(self, device: str, sees: bool) -> None:
        """See `DataPlane.set_elevator_sees`."""
        self._plane.set_elevator_sees(device, sees)

    def stop(self, *, drain_s: float) -> None:
        """See `DataPlane.stop`."""
        self._plane.stop(drain_s)


class NativeLink:
    """`fairlead.dataplane.pass_through.Link` over the extension."""

    def __init__(self, kind: LinkKind, path: str, initiator_name: str) -> None:
        try:
            self._link = _dataplane.PassThroughLink(kind, path, initiator_name)
        except OSError as error:
            # The message is about the path, which may hold a password.
            message = without_password(error.strerror or str(error))
            raise OSError(error.errno or 0, message) from None

    def execute(self, cdb: bytes, *, data_in_bytes: int, timeout_s: float) -> LinkAnswer:
        """See `Link.execute`."""
        return LinkAnswer(**self._link.execute(cdb, data_in_bytes, timeout_s))

    def about(self) -> dict[str, str]:
        """See `Link.about`."""
        return self._link.about()


def _fields(spec: VolumeSpec) -> dict[str, Any]:
    return {field.name: getattr(spec, field.name) for field in fields(spec)}


def _checked(call: Callable[..., None], *arguments: object) -> None:
    try:
        call(*arguments)
    except RuntimeError as error:
        raise DataPlaneError(str(error)) from None


def _pages(pages: Mapping[bytes, bytes | Sense]) -> dict[bytes, bytes | tuple[bytes]]:
    return {
        key: page if isinstance(page, bytes) else (page.encode_fixed(),)
        for key, page in pages.items()
    }


def _context(fields: dict[str, Any], ringed: Collection[str]) -> ContextInfo:
    times = ("queue_time_us", "service_time_us", "response_time_us")
    latencies = {
        name: LatencyUs(p50=p50, p99=p99, mean=mean)
        for name, (p50, p99, mean) in ((name, fields[name]) for name in times)
    }
    kernel = None
    if fields["device"] in ringed:
        record = KernelRecord(**(fields["kernel"] or {}))
        kernel = kernel_context_info(record, submitted=fields["submitted"])
    return ContextInfo(**{**fields, **latencies, "kernel": kernel})


def _event(kind: str, *, ringed: Collection[str], **fields: Any) -> Event:
    if kind == "context_released":
        return ContextReleased(context=_context(fields["context"], ringed))
    return _EVENTS[kind](**fields)


_EVENTS: Final[dict[str, Callable[..., Event]]] = {
    "session_ended": SessionEnded,
    "nexus_lost": NexusLost,
    "unit_reset": UnitReset,
    "upcall": Upcall,
    "text": TextRequested,
    "device_stalled": DeviceStalled,
    "device_failed": DeviceFailed,
    "device_resumed": DeviceResumed,
    "volume_fault": VolumeFault,
    "kernel_context_failed": KernelContextFailed,
    "protocol_note": ProtocolNote,
}
