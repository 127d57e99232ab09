"""Takes events from the data plane and tells everybody who listens."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeAlias
from weakref import WeakSet

from fairlead.control.log import logger
from fairlead.dataplane.api import (
    ContextReleased,
    DeviceFailed,
    DeviceResumed,
    DeviceStalled,
    KernelContextFailed,
    ProtocolNote,
    SessionEnded,
    VolumeFault,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.dataplane.api import DataPlane, Event

# A listener that does not listen holds at most this many events.
QUEUE_EVENTS_MAX: Final = 1024

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """An initiator has logged in. ``session`` is the number that `SessionEnded` will name."""

    session: int
    initiator_name: str
    target_name: str
    peer: str
    auth_user: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsLost:
    """The listener was too slow: this many older events are missing here."""

    count: int


TargetEvent: TypeAlias = (
    SessionStarted
    | SessionEnded
    | ContextReleased
    | DeviceStalled
    | DeviceFailed
    | DeviceResumed
    | VolumeFault
    | KernelContextFailed
    | ProtocolNote
    | EventsLost
)


class EventStream:
    """What happens from its making on: ``async for event in stream``. Dropping it ends it."""

    def __init__(self, *, queue_events_max: int, is_closed: bool) -> None:
        self._wake = asyncio.Event()
        self._events: deque[TargetEvent] = deque(maxlen=queue_events_max)
        self._lost = 0
        self._is_closed = is_closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TargetEvent:
        while not self._events:
            if self._is_closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return EventsLost(count=lost)
        return self._events.popleft()

    def put(self, event: TargetEvent) -> None:
        """Add an event; a full queue loses its oldest."""
        self._lost += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._wake.set()

    def close(self) -> None:
        """End the iteration after what is queued."""
        self._is_closed = True
        self._wake.set()


class EventHub:
    """Gives every listener every event, in order, through a bounded queue of its own."""

    def __init__(self, *, queue_events_max: int = QUEUE_EVENTS_MAX) -> None:
        self._queue_events_max = queue_events_max
        self._streams: WeakSet[EventStream] = WeakSet()
        self._is_closed = False

    def publish(self, event: TargetEvent) -> None:
        """Give an event to every listener."""
        for stream in self._streams:
            stream.put(event)

    def close(self) -> None:
        """End every stream, also those still to be made."""
        self._is_closed = True
        for stream in self._streams:
            stream.close()

    def listen(self) -> EventStream:
        """Return the events from now on, until `close`."""
        stream = EventStream(queue_events_max=self._queue_events_max, is_closed=self._is_closed)
        self._streams.add(stream)
        return stream


class EventPump:
    """Calls back for each event of the data plane, on the event loop's thread."""

    def __init__(self, plane: DataPlane, handle: Callable[[Event], None]) -> None:
        self._plane = plane
        self._handle = handle
        self._fd = plane.event_fd
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to listen."""
        self._loop.add_reader(self._fd, self.drain)

    def stop(self) -> None:
        """Stop listening. `drain` still works."""
        self._loop.remove_reader(self._fd)

    def drain(self) -> None:
        """Handle everything there is, now."""
        for event in self._plane.take_events():
            try:
                self._handle(event)
            except Exception:
                # A bug of ours in one event must not lose the others: they end sessions.
                log.exception("event.failed", kind=type(event).__name__)
