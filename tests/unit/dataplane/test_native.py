"""What the adapter makes of the extension's dictionaries."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.dataplane import native
from fairlead.dataplane.api import ContextReleased, EngineOptions, VolumeSpec
from fairlead.dataplane.pass_through import INITIATOR_NAME, PassThroughSpec, open_link
from fairlead.errors import DataPlaneError
from fairlead.scsi.pass_through import Rule, Treatment

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
        self.given: dict[str, Any] = {}
        self.trouble: str | None = None

    def add_volume(self, fields: dict[str, Any]) -> int:
        self.given = fields
        if self.trouble is not None:
            raise RuntimeError(self.trouble)
        return 1

    def volumes(self) -> list[dict[str, Any]]:
        fields = ("name", "kind", "path", "size_bytes", "device", "thin")
        told = {name: self.given[name] for name in fields}
        return [told | {"volume": 1, "may_block": "nothing", "fault": None}]

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


SHOWN = "iscsi://bob@host:3260/iqn.2026-01.example:disk/0"
WHOLE = "iscsi://bob%s3cret@host:3260/iqn.2026-01.example:disk/0"
LUN = VolumeSpec(
    name="v",
    kind="iscsi",
    path=SHOWN,
    size_bytes=0,
    logical_block_bytes=512,
    physical_block_bytes=512,
    read_only=False,
    thin=False,
    write_through=False,
    device="disk/0",
    pass_through=PassThroughSpec(
        rules=(Rule(0x12, None, Treatment.PAGE, is_harmless=True),),
        timeout_ns=1,
        transfer_bytes_max=4096,
        commands_max=2,
        url=WHOLE,
    ),
)


def test_a_scsi_device_crosses_as_plain_data(plane: native.NativeDataPlane) -> None:
    plane.add_volume(LUN)
    given = extension(plane).given
    rule = {
        "opcode": 0x12,
        "service_action": None,
        "treatment": "PAGE",
        "is_harmless": True,
        "attention": None,
        "access": None,
    }
    assert given["pass_through"] == {
        "rules": [rule],
        "timeout_ns": 1,
        "transfer_bytes_max": 4096,
        "commands_max": 2,
        "initiator_name": INITIATOR_NAME,
    }
    assert type(given["pass_through"]["rules"][0]["treatment"]) is str
    assert (given["kind"], given["path"]) == ("iscsi", WHOLE)
    serve(plane, "off", "sda")
    assert extension(plane).given["pass_through"] is None


def test_a_password_goes_down_and_does_not_come_back(plane: native.NativeDataPlane) -> None:
    plane.add_volume(LUN)
    assert [volume.path for volume in plane.volumes()] == [SHOWN]
    extension(plane).trouble = f"{WHOLE} is not there"
    with pytest.raises(DataPlaneError) as caught:
        plane.add_volume(LUN)
    assert str(caught.value) == "iscsi://bob@host:3260/iqn.2026-01.example:disk/0 is not there"
    assert "s3cret" not in repr(LUN)


class ExtensionLink:
    """Stands in for the extension's link."""

    def __init__(self, kind: str, path: str, _initiator_name: str) -> None:
        if kind == "iscsi":
            raise OSError(errno.ECONNREFUSED, f"no way to {path}")

    def execute(self, cdb: bytes, data_in_bytes: int, timeout_s: float) -> dict[str, Any]:
        assert (data_in_bytes, timeout_s) == (36, 1.5)
        return {"status": 2, "sense": b"s", "data": cdb, "failure": None}

    def about(self) -> dict[str, str]:
        return {"interface": "made up"}


def test_a_link_asks_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead._dataplane.PassThroughLink", ExtensionLink, raising=False)
    link = open_link("sg", "/dev/sg3", "iqn.2026-01.example:us")
    answer = link.execute(b"cdb", data_in_bytes=36, timeout_s=1.5)
    assert (answer.status, answer.sense, answer.data, answer.failure) == (2, b"s", b"cdb", None)
    assert link.about() == {"interface": "made up"}
    with pytest.raises(OSError, match="no way to") as caught:
        open_link("iscsi", WHOLE, "iqn.2026-01.example:us")
    assert (caught.value.errno, caught.value.strerror) == (errno.ECONNREFUSED, f"no way to {SHOWN}")
