"""From upcalls to rules of the data plane, and who is told; the data plane only keeps books."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.reservations import ReservationBook
from fairlead.control.upcall import answer_upcall
from fairlead.dataplane.api import EngineOptions, LunMapping, Upcall, VolumeSpec
from fairlead.dataplane.reservation import AccessRule
from fairlead.sched.settings import Settings
from fairlead.scsi.cdb import Access
from fairlead.scsi.reservation_parameters import ItNexus
from fairlead.scsi.reservations import REGISTRATIONS_MAX
from fairlead.scsi.sense import Asc, Sense
from tests.unit.control.test_sessions import PARAMETERS

if TYPE_CHECKING:
    from fairlead.dataplane.fake import Answer, FakeDataPlane
    from tests.unit.control.conftest import Planes

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_ANYWAY = range(7)
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 1, 3, 6
GOOD, CONFLICT = 0x00, 0x18
OPEN = AccessRule(permits=Access.EVERYTHING)
VOLUME = VolumeSpec(
    name="v",
    kind="null",
    path=None,
    size_bytes=4096,
    logical_block_bytes=512,
    physical_block_bytes=512,
    read_only=False,
    thin=False,
    write_through=False,
    device="null",
)
DISK = "S"
TARGETS = ("iqn.2020-01.org.example:t", "iqn.2020-01.org.example:u")


class Scene:
    """Two logical units of one volume, by two targets, and sessions that come and go."""

    def __init__(self, planes: Planes) -> None:
        self.plane: FakeDataPlane = planes(EngineOptions(commands=()))
        volume = self.plane.add_volume(VOLUME)
        self.book = ReservationBook(self.plane)
        self.first, self.second = (
            self.plane.add_logical_unit(volume=volume, pages={}) for _ in TARGETS
        )
        self.targets = dict(zip((self.first, self.second), TARGETS, strict=True))
        self.book.unit_added(self.first, disk=DISK)
        self.book.unit_added(self.second, disk=DISK)
        self.tsih = 0
        self.upcalls = 0

    def log_in(self, name: str, unit: int | None = None) -> int:
        """The session's number."""
        unit = self.first if unit is None else unit
        nexus = ItNexus(f"iqn.2020-01.org.example:{name}", bytes(6), self.targets[unit])
        self.tsih += 1
        self.book.session_starting(nexus, tsih=self.tsih)
        ours, theirs = socket.socketpair()
        theirs.close()
        settings = Settings()
        lun = LunMapping(lun=0, logical_unit=unit, context=name, settings=settings, read_only=False)
        session = self.plane.adopt_iscsi(
            ours.detach(),
            replace(PARAMETERS, tsih=self.tsih),
            [lun],
            report_luns=b"",
            peer="",
            unread=b"",
        )
        self.book.session_started(nexus, session)
        return session

    def log_out(self, session: int) -> None:
        self.plane.disconnect(session)
        self.book.nexus_lost(session)
        self.book.session_ended(session)

    def ask(self, session: int, cdb: bytes, data: bytes = b"", unit: int | None = None) -> Answer:
        self.upcalls += 1
        upcall = Upcall(
            id=self.upcalls,
            session=session,
            logical_unit=self.first if unit is None else unit,
            lun=0,
            cdb=cdb,
            data=data,
        )
        answer_upcall(self.plane, upcall, {}, self.book)
        return self.plane.answers[self.upcalls]

    def out(
        self,
        session: int,
        action: int,
        key: int = 0,
        new: int = 0,
        *,
        kind: int = 0,
        unit: int | None = None,
    ) -> int:
        cdb = bytes((0x5F, action, kind, 0, 0, 0, 0, 0, 24, 0))
        data = key.to_bytes(8) + new.to_bytes(8) + bytes(8)
        return self.ask(session, cdb, data, unit).status

    def register(self, *sessions: int, unit: int | None = None) -> None:
        """Each with its own number as the key."""
        for session in sessions:
            assert self.out(session, REGISTER, new=session, unit=unit) == GOOD

    def rule(self) -> AccessRule:
        assert self.plane.rules[self.first] == self.plane.rules[self.second]
        return self.plane.rules[self.first]


@pytest.fixture
def scene(planes: Planes) -> Scene:
    return Scene(planes)


def test_reserve_is_the_sessions(scene: Scene) -> None:
    first, second = scene.log_in("a"), scene.log_in("b")
    assert scene.ask(first, bytes.fromhex("16 00 00 00 00 00")).status == GOOD
    assert scene.rule() == AccessRule(permits=Access.NOTHING, nexuses=(1,), ends_with_session=True)
    assert scene.ask(second, bytes.fromhex("16 00 00 00 00 00")).status == CONFLICT
    scene.log_out(first)
    assert scene.rule() == OPEN
    assert scene.ask(second, bytes.fromhex("56" + "00" * 9)).status == GOOD
    scene.book.unit_reset(scene.second)
    assert scene.rule() == OPEN
    # Nothing is there to be reset, and nobody knows this unit.
    scene.book.unit_reset(scene.first)
    scene.book.unit_reset(77)


