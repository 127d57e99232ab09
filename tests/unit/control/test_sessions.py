from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from fairlead.control.sessions import LiveSession, NexusKey, Place, SessionTable
from fairlead.dataplane.api import EngineOptions
from fairlead.dataplane.fake import FakeDataPlane
from fairlead.errors import LoginError
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.session import SessionParameters

PARAMETERS = SessionParameters(
    initiator_name="iqn.2020-01.org.example:0",
    target_name="t",
    isid=bytes(6),
    tsih=1,
    cid=0,
    exp_cmd_sn=1,
    stat_sn=1,
    max_recv_data_segment_bytes=8192,
    peer_max_recv_data_segment_bytes=8192,
    max_burst_bytes=8192,
    first_burst_bytes=8192,
    initial_r2t=True,
    immediate_data=True,
    max_outstanding_r2t=1,
    header_digest=False,
    data_digest=False,
    auth_user=None,
)


class SilentPlane(FakeDataPlane):
    """Remembers which sessions were told to end; the test says when they do."""

    def __init__(self) -> None:
        super().__init__(EngineOptions(commands=()))
        self.told: list[int] = []
        self.was_told = asyncio.Event()

    @override
    def end_session(self, session: int) -> None:
        self.told.append(session)
        self.was_told.set()


class Table:
    def __init__(self, *, sessions_max: int = 10, timeout_s: float = 30.0) -> None:
        self.plane = SilentPlane()
        self.plane.close()
        self.table = SessionTable(
            self.plane, sessions_max=sessions_max, reinstatement_timeout_s=timeout_s
        )
        self.last = 0

    def start(self, place: Place) -> int:
        self.last += 1
        self.table.started(
            LiveSession(
                session=self.last,
                place=place,
                peer="p",
                parameters=PARAMETERS,
                target_addresses=(),
                contexts=(),
            )
        )
        return self.last

    async def log_in(self, nexus: NexusKey, tsih: int = 0) -> tuple[int, int]:
        async with self.table.place(nexus, tsih=tsih) as place:
            return self.start(place), place.tsih


def nexus(number: int = 0, isid: int = 1) -> NexusKey:
    return f"iqn.2020-01.org.example:{number}", bytes([0x80, 0, 0, 0, 0, isid]), "t"


async def refused(table: Table, key: NexusKey, tsih: int = 0) -> LoginStatus:
    with pytest.raises(LoginError) as caught:
        await table.log_in(key, tsih)
    return LoginStatus(caught.value.status)


async def test_every_session_has_a_tsih_of_its_own() -> None:
    table = Table()
    tsihs = [(await table.log_in(nexus(number)))[1] for number in range(5)]
    assert tsihs == [1, 2, 3, 4, 5]
    # Several sessions of one initiator differ in their ISID.
    assert await table.log_in(nexus(0, isid=2)) == (6, 6)
    assert len(table.table) == 6


async def test_tsihs_are_not_used_again_soon_and_wrap_past_those_in_use() -> None:
    table = Table()
    await table.log_in(nexus(0))
    session, tsih = await table.log_in(nexus(1))
    table.table.ended(session)
    assert (await table.log_in(nexus(2)))[1] == tsih + 1
    table.table._last_tsih = 0xFFFF
    assert (await table.log_in(nexus(3)))[1] == 2  # 1 is in use, 0 means "new session".


async def test_the_limit_of_sessions_is_out_of_resources() -> None:
    table = Table(sessions_max=2)
    await table.log_in(nexus(0))
    session, _ = await table.log_in(nexus(1))
    assert await refused(table, nexus(2)) is LoginStatus.OUT_OF_RESOURCES
    table.table.ended(session)
    await table.log_in(nexus(2))


async def test_a_login_that_fails_gives_its_place_back() -> None:
    table = Table(sessions_max=1)
    for _ in range(3):
        with pytest.raises(OSError, match="gone"):
            async with table.table.place(nexus(), tsih=0):
                raise OSError("gone")
    await table.log_in(nexus())


async def test_reinstatement_waits_until_the_old_session_has_ended() -> None:
    table = Table()
    old, old_tsih = await table.log_in(nexus())
    job = asyncio.create_task(table.log_in(nexus()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert table.plane.told == [old]
    assert not job.done()
    table.table.ended(old)
    new, new_tsih = await job
    assert new_tsih != old_tsih
    assert table.table.find(old) is None
    assert table.table.find(new) is not None


async def test_reinstatement_that_takes_too_long_is_refused_and_can_be_tried_again() -> None:
    table = Table(timeout_s=0.01)
    old, _ = await table.log_in(nexus())
    assert await refused(table, nexus()) is LoginStatus.SERVICE_UNAVAILABLE
    assert table.table.find(old) is not None
    table.table.ended(old)
    await table.log_in(nexus())
    assert len(table.table) == 1


async def test_logins_of_one_nexus_take_turns() -> None:
    """Two at once must not both think that they replace the same session."""
    table = Table()
    order: list[str] = []
    inside = asyncio.Event()
    go_on = asyncio.Event()

    async def first() -> None:
        async with table.table.place(nexus(), tsih=0) as place:
            inside.set()
            await go_on.wait()
            order.append("first")
            table.start(place)

    async def second() -> None:
        async with table.table.place(nexus(), tsih=0) as place:
            order.append("second")
            table.start(place)

    jobs = [asyncio.create_task(first())]
    await inside.wait()
    jobs.append(asyncio.create_task(second()))
    await asyncio.sleep(0)
    assert order == []
    go_on.set()
    await jobs[0]
    async with asyncio.timeout(5):
        await table.plane.was_told.wait()
    table.table.ended(1)
    await jobs[1]
    assert order == ["first", "second"]
    assert not table.table._turns


async def test_an_existing_tsih_is_answered_by_what_it_names() -> None:
    table = Table()
    _, tsih = await table.log_in(nexus())
    assert await refused(table, nexus(), tsih) is LoginStatus.TOO_MANY_CONNECTIONS
    assert await refused(table, nexus(), tsih + 1) is LoginStatus.SESSION_DOES_NOT_EXIST
    assert await refused(table, nexus(1), tsih) is LoginStatus.SESSION_DOES_NOT_EXIST


async def test_a_session_that_ends_at_once_leaves_nothing() -> None:
    table = Table()
    async with table.table.place(nexus(), tsih=0) as place:
        session = table.start(place)
        table.table.ended(session)
        other = table.table._reserve(nexus(1))
    assert table.table._places == {other.tsih: other}
    assert table.table.ended(session) is None


async def test_a_cancelled_wait_leaves_nothing() -> None:
    table = Table()
    await table.log_in(nexus())
    job = asyncio.create_task(table.log_in(nexus()))
    await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not table.table._turns
    assert len(table.table._places) == 1
