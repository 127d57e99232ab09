"""Reservations between initiators over sockets, in the running target, on every driver and pool."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from fairlead.control.target import Target
from fairlead.model.config import Config
from fairlead.proto.iscsi.pdu import TaskManagementFunction
from fairlead.scsi.sense import Asc, Sense
from fairlead.testing import cdb, connect_async
from tests.support.cells import DRIVERS, POOLS
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fairlead.testing import AsyncClient
    from fairlead.testing.outcome import Result

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_ANYWAY = range(7)
READ_KEYS, READ_RESERVATION = range(2)
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 1, 3, 5
GOOD, CHECK_CONDITION, CONFLICT = 0x00, 0x02, 0x18
TARGET: Final = "iqn.2020-01.org.example:t"
DATA = b"x" * 512

both = pytest.mark.parametrize("driver", DRIVERS)
every_pool = pytest.mark.parametrize("pool", POOLS)


class Scene:
    """A target with one disk; clients log in by a letter, each with a context of its own."""

    def __init__(self, target: Target, clients: AsyncExitStack) -> None:
        self.target = target
        self._clients = clients

    async def log_in(self, name: str) -> AsyncClient:
        """A client whose first unit attention is behind it, under the name it always has."""
        portal = str(self.target.portals[0])
        initiator = f"iqn.2020-01.org.example:{name}"
        client = await self._clients.enter_async_context(
            await connect_async(portal, TARGET, initiator)
        )
        assert (
            asc_of(await client.test_unit_ready())
            is Asc.POWER_ON_RESET_OR_BUS_DEVICE_RESET_OCCURRED
        )
        return client

    async def go(self, name: str, client: AsyncClient) -> None:
        """End a session and wait until the target knows."""
        await client.close()
        await wait_until_async(
            lambda: (
                not any(one.initiator_name.endswith(f":{name}") for one in self.target.sessions())
            ),
            "the session is over",
        )


@asynccontextmanager
async def scene(driver: str, pool: str, folder: Path) -> AsyncIterator[Scene]:
    config = Config.model_validate(
        {
            "volumes": [{"name": "v", "kind": "file", "path": f"{folder}/v.img", "size": "1M"}],
            "targets": [{"name": TARGET, "luns": [{"volume": "v"}]}],
            "portals": ["127.0.0.1:0"],
            "engine": {"driver": driver, "pool": pool, "submitters": 2},
        }
    )
    async with Target(config) as target, AsyncExitStack() as clients:
        yield Scene(target, clients)


def asc_of(result: Result) -> Asc:
    assert result.status == CHECK_CONDITION
    return Sense.decode(result.sense).asc


async def out(client: AsyncClient, action: int, key: int = 0, new: int = 0, kind: int = 0) -> int:
    result = await client.persistent_reserve_out(
        action, key=key, service_action_key=new, scope_and_type=kind
    )
    return result.status


async def reads_and_writes(client: AsyncClient) -> tuple[int, int]:
    read, write = await client.read_10(0, 1), await client.write_10(0, DATA)
    return read.status, write.status


@pytest.mark.cell("conformance")
@both
@every_pool
async def test_a_cluster_of_two_fails_over(driver: str, pool: str, tmp_path: Path) -> None:
    """The second node throws the first out, which finds out by its next write."""
    async with scene(driver, pool, tmp_path) as there:
        first, second = await there.log_in("a"), await there.log_in("b")
        for client, key in ((first, 0xA), (second, 0xB)):
            assert await out(client, REGISTER, new=key) == GOOD
        kind = WRITE_EXCLUSIVE_REGISTRANTS_ONLY
        assert await out(first, RESERVE, key=0xA, kind=kind) == GOOD
        assert await reads_and_writes(second) == (GOOD, GOOD)
        assert await out(second, PREEMPT_AND_ABORT, key=0xB, new=0xA, kind=kind) == GOOD
        assert asc_of(await first.write_10(0, DATA)) is Asc.REGISTRATIONS_PREEMPTED
        assert await reads_and_writes(first) == (GOOD, CONFLICT)
        assert (await first.unmap([(0, 1)])).status == CONFLICT
        assert await reads_and_writes(second) == (GOOD, GOOD)
        held = await first.persistent_reserve_in(READ_RESERVATION)
        assert (held.data[15], held.data[21]) == (0xB, kind)
        assert await out(second, CLEAR, key=0xB) == GOOD
        assert await reads_and_writes(first) == (GOOD, GOOD)


@pytest.mark.cell("conformance")
@both
@every_pool
async def test_a_holder_that_comes_back_meets_no_conflict(
    driver: str, pool: str, tmp_path: Path
) -> None:
    async with scene(driver, pool, tmp_path) as there:
        holder, other = await there.log_in("a"), await there.log_in("b")
        assert await out(holder, REGISTER, new=0xA) == GOOD
        assert await out(holder, RESERVE, key=0xA, kind=EXCLUSIVE_ACCESS) == GOOD
        await there.go("a", holder)
        assert await reads_and_writes(other) == (CONFLICT, CONFLICT)
        for _ in range(5):
            # Its session is replaced in the middle, too.
            holder = await there.log_in("a")
            assert await reads_and_writes(holder) == (GOOD, GOOD)
        assert await reads_and_writes(other) == (CONFLICT, CONFLICT)
        assert (await other.test_unit_ready()).status == GOOD
        assert await out(holder, RELEASE, key=0xA, kind=EXCLUSIVE_ACCESS) == GOOD
        assert await reads_and_writes(other) == (GOOD, GOOD)


@both
async def test_what_reserve_has_reserved_is_free_when_its_holder_has_logged_out(
    driver: str, tmp_path: Path
) -> None:
    async with scene(driver, "shared", tmp_path) as there:
        other = await there.log_in("b")
        for ending in ("logout", "reset", "release"):
            holder = await there.log_in("a")
            assert (await holder.reserve_6()).status == GOOD
            assert (await other.test_unit_ready()).status == CONFLICT
            assert (await other.release_6()).status == GOOD
            assert (await other.reserve_6()).status == CONFLICT
            assert (await other.inquiry()).status == GOOD
            if ending == "logout":
                assert (await holder.logout()).response == 0
            elif ending == "reset":
                await other.manage(TaskManagementFunction.LOGICAL_UNIT_RESET)
            else:
                assert (await holder.release_6()).status == GOOD
            # No wait: the answer says that it is over.
            assert (await other.reserve_6()).status == GOOD
            assert (await other.release_6()).status == GOOD
            await there.go("a", holder)


@both
async def test_commands_race_with_a_reservation_and_none_slips_through(
    driver: str, tmp_path: Path
) -> None:
    """What is sent after the holder has its answer is turned away, however much is under way."""
    async with scene(driver, "shared", tmp_path) as there:
        holder, other = await there.log_in("a"), await there.log_in("b")
        assert await out(holder, REGISTER, new=0xA) == GOOD
        for _ in range(20):
            before = [other.submit(0, cdb.rw_10(0x2A, lba, 1), DATA) for lba in range(32)]
            assert await out(holder, RESERVE, key=0xA, kind=WRITE_EXCLUSIVE) == GOOD
            after = [other.submit(0, cdb.rw_10(0x2A, lba, 1), DATA) for lba in range(32)]
            statuses = [(await other.wait(tag)).status for tag in before]
            assert set(statuses) <= {GOOD, CONFLICT}
            assert {(await other.wait(tag)).status for tag in after} == {CONFLICT}
            assert await out(holder, RELEASE, key=0xA, kind=WRITE_EXCLUSIVE) == GOOD
            assert (await other.write_10(0, DATA)).status == GOOD


@both
async def test_many_register_at_once(driver: str, tmp_path: Path) -> None:
    async with scene(driver, "per_context", tmp_path) as there:
        clients = [await there.log_in(str(number)) for number in range(6)]
        answers = await asyncio.gather(
            *(out(client, REGISTER, new=number + 1) for number, client in enumerate(clients))
        )
        assert set(answers) == {GOOD}
        keys = (await clients[0].persistent_reserve_in(READ_KEYS)).data
        assert keys[:8] == bytes.fromhex("00000006 00000030")
        assert sorted(keys[15::8]) == [1, 2, 3, 4, 5, 6]