def test_what_comes_often_is_not_logged_as_news(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    session = scene.log_in("a")
    for cdb in ("16 00 00 00 00 00", "56" + "00" * 9, "17 00 00 00 00 00", "16 00 00 00 00 00"):
        assert scene.ask(session, bytes.fromhex(cdb)).status == GOOD
    scene.log_out(session)
    lines = [(r.levelname, r.getMessage().split()[0]) for r in caplog.records]
    often = [("DEBUG", "reservation.reserved"), ("DEBUG", "reservation.released")]
    assert [line for line in lines if line[1].startswith("reservation")] == often * 2


def test_the_rule_is_there_before_the_answer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    session = scene.log_in("a")
    scene.register(session)
    found: list[AccessRule] = []

    def answer(*_: Any, **__: Any) -> None:
        found.append(scene.rule())
        scene.plane.answers[scene.upcalls] = scene.plane.answers[1]

    monkeypatch.setattr(scene.plane, "answer", answer)
    scene.out(session, RESERVE, key=session, kind=WRITE_EXCLUSIVE)
    assert found == [AccessRule(permits=Access.READ, nexuses=(1,))]


def test_a_registration_outlives_its_session_and_holds_for_the_next(scene: Scene) -> None:
    holder, other = scene.log_in("a"), scene.log_in("b")
    scene.register(holder, other)
    scene.out(holder, RESERVE, key=holder, kind=EXCLUSIVE_ACCESS_REGISTRANTS_ONLY)
    assert scene.rule() == AccessRule(permits=Access.STATUS, nexuses=(1, 2))
    scene.log_out(holder)
    assert scene.rule().nexuses == (2,)
    # Before the data plane has the session: its first command may be there already.
    nexus = ItNexus("iqn.2020-01.org.example:a", bytes(6), TARGETS[0])
    scene.book.session_starting(nexus, tsih=9)
    assert scene.rule().nexuses == (2, 9)
    scene.book.session_failed(nexus)
    assert scene.rule().nexuses == (2,)
    again = scene.log_in("a")
    assert scene.rule().nexuses == (2, 3)
    # Its key is still the one that it was registered with.
    assert scene.out(again, RELEASE, key=holder, kind=EXCLUSIVE_ACCESS_REGISTRANTS_ONLY) == GOOD
    assert scene.rule() == OPEN


def test_one_initiator_by_two_targets_is_two_nexuses_of_one_unit(scene: Scene) -> None:
    first = scene.log_in("a")
    second = scene.log_in("a", scene.second)
    scene.register(first)
    scene.out(first, RESERVE, key=first, kind=EXCLUSIVE_ACCESS)
    assert scene.rule().nexuses == (1,)
    assert scene.out(second, RESERVE, kind=EXCLUSIVE_ACCESS, unit=scene.second) == CONFLICT
    scene.register(second, unit=scene.second)
    ports = [one.target_name for one in scene.book.info(DISK).registrations]
    assert tuple(ports) == TARGETS


def test_a_unit_that_comes_later_has_the_rule_too(scene: Scene) -> None:
    session = scene.log_in("a")
    scene.register(session)
    scene.out(session, RESERVE, key=session, kind=EXCLUSIVE_ACCESS)
    # A replica: the same identity, another volume.
    volume = scene.plane.add_volume(replace(VOLUME, name="replica"))
    number = scene.plane.add_logical_unit(volume=volume, pages={})
    scene.book.unit_added(number, disk=DISK)
    assert scene.plane.rules[number] == scene.rule() != OPEN


def test_a_preemption_is_told_to_those_it_concerns(scene: Scene) -> None:
    first, second = scene.log_in("a"), scene.log_in("b")
    third = scene.log_in("c", scene.second)
    gone = scene.log_in("d")
    scene.register(first, second, gone)
    scene.register(third, unit=scene.second)
    scene.out(first, RESERVE, key=first, kind=WRITE_EXCLUSIVE)
    scene.log_out(gone)
    assert scene.out(second, PREEMPT, key=second, new=first, kind=EXCLUSIVE_ACCESS) == GOOD
    assert scene.plane.attentions == [
        (scene.first, Asc.REGISTRATIONS_PREEMPTED, first),
        (scene.second, Asc.RESERVATIONS_RELEASED, third),
    ]
    assert scene.plane.aborted[scene.upcalls] == ()
    assert scene.rule() == AccessRule(permits=Access.STATUS, nexuses=(2,))
    scene.plane.attentions.clear()
    scene.out(second, PREEMPT_AND_ABORT, key=second, new=third)
    assert scene.plane.attentions == [(scene.second, Asc.REGISTRATIONS_PREEMPTED, third)]
    assert scene.plane.aborted[scene.upcalls] == (third,)
    scene.plane.attentions.clear()
    scene.out(second, CLEAR, key=second)
    assert scene.plane.attentions == []  # The one that was left has no session.
    assert scene.rule() == OPEN


def test_too_many_registrations_are_refused_and_logged_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for number in range(REGISTRATIONS_MAX):
        session = scene.log_in(str(number))
        scene.register(session)
        scene.log_out(session)
    late = scene.log_in("late")
    cdb = bytes((0x5F, REGISTER, 0, 0, 0, 0, 0, 0, 24, 0))
    for _ in range(3):
        answer = scene.ask(late, cdb, bytes(8) + b"\1" * 8 + bytes(8))
        assert Sense.decode(answer.sense).asc is Asc.INSUFFICIENT_REGISTRATION_RESOURCES
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("reservation.full") for line in lines) == 1
    assert lines[0] == (
        "reservation.registered disk=S initiator=iqn.2020-01.org.example:0,i,0x000000000000"
        ' type=- registrations=1 cause="PERSISTENT RESERVE OUT: REGISTER"'
    )


def test_a_command_of_a_session_that_has_ended_changes_nothing(scene: Scene) -> None:
    session = scene.log_in("a")
    scene.log_out(session)
    scene.book.nexus_lost(session)
    scene.book.session_ended(session)
    assert scene.ask(session, bytes.fromhex("16 00 00 00 00 00")).status == 0x08
    assert scene.book.info(DISK).reserved_by is None
