"""Logins over real loopback sockets; the data plane only keeps books."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from fairlead.control.target import Target
from fairlead.dataplane.api import SessionEnded
from fairlead.model.config import Config
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.pdu import LoginRequest, frame
from fairlead.testing import Chap, LoginRefused, MutualChap, connect_async, respond_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fairlead.testing import AsyncClient, LoginOptions
    from tests.unit.control.conftest import Planes

NAME = "iqn.2008-12.example.fairlead:v"
ALICE = "iqn.2020-01.org.example:alice"
BOB = "iqn.2020-01.org.example:bob"
SECRET = "twelve bytes or more"


@asynccontextmanager
async def serving(planes: Planes, **document: Any) -> AsyncIterator[Target]:
    config = Config.model_validate(
        {
            "volumes": [{"name": "v", "kind": "null", "size": "1M"}],
            "portals": ["127.0.0.1:0"],
            **document,
        }
    )
    async with Target(config, open_plane=planes) as target:
        yield target


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = (record.getMessage() for record in caplog.records)
    return [line for line in lines if line.startswith("iscsi.login.refused")]


async def log_in(target: Target, initiator: str = ALICE, **options: Any) -> AsyncClient:
    name = options.pop("target_name", NAME)
    chosen = cast("LoginOptions", options)
    return await connect_async(str(target.portals[0]), name, initiator, options=chosen)


async def refused(target: Target, initiator: str = ALICE, **options: Any) -> LoginStatus:
    with pytest.raises(LoginRefused) as caught:
        await log_in(target, initiator, **options)
    return LoginStatus(caught.value.status)


async def test_a_login_ends_in_the_data_plane(planes: Planes) -> None:
    async with serving(planes) as target, await log_in(target) as client:
        [session] = planes.plane.adopted.values()
        assert session.parameters.initiator_name == ALICE
        assert session.parameters.target_name == NAME
        assert session.parameters.tsih == 1
        assert session.peer == "{}:{}".format(*client._sock.getsockname())
        assert [(lun.lun, lun.context, lun.read_only) for lun in session.luns] == [
            (0, ALICE, False)
        ]
        assert session.report_luns[:4] == (8).to_bytes(4)
        assert session.unread == b""
        [shown] = target.sessions()
        assert (shown.initiator_name, shown.state) == (ALICE, "active")
        [context] = target.contexts()
        assert (context.key, context.device) == (ALICE, "null:v")


async def test_bytes_after_the_login_travel_with_the_connection(planes: Planes) -> None:
    """An initiator may send its first command right behind its last login request."""
    text = f"InitiatorName={ALICE}\0TargetName={NAME}\0SessionType=Normal\0".encode()
    request = LoginRequest(
        transit=True,
        csg=1,
        nsg=3,
        isid=bytes.fromhex("800000000001"),
        initiator_task_tag=1,
        cmd_sn=1,
        data=text,
    )
    async with serving(planes) as target:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", target.portals[0].port))
            await loop.sock_sendall(sock, frame(request) + b"and more")
            async with asyncio.timeout(10):
                assert len(await loop.sock_recv(sock, 48)) == 48
        [session] = planes.plane.adopted.values()
        assert session.unread == b"and more"


async def test_several_sessions_of_one_initiator_share_its_context(planes: Planes) -> None:
    async with (
        serving(planes) as target,
        await log_in(target),
        await log_in(target, isid=b"\x80\0\0\0\0\2"),
    ):
        assert [session.tsih for session in target.sessions()] == [1, 2]
        [context] = target.contexts()
        assert context.sessions == 2


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ({"grouping": "session"}, [f"{ALICE},session=1", f"{ALICE},session=2"]),
        ({"grouping": "nexus"}, [f"{ALICE},session=1,lun=0", f"{ALICE},session=2,lun=0"]),
        ({"grouping": "none"}, ["all"]),
        ({"identity": "address"}, ["127.0.0.1"]),
    ],
)
async def test_groupings_name_the_contexts(
    planes: Planes, document: dict[str, Any], keys: list[str]
) -> None:
    async with (
        serving(planes, **document) as target,
        await log_in(target),
        await log_in(target, isid=b"\x80\0\0\0\0\2"),
    ):
        assert [context.key for context in target.contexts()] == keys


async def test_invented_names_share_a_context(planes: Planes) -> None:
    async with serving(planes, limits={"contexts_per_address": 2}) as target:
        clients = [await log_in(target, f"iqn.2020-01.org.example:{i}") for i in range(4)]
        assert [context.key for context in target.contexts()] == [
            "iqn.2020-01.org.example:0",
            "iqn.2020-01.org.example:1",
            "address:127.0.0.1",
        ]
        for client in clients:
            await client.close()


async def test_reinstatement_ends_the_old_session_first(planes: Planes) -> None:
    async with serving(planes) as target, await log_in(target):
        [old] = planes.plane.adopted
        planes.plane.hold()
        job = asyncio.create_task(log_in(target))
        async with asyncio.timeout(10):
            while not planes.plane.adopted[old].is_ending:  # noqa: ASYNC110  the fake's books
                await asyncio.sleep(0)
        assert list(planes.plane.adopted) == [old]
        assert not job.done()
        planes.plane.let_go()
        async with await job:
            [new] = planes.plane.adopted.values()
            assert new.parameters.tsih == 2


async def test_reinstatement_of_a_session_that_does_not_end_is_refused(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        serving(planes, limits={"reinstatement_timeout_s": 0.01}) as target,
        await log_in(target),
    ):
        planes.plane.hold()
        assert await refused(target) is LoginStatus.SERVICE_UNAVAILABLE
        # Others are not disturbed.
        async with await log_in(target, BOB):
            pass
    [line] = refusals(caplog)
    assert "status=0x0301" in line
    assert "still has I/O that its device has not answered after 0.01 s" in line


async def test_the_limit_of_sessions_is_answered_out_of_resources(planes: Planes) -> None:
    async with serving(planes, limits={"sessions_max": 1}) as target, await log_in(target):
        assert await refused(target, BOB) is LoginStatus.OUT_OF_RESOURCES


async def test_a_session_that_has_ended_makes_room(planes: Planes) -> None:
    async with serving(planes, limits={"sessions_max": 1}) as target:
        async with await log_in(target):
            events = target.events()
            [number] = planes.plane.adopted
            planes.plane.disconnect(number)
            async with asyncio.timeout(10):
                while not isinstance(await anext(events), SessionEnded):
                    pass
        async with await log_in(target, BOB):
            pass


async def test_unknown_tsihs_are_refused(planes: Planes) -> None:
    async with serving(planes) as target, await log_in(target):
        assert await refused(target, tsih=9) is LoginStatus.SESSION_DOES_NOT_EXIST
        assert await refused(target, tsih=1, cid=1) is LoginStatus.TOO_MANY_CONNECTIONS


async def test_each_refusal_is_one_line_with_peer_and_reason(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes) as target:
        with pytest.raises(LoginRefused) as caught:
            await log_in(target, target_name="iqn.2020-01.org.example:no")
        assert caught.value.status == LoginStatus.NOT_FOUND
    [line] = refusals(caplog)
    assert line.startswith("iscsi.login.refused peer=127.0.0.1:")
    assert "status=0x0203" in line
    assert "iqn.2020-01.org.example:no" in line


async def test_access_lists_are_by_pattern(planes: Planes) -> None:
    targets = [{"luns": [{"volume": "v"}], "initiators": ["iqn.2020-01.org.example:a*"]}]
    async with serving(planes, targets=targets) as target:
        async with await log_in(target, ALICE):
            pass
        assert await refused(target, BOB) is LoginStatus.AUTHORIZATION_FAILURE


async def test_chap_both_ways(planes: Planes) -> None:
    document = {
        "chap_accounts": [
            {"user": "alice", "secret": SECRET},
            {"user": "target", "secret": SECRET[::-1]},
        ],
        "targets": [{"luns": [{"volume": "v"}], "chap": ["alice"], "mutual_chap": "target"}],
    }
    mutual = MutualChap(name="target", respond=respond_with(SECRET[::-1].encode()))
    async with serving(planes, **document) as target:
        good = Chap.from_secret("alice", SECRET.encode(), mutual=mutual)
        async with await log_in(target, chap=good):
            [session] = planes.plane.adopted.values()
            assert session.parameters.auth_user == "alice"
        wrong = Chap.from_secret("alice", b"not the secret at all")
        assert await refused(target, chap=wrong) is LoginStatus.AUTHENTICATION_FAILURE
        assert await refused(target) is LoginStatus.AUTHENTICATION_FAILURE


async def test_a_login_has_a_time_limit(planes: Planes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes, limits={"login_timeout_s": 0.02}) as target:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", target.portals[0].port))
            await loop.sock_sendall(sock, b"\x43")
            async with asyncio.timeout(10):
                assert await loop.sock_recv(sock, 1) == b""
    [line] = refusals(caplog)
    assert line.endswith('reason="no login within 0.02 s"')


async def test_a_connection_that_goes_is_one_line(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes, limits={"pending_logins_max": 1}) as target:
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", target.portals[0].port)
            writer.close()
            await writer.wait_closed()
        async with await log_in(target):
            pass
    lines = refusals(caplog)
    assert 1 <= len(lines) <= 2
    assert all("reason=" in line for line in lines)


async def test_a_flood_of_silent_connections_keeps_nobody_out(planes: Planes) -> None:
    async with serving(planes, limits={"pending_logins_max": 8}) as target:
        port = target.portals[0].port
        flood = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(64))
        )
        async with await log_in(target):
            pass
        for _, writer in flood:
            writer.close()


async def test_a_data_plane_that_is_full_closes_the_connection(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes) as target:
        planes.plane.refuse("memory_limit is reached")
        with pytest.raises(ConnectionResetError):
            await log_in(target)
        planes.plane.refuse(None)
        async with await log_in(target):
            pass
    [line] = [r.getMessage() for r in caplog.records if "session.refused" in r.getMessage()]
    assert line.endswith('reason="memory_limit is reached"')


async def test_discovery_names_the_targets_and_is_logged(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(planes) as target:
        portal = target.portals[0]
        async with await connect_async(str(portal), None, ALICE) as client:
            answer = await client.send_targets()
            await client.logout()
        assert answer == [("TargetName", NAME), ("TargetAddress", f"{portal},1")]
        assert target.sessions() == []
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("iscsi.discovery.ended") for line in lines)


async def test_discovery_that_asks_nothing_ends(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        serving(planes, limits={"discovery_timeout_s": 0.02}) as target,
        await connect_async(str(target.portals[0]), None, ALICE) as client,
    ):
        await client.wait_closed()
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.endswith('reason="no request for 0.02 s"') for line in lines)


async def test_ipv6(planes: Planes) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    async with serving(planes, portals=["[::1]:0"]) as target, await log_in(target):
        [session] = planes.plane.adopted.values()
        assert session.peer.startswith("[::1]:")
        assert target.url(NAME, lun=0) == f"iscsi://[::1]:{target.portals[0].port}/{NAME}/0"
