"""What every data plane does for reservations: the one in Rust and the one that keeps books."""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fairlead.dataplane.api import EngineOptions, LunMapping, SessionEnded, VolumeSpec
from fairlead.dataplane.fake import FakeDataPlane
from fairlead.dataplane.native import open_data_plane
from fairlead.dataplane.reservation import AccessRule, NexusLost
from fairlead.errors import DataPlaneError
from fairlead.sched.settings import Settings
from fairlead.scsi.cdb import Access
from fairlead.scsi.commands import COMMANDS
from fairlead.scsi.sense import Asc
from tests.unit.control.test_sessions import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fairlead.dataplane.api import DataPlane, Event
    from fairlead.proto.iscsi.session import SessionParameters

PATIENCE_S = 20
VOLUME = VolumeSpec(
    name="v",
    kind="memory",
    path=None,
    size_bytes=1 << 20,
    logical_block_bytes=512,
    physical_block_bytes=512,
    read_only=False,
    thin=False,
    write_through=False,
    device="memory",
)
RULE = AccessRule(permits=Access.NOTHING, nexuses=(1,), ends_with_session=True)


@pytest.fixture(params=["native", "fake"])
def plane(request: pytest.FixtureRequest) -> Iterator[DataPlane]:
    options = EngineOptions(commands=COMMANDS, submitters=1)
    plane = open_data_plane(options) if request.param == "native" else FakeDataPlane(options)
    yield plane
    plane.stop(drain_s=5)


@pytest.fixture
def unit(plane: DataPlane) -> int:
    return plane.add_logical_unit(volume=plane.add_volume(VOLUME), pages={})


def adopt(plane: DataPlane, unit: int, parameters: SessionParameters) -> socket.socket:
    """A session of this unit; the initiator's end."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        initiator = socket.create_connection(server.getsockname())
        target, _ = server.accept()
    target.setblocking(False)
    lun = LunMapping(lun=0, logical_unit=unit, context="a", settings=Settings(), read_only=False)
    plane.adopt_iscsi(
        target.detach(), parameters, [lun], report_luns=bytes(16), peer="", unread=b""
    )
    return initiator


def events_until_end(plane: DataPlane) -> list[Event]:
    found: list[Event] = []
    while not any(isinstance(event, SessionEnded) for event in found):
        ready, _, _ = select.select([plane.event_fd], [], [], PATIENCE_S)
        assert ready, f"no end within {PATIENCE_S} s: {found}"
        found += plane.take_events()
    return found


def test_unknown_units_are_refused(plane: DataPlane, unit: int) -> None:
    plane.set_access_rule(unit, RULE)
    plane.raise_attention(unit, Asc.RESERVATIONS_PREEMPTED, sessions=[1, 2])
    plane.raise_attention(unit, Asc.RESERVATIONS_PREEMPTED, except_session=1)
    plane.answer_settled(77, unit, aborted=[1])  # An upcall that there is not.
    calls: list[Callable[[], None]] = [
        lambda: plane.set_access_rule(unit + 77, RULE),
        lambda: plane.raise_attention(unit + 77, Asc.RESERVATIONS_RELEASED),
        lambda: plane.answer_settled(1, unit + 77, aborted=[]),
    ]
    for call in calls:
        with pytest.raises(DataPlaneError, match=str(unit + 77)):
            call()


def test_a_session_is_lost_before_it_is_over(plane: DataPlane, unit: int) -> None:
    initiator = adopt(plane, unit, replace(PARAMETERS, tsih=1))
    plane.set_access_rule(unit, RULE)
    [session] = (info.session for info in plane.sessions())
    plane.end_session(session)
    events = events_until_end(plane)
    kinds = [type(event) for event in events]
    assert kinds.index(NexusLost) < kinds.index(SessionEnded)
    assert NexusLost(session=session) in events
    initiator.close()
