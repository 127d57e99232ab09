"""What the control plane asks of a data plane, and what it hears from it.

Only plain data crosses: integers, bytes, descriptors and the frozen dataclasses of this file. No
Python callable is ever stored on the other side, so the data plane goes on when Python stands
still. Every call may be made from any thread; those that may wait say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from fairlead.dataplane.kernel import KernelOptions
from fairlead.dataplane.reservation import NexusLost, ReservationPlane, UnitReset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fairlead.dataplane.kernel import KernelContext, KernelContextInfo
    from fairlead.dataplane.pass_through import PassThroughSpec
    from fairlead.devices.interface import DeviceParameters
    from fairlead.proto.iscsi.session import SessionParameters
    from fairlead.sched.device_cost import DeviceCost
    from fairlead.sched.settings import Settings
    from fairlead.scsi.cdb import Command
    from fairlead.scsi.sense import Sense

VolumeKind: TypeAlias = Literal["file", "direct", "null", "memory", "sim", "sg", "iscsi"]
MayBlock: TypeAlias = Literal["nothing", "stable writes", "writes", "everything"]
Driver: TypeAlias = Literal["auto", "io_uring", "threads"]
SchedulerKind: TypeAlias = Literal["fair", "fifo"]
Pool: TypeAlias = Literal["shared", "per_device", "per_context"]
ContextState: TypeAlias = Literal["active", "closing", "released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a data plane is set up. Fixed for its life.

    Attributes:
        commands: the SCSI command table, `fairlead.scsi.commands.COMMANDS`.
        pages_without_logical_unit: answers for a LUN that nothing is mapped to,
            `fairlead.scsi.pages.render_without_logical_unit`.
        driver: how I/O is submitted. ``auto`` takes io_uring where a probe finds it usable.
        submitters: threads of the global pool; None lets the data plane choose.
        pool: who shares submitters and contexts: everybody, each device, or each context.
        memory_limit_bytes: for all buffers together.
        queue_depth: commands that one session may have outstanding, 1..1024.
        nop_interval_s: an idle session is asked for a sign of life after this time; 0 never.
        nop_timeout_s: without that sign for this time the session ends.
        scheduler: ``fair``: everybody by their shares; ``fifo``: first come, first served.
        costs: what requests past the page cache cost the devices that somebody has measured, by
            the device's name. What is answered from memory costs the submitter's time.
        stall_s: a device that has not answered for this time is reported.
        kernel: for volumes whose `VolumeSpec.kernel_context` is not ``off``.
    """

    commands: tuple[Command, ...]
    pages_without_logical_unit: Mapping[bytes, bytes] = field(default_factory=dict)
    driver: Driver = "auto"
    submitters: int | None = None
    pool: Pool = "shared"
    scheduler: SchedulerKind = "fair"
    costs: Mapping[str, DeviceCost] = field(default_factory=dict)
    memory_limit_bytes: int = 512 << 20
    queue_depth: int = 128
    nop_interval_s: float = 15.0
    nop_timeout_s: float = 15.0
    stall_s: float = 30.0
    kernel: KernelOptions = field(default_factory=KernelOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """What the data plane opens. Found out and checked by `fairlead.control.volumes`.

    Attributes:
        name: the operator's name, unique in the process.
        kind: what is behind it.
        path: file or device for ``file`` and ``direct``, sg node for ``sg``, URL without password
            for ``iscsi``, otherwise None.
        size_bytes: served size, a multiple of ``logical_block_bytes``. What a SCSI device has said,
            for people; 0 where it has said nothing.
        logical_block_bytes: 512 or 4096; of a SCSI device, what it has said, or 512.
        physical_block_bytes: a power of two, at least ``logical_block_bytes``.
        read_only: opened without write access.
        thin: UNMAP deallocates.
        write_through: a write is answered when it is on stable storage.
        device: the backing device, the second half of every context's key.
        simulated: the device that a ``sim`` volume is as slow as, otherwise None.
        kernel_context: what the kernel sees of contexts; the same for all volumes of a device that
            have a path, and ``off`` for the others, SCSI devices included.
        pass_through: for ``sg`` and ``iscsi``, otherwise None.
    """

    name: str
    kind: VolumeKind
    path: str | None
    size_bytes: int
    logical_block_bytes: int
    physical_block_bytes: int
    read_only: bool
    thin: bool
    write_through: bool
    device: str
    simulated: DeviceParameters | None = None
    kernel_context: KernelContext = "off"
    pass_through: PassThroughSpec | None = None

    @property
    def meets_elevators(self) -> bool:
        """Whether its requests go where the kernel could tell contexts apart."""
        return self.path is not None and self.pass_through is None


@dataclass(frozen=True, slots=True, kw_only=True)
class LunMapping:
    """One logical unit as one session sees it.

    Attributes:
        lun: number, 0..255.
        logical_unit: what `DataPlane.add_logical_unit` returned.
        context: grouping key; with the volume's device it names the I/O context.
        settings: what a new context of that name is due.
        read_only: this session may not write.
    """

    lun: int
    logical_unit: int
    context: str
    settings: Settings
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyUs:
    """A distribution of times, in microseconds."""

    p50: float
    p99: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextInfo:
    """The accounts of one I/O context. Counters only grow.

    ``index`` and ``generation`` name it, see `DataPlane.set_context`.
    ``queue_time_us`` is from the arrival of a command (with its data) to its submission,
    ``service_time_us`` from there to its completion, ``response_time_us`` from the arrival of a
    command to its answer. ``cost_ns`` is the device's time that its requests took, as it was
    estimated when they were queued: what shares are counted in. ``entered`` and ``left`` are
    equal whenever no submitter is inside. ``kernel`` is None where the device's kernel context is
    not ``ring``.
    """

    index: int
    generation: int
    key: str
    device: str
    state: ContextState
    sessions: int
    commands_read: int
    commands_write: int
    commands_other: int
    bytes_read: int
    bytes_written: int
    in_flight: int
    queue_time_us: LatencyUs
    service_time_us: LatencyUs
    response_time_us: LatencyUs
    submitted: int
    completed: int
    cost_ns: int
    entered: int
    left: int
    kernel: KernelContextInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """One iSCSI session in full-feature phase. ``session`` is the data plane's number for it."""

    session: int
    initiator_name: str
    target_name: str
    isid: bytes
    tsih: int
    peer: str
    state: Literal["active", "ending"]
    commands: int
    bytes_read: int
    bytes_written: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """One open volume.

    ``thin``: UNMAP deallocates, as found when it was opened. ``may_block``: which of its requests
    would make a submitter wait and so get a thread beside it, as its file system says.
    ``size_bytes`` is 0 for a SCSI device without capacity. A URL in ``path`` has no password.
    ``fault`` is why it refuses writes and flushes, None while it does not.
    """

    volume: int
    name: str
    kind: VolumeKind
    path: str | None
    size_bytes: int
    device: str
    thin: bool
    may_block: MayBlock
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A backing device of one or more volumes, and what is known of its costs.

    ``is_measured``: `EngineOptions.costs` has it. ``write_factor``: how many times what was said
    writes really cost it beside reads, as seen while clients competed for it, 1/8..8; 1 until then.
    """

    name: str
    is_measured: bool
    write_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """A session is over: its connection is closed and its last I/O has completed."""

    session: int
    reason: str
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextReleased:
    """A context is gone: no session is attached and nothing is in flight. Its last accounts."""

    context: ContextInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcall:
    """A command that Python answers, by `DataPlane.answer` with this ``id``."""

    id: int
    session: int
    logical_unit: int
    lun: int
    cdb: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequested:
    """A Text Request in full-feature phase, answered by `DataPlane.answer_text` with this ``id``.

    Spec: RFC 7143 §11.10.
    """

    id: int
    session: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStalled:
    """A device has not answered for ``age_s`` seconds: so many commands of so many clients."""

    device: str
    commands: int
    clients: int
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFailed:
    """A device that carries out commands itself did not answer: it is gone, or took too long."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceResumed:
    """A device that was reported as stalled or failed answers again."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFault:
    """A flush of this volume failed: it refuses writes and flushes until cleared."""

    volume: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelContextFailed:
    """A context could not be given its ring; it goes on without.

    ``key`` and ``device`` name the context, ``reason`` is one sentence.
    """

    key: str
    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolNote:
    """A peer broke the rules in full-feature phase; it has had the protocol's answer."""

    session: int
    peer: str
    reason: str


Event: TypeAlias = (
    SessionEnded
    | NexusLost
    | UnitReset
    | ContextReleased
    | Upcall
    | TextRequested
    | DeviceStalled
    | DeviceFailed
    | DeviceResumed
    | VolumeFault
    | KernelContextFailed
    | ProtocolNote
)


class DataPlane(ReservationPlane, Protocol):
    """Moves the data: full-feature phase, I/O contexts, volumes."""

    @property
    def event_fd(self) -> int:
        """An eventfd, readable when `take_events` has something. The data plane owns it."""
        ...

    def report(self) -> dict[str, Any]:
        """What runs: driver, submitters, probed features, limits. JSON types only."""
        ...

    def take_events(self) -> list[Event]:
        """Return all events since the last call, oldest first, and reset `event_fd`."""
        ...

    def add_volume(self, spec: VolumeSpec) -> int:
        """Open and lock a volume; return its number.

        May wait: for the lock while the last I/O of a killed process lands.

        Raises:
            DataPlaneError: it cannot be opened, is served by another process, or is too small.
        """
        ...

    def remove_volume(self, volume: int) -> None:
        """Close a volume which no session uses; its logical units go with it.

        Raises:
            DataPlaneError: unknown, or still in use.
        """
        ...

    def clear_fault(self, volume: int) -> None:
        """Let a volume take writes again after a failed flush.

        Raises:
            DataPlaneError: unknown volume.
        """
        ...

    def add_logical_unit(self, *, volume: int, pages: Mapping[bytes, bytes | Sense]) -> int:
        """Make a logical unit of a volume; return its number.

        Args:
            volume: what `add_volume` returned.
            pages: `fairlead.scsi.pages.render`: page key to the whole answer, or to the sense of
                a CHECK CONDITION. A key that is absent ends with INVALID FIELD IN CDB.

        Raises:
            DataPlaneError: unknown volume.
        """
        ...

    def set_pages(self, logical_unit: int, pages: Mapping[bytes, bytes | Sense]) -> None:
        """Replace all pages of a logical unit, at once for every session.

        Raises:
            DataPlaneError: unknown logical unit.
        """
        ...

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
        """Take over a logged-in connection; return the session's number.

        The data plane owns ``fd`` from this call on, also when it raises.

        Args:
            fd: a connected, non-blocking TCP socket, detached from its Python object.
            session: negotiated keys, the next StatSN and the expected CmdSN.
            luns: what this session sees, by number.
            report_luns: the whole REPORT LUNS parameter data for this session.
            peer: ``ADDRESS:PORT``, for messages.
            unread: bytes received after the last login PDU; parsed before the socket is read.

        Raises:
            DataPlaneError: no room (memory limit), or stopping.

        Spec: RFC 7143 §6.3 (login phase), §4.2.2 (ordering and numbering).
        """
        ...

    def set_context(self, index: int, generation: int, settings: Settings) -> None:
        """Give a context its settings. They hold from its next request on; nobody is paused.

        Raises:
            DataPlaneError: there is no such context (any more).
        """
        ...

    def end_session(self, session: int) -> None:
        """Close a session. `SessionEnded` follows when its last I/O is over; never waits.

        A session that has ended already is no error: the event is on its way or was taken.
        """
        ...

    def answer(self, upcall: int, *, status: int, sense: bytes, data: bytes) -> None:
        """Answer an upcall.

        A late answer (the task was aborted or timed out with BUSY) is dropped quietly.

        Args:
            upcall: `Upcall.id`.
            status: SCSI status; 0x00 GOOD, 0x02 CHECK CONDITION.
            sense: sense data with status 0x02, otherwise empty.
            data: untruncated Data-In; the data plane cuts to the allocation length.
        """
        ...

    def answer_text(
        self, text: int, *, data: bytes, peer_max_recv_data_segment_bytes: int | None
    ) -> None:
        """Answer a Text Request.

        Args:
            text: `TextRequested.id`.
            data: key=value pairs, at most what the initiator takes in one PDU.
            peer_max_recv_data_segment_bytes: the initiator's new limit, None if unchanged.
        """
        ...

    def sessions(self) -> list[SessionInfo]:
        """Return the sessions in full-feature phase."""
        ...

    def contexts(self) -> list[ContextInfo]:
        """Return the contexts that are active or closing."""
        ...

    def volumes(self) -> list[VolumeInfo]:
        """Return the open volumes."""
        ...

    def devices(self) -> list[DeviceInfo]:
        """Return the backing devices of the volumes."""
        ...

    def set_elevator_sees(self, device: str, sees: bool) -> None:
        """Say whether the elevator of a device sees contexts that it is told of.

        Until it is said it does. While it does not, its volumes' `VolumeSpec.kernel_context` is as
        ``off``. A device that is not known is none of ours.
        """
        ...

    def stop(self, *, drain_s: float) -> None:
        """End every session, wait for what is in flight, stop all threads.

        Waits up to ``drain_s`` seconds for devices, and little more. Events of the sessions and
        contexts that ended are there to be taken afterwards. A second call does nothing.
        """
        ...
