"""Drives a simulated device by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.devices.interface import DeviceParameters
    from fairlead.sched.cost import Operation


def run_device(
    parameters: DeviceParameters, requests: Sequence[tuple[int, Operation, int, int]]
) -> list[int]:
    """Returns when each request is done.

    Args:
        parameters: the device.
        requests: (time in ns, operation, offset in bytes, length in bytes), by time.
    """
    device = parameters.build()
    done: dict[int, int] = {}

    def complete_until(time_ns: int | None) -> None:
        while (next_ns := device.next_completion_ns()) is not None:
            if time_ns is not None and next_ns > time_ns:
                return
            token = device.complete()
            if token is not None:
                done[token] = next_ns

    for token, (time_ns, operation, offset_bytes, length_bytes) in enumerate(requests):
        complete_until(time_ns)
        device.submit(token, operation, offset_bytes, length_bytes, time_ns)
    complete_until(None)
    return [done[token] for token in range(len(requests))]
