"""The data plane's scheduler behind the interface of its specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead import _dataplane
from fairlead.sched.reference import Request

if TYPE_CHECKING:
    from fairlead.sched.reference import Device
    from fairlead.sched.settings import Settings


class EngineScheduler:
    """`fairlead.sched.reference.Scheduler`, as the data plane runs it."""

    def __init__(self, device: Device, *, clock: int = 0) -> None:
        """Start with an idle device and no contexts.

        Args:
            device: as the specification takes it.
            clock: where its virtual time stands, 0..2^64 - 1. It comes round after months; from
                just before that on, a test sees it.
        """
        self._fair = _dataplane.FairScheduler(
            device.window_ns,
            device.cost_max_ns,
            device.small_ns,
            device.reserve_ns,
            device.place_ns,
            clock,
        )

    def set(self, context: int, settings: Settings, now: int) -> None:
        """See `Scheduler.set`."""
        self._fair.set(context, settings, now)

    def set_window(self, window_ns: int) -> None:
        """See `Scheduler.set_window`."""
        self._fair.set_window(window_ns)

    def push(self, request: Request, now: int) -> bool:
        """See `Scheduler.push`."""
        return self._fair.push(*_fields(request), now)

    def bypass(self, request: Request, now: int) -> bool:
        """Push and pick a request at once; False: something waits, or it may not go now."""
        return self._fair.bypass(*_fields(request), now)

    def next(self, now: int) -> Request | None:
        """See `Scheduler.next`."""
        found = self._fair.next(now)
        if found is None:
            return None
        context, token, cost_ns, length_bytes = found
        return Request(context=context, token=token, cost_ns=cost_ns, length_bytes=length_bytes)

    def complete(self, cost_ns: int) -> None:
        """See `Scheduler.complete`."""
        self._fair.complete(cost_ns)

    def remove(self, context: int, token: int, now: int) -> bool:
        """See `Scheduler.remove`."""
        return self._fair.remove(context, token, now)

    def close(self, context: int) -> list[int]:
        """See `Scheduler.close`."""
        return self._fair.close(context)

    def wake_at(self) -> int | None:
        """See `Scheduler.wake_at`."""
        return self._fair.wake_at()


def _fields(request: Request) -> tuple[int, int, int, int]:
    return request.context, request.token, request.cost_ns, request.length_bytes
