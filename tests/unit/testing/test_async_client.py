"""The asyncio client over a loopback socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from typing_extensions import override

from fairlead.proto.iscsi.pdu import LogoutRequest, NopIn, NopOut
from fairlead.testing import cdb
from fairlead.testing.async_client import AsyncClient, connect_async
from fairlead.testing.initiator import State
from fairlead.testing.outcome import ConnectionClosed, TargetViolation, TaskAborted
from tests.support.core_server import Mute, serving
from tests.support.ram_target import RamTarget
from tests.support.scripted_target import INITIATOR, TARGET

SHORT_S = 0.05  # for what is not going to happen


async def log_in(portal: str, **keys: Any) -> AsyncClient:
    return await connect_async(portal, TARGET, INITIATOR, timeout_s=10, **keys)


async def test_write_and_read_back() -> None:
    data = bytes(range(256)) * 64
    with serving(RamTarget()) as portal:
        async with await log_in(portal, MaxBurstLength="4096") as client:
            assert (await client.test_unit_ready()).is_good
            assert (await client.write_10(3, data)).is_good
            assert (await client.read_10(3, 32)).data == data


async def test_many_outstanding() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal) as client:
            tags = [
                client.submit(0, cdb.rw_10(0x2A, lba, 1), bytes((lba,)) * 512) for lba in range(64)
            ]
            assert all([(await client.wait(tag)).is_good for tag in reversed(tags)])
            results = await asyncio.gather(*(client.read_10(lba, 1) for lba in range(64)))
            assert [result.data[0] for result in results] == list(range(64))


async def test_several_clients() -> None:
    targets = [RamTarget() for _ in range(8)]
    with serving(*targets) as portal:
        clients = await asyncio.gather(*(log_in(portal) for _ in targets))
        await asyncio.gather(*(client.write_10(0, b"x" * 512) for client in clients))
        for client in clients:
            await client.close()
    assert [target.disk[:512] for target in targets] == [b"x" * 512] * 8


async def test_other_requests() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal) as client:
            assert (await client.ping(b"abc")).data == b"abc"
            assert await client.text(X="1") == {"X": "NotUnderstood"}
            assert await client.send_targets() == [("SendTargets", "NotUnderstood")]
            assert (await client.logout()).response == 0
            await client.wait_closed()
            assert client.initiator.state is State.CLOSED


async def test_a_byte_at_a_time() -> None:
    target = RamTarget()
    with serving(target) as portal:
        async with await log_in(portal) as client:
            client.send_chunk_bytes = 1
            assert (await client.write_10(0, b"x" * 512)).is_good
    assert target.disk[:512] == b"x" * 512


async def test_a_client_that_stops_reading() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal) as client:
            client.pause_reading()
            await client.ping()  # the read that was under way
            tag = client.submit(0, bytes(6))
            client.timeout_s = SHORT_S
            with pytest.raises(TimeoutError):
                await client.wait(tag)
            client.timeout_s = 10
            client.resume_reading()
            assert (await client.wait(tag)).is_good


async def test_any_pdu_and_its_notice() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal) as client:
            client.send(NopOut(initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1, data=b"raw"))
            notice = await client.wait_notice()
            assert isinstance(notice, NopIn)
            assert (notice.data, client.notices) == (b"raw", [])


async def test_connection_that_ends_ends_the_requests() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal, ImmediateData="No") as client:
            client.initiator.hold_data_out = True
            tag = client.submit(0, cdb.rw_10(0x2A, 0, 1), b"x" * 512)
            client.send(LogoutRequest(reason=0, initiator_task_tag=0x500, cmd_sn=2, exp_stat_sn=1))
            with pytest.raises(ConnectionClosed, match="the target closed the connection"):
                await client.wait(tag)


async def test_close_ends_the_requests() -> None:
    with serving(RamTarget()) as portal:
        client = await log_in(portal, ImmediateData="No")
        client.initiator.hold_data_out = True
        waiting = asyncio.create_task(client.write_10(0, b"x" * 512))
        await client.ping()
        await client.close()
        with pytest.raises(ConnectionClosed):
            await waiting


async def test_violation_fails_who_waits_and_who_comes_later() -> None:
    with serving(Mischief()) as portal:
        async with await log_in(portal) as client:
            with pytest.raises(TargetViolation, match="not outstanding"):
                await client.test_unit_ready()
            with pytest.raises(TargetViolation, match="not outstanding"):
                await client.test_unit_ready()
            with pytest.raises(TargetViolation, match="not outstanding"):
                await client.wait_closed()


async def test_abort_task() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal, ImmediateData="No") as client:
            client.initiator.hold_data_out = True
            tag = client.submit(0, cdb.rw_10(0x2A, 0, 1), b"x" * 512)
            assert await client.manage(1, referenced_task_tag=0x999) == 1
            assert await client.manage(1, referenced_task_tag=tag) == 0
            with pytest.raises(TaskAborted, match="ABORT_TASK"):
                await client.wait(tag)


async def test_request_on_a_connection_that_ends() -> None:
    with serving(RamTarget()) as portal:
        async with await log_in(portal) as client:
            logout = LogoutRequest(reason=0, initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1)
            client.initiator.send(logout)
            client.send_bytes(b"")
            with pytest.raises(ConnectionClosed):
                await client.ping()


async def test_target_that_hangs_up_during_login() -> None:
    with serving(Mute(closes=True)) as portal, pytest.raises(ConnectionResetError, match="login"):
        await log_in(portal)


async def test_target_that_does_not_answer() -> None:
    with serving(Mute()) as portal, pytest.raises(TimeoutError):
        await connect_async(portal, TARGET, INITIATOR, timeout_s=SHORT_S)


class Mischief(RamTarget):
    """Answers commands that nobody sent."""

    @override
    def data_to_send(self) -> bytes:
        data = bytearray(super().data_to_send())
        if self.commands:
            data[16] ^= 0x80  # Initiator Task Tag
        return bytes(data)
