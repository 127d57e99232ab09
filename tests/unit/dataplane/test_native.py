"""What the adapter makes of the extension's dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fairlead.dataplane import native
from fairlead.dataplane.api import ContextReleased, EngineOptions, VolumeSpec

if TYPE_CHECKING:
    from fairlead.dataplane.kernel import KernelContext

STEERED = {
    "steered": 7,
    "rings": 0,
    "keeper": None,
    "is_kept": False,
    "is_ending": False,
    "reason": None,
}


class Extension:
    """Stands in for the extension's data plane, with one context that the test makes up."""

    def __init__(self, **_: object) -> None:
        self.kernel: dict[str, Any] | None = None

    def add_volume(self, _fields: dict[str, Any]) -> int:
        return 1

    def contexts(self) -> list[dict[str, Any]]:
        time = (0.0, 0.0, 0.0)
        counted = ("index", "generation", "sessions", "in_flight", "cost_ns", "entered", "left")
        commands = ("commands_read", "commands_write", "commands_other")
        moved = ("bytes_read", "bytes_written", "completed")
        fields: dict[str, Any] = dict.fromkeys((*counted, *commands, *moved), 0)
        names = ("queue_time_us", "service_time_us", "response_time_us")
        return [
            fields
            | {"key": "a", "device": "sda", "state": "active", "submitted": 10}
            | dict.fromkeys(names, time)
            | {"kernel": self.kernel}
        ]

    def take_events(self) -> list[dict[str, Any]]:
        return [{"kind": "context_released", "context": self.contexts()[0]}]


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> native.NativeDataPlane:
    monkeypatch.setattr("fairlead._dataplane.DataPlane", Extension)
    return native.NativeDataPlane(EngineOptions(commands=()))


def serve(plane: native.NativeDataPlane, kernel_context: KernelContext, device: str) -> None:
    spec = VolumeSpec(
        name=device,
        kind="direct",
        path=f"/dev/{device}",
        size_bytes=1 << 20,
        logical_block_bytes=512,
        physical_block_bytes=4096,
        read_only=False,
        thin=False,
        write_through=False,
        device=device,
        kernel_context=kernel_context,
    )
    assert plane.add_volume(spec) == 1


def extension(plane: native.NativeDataPlane) -> Extension:
    found: Any = plane._plane
    assert isinstance(found, Extension)
    return found


@pytest.mark.parametrize(
    "mode", ["off", "priority", "experimental-move-cgroup", "experimental-set-ioprio"]
)
def test_requests_that_are_steered_by_something_else_have_no_ring(
    plane: native.NativeDataPlane, mode: KernelContext
) -> None:
    serve(plane, mode, "sda")
    serve(plane, "ring", "sdb")
    extension(plane).kernel = STEERED
    assert plane.contexts()[0].kernel is None


def test_where_contexts_have_rings_the_record_is_told(plane: native.NativeDataPlane) -> None:
    serve(plane, "ring", "sda")
    [context] = plane.contexts()
    assert context.kernel is not None
    assert (context.kernel.state, context.kernel.plain_requests) == ("plain", 10)
    extension(plane).kernel = STEERED | {"rings": 1, "keeper": 4, "is_kept": True}
    [context] = plane.contexts()
    assert context.kernel is not None
    assert (context.kernel.state, context.kernel.keeper) == ("ring", 4)
    assert (context.kernel.ring_requests, context.kernel.plain_requests) == (7, 3)


def test_what_went_by_a_ring_is_known_after_the_end(plane: native.NativeDataPlane) -> None:
    serve(plane, "ring", "sda")
    extension(plane).kernel = STEERED
    [event] = plane.take_events()
    assert isinstance(event, ContextReleased)
    assert event.context.kernel is not None
    assert event.context.kernel.ring_requests == 7
