"""Hundreds of bad peers at once, and thousands of connections that never log in."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from fairlead.testing import cdb
from fairlead.testing.client import connect_async
from fairlead.testing.connection import parse_portal
from tests.hostile.scene import (
    BLOCK_BYTES,
    LOGIN_LIMIT_S,
    SILENCE_LIMIT_S,
    VICTIM,
    VOLUME_BYTES,
    peer_of,
)
from tests.support.settings import HOSTILE_PEERS, SILENT_CONNECTIONS
from tests.support.waiting import wait_until, wait_until_async

if TYPE_CHECKING:
    from fairlead.testing.client import AsyncClient
    from tests.hostile.scene import Scene

pytestmark = pytest.mark.quiet

_BLOCKS: Final = 128
_COMMANDS: Final = 32
_LENGTH_BYTES: Final = _BLOCKS * BLOCK_BYTES
# The attack goes on for so long after everything has been sent.
_SIEGE_S: Final = 1.0
_SPARE_DESCRIPTORS: Final = 256
_SILENT_SAMPLES: Final = 5


async def test_many_initiators_never_send_their_data_out(scene: Scene) -> None:
    """Each asks to write 2 MiB, gets its R2Ts, and sends nothing: 200 times 2 MiB is not held."""
    clients = await _log_in(scene, "mute", ImmediateData="No", InitialR2T="Yes")
    try:
        data = b"m" * _LENGTH_BYTES
        for client in clients:
            client.initiator.hold_data_out = True
            for number in range(_COMMANDS):
                client.submit(0, cdb.rw_16(0x8A, _lba(number), _BLOCKS), data)
            # Now: two seconds after its first command the target ends a session that sends nothing,
            # and on a busy machine it takes longer to submit for all.
            assert (await client.ping(b"alive")).data == b"alive"
        await asyncio.sleep(_SIEGE_S)
        with scene.attacker("honest") as honest:
            began = time.monotonic()
            assert honest.write_16(0, b"h" * _LENGTH_BYTES).is_good
            assert honest.read_16(0, _BLOCKS).data == b"h" * _LENGTH_BYTES
            print(f"64 KiB written and read in {1000 * (time.monotonic() - began):.1f} ms")
            honest.write_16(0, bytes(_LENGTH_BYTES))
    finally:
        await _close(clients)


async def test_many_initiators_never_read(scene: Scene) -> None:
    """Each asks for 2 MiB and takes nothing; each is ended as dead, with one line."""
    clients = await _log_in(scene, "deaf")
    peers = [f"{a}:{p}" for a, p in (client._sock.getsockname() for client in clients)]
    try:
        for client in clients:
            client.pause_reading()
            for number in range(_COMMANDS):
                client.submit(0, cdb.rw_16(0x88, _lba(number), _BLOCKS), b"", _LENGTH_BYTES)
        await asyncio.sleep(_SIEGE_S)
        with scene.attacker("honest") as honest:
            assert honest.read_16(0, _BLOCKS).data == bytes(_LENGTH_BYTES)
        await wait_until_async(
            lambda: not scene.target.sessions_of("iqn.2026-01.example.hostile:deaf"),
            "the sessions of the initiators that do not read are over",
            limit_s=2 * SILENCE_LIMIT_S,
        )
        for peer in peers:
            scene.expect_one_complaint(peer)
    finally:
        await _close(clients)


def test_thousands_of_connections_that_never_log_in(scene: Scene) -> None:
    """They keep nobody out while they are there, and are closed with one line each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < SILENT_CONNECTIONS + _SPARE_DESCRIPTORS:
        pytest.skip(f"the limit of open files is {hard}, below {SILENT_CONNECTIONS}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = parse_portal(scene.target.portal)
    peers = []
    for number in range(SILENT_CONNECTIONS):
        sock = socket.create_connection(address, LOGIN_LIMIT_S)
        scene.sockets.append(sock)
        if number % (SILENT_CONNECTIONS // _SILENT_SAMPLES) == 0:
            peers.append(peer_of(sock))
        if number in (SILENT_CONNECTIONS // 2, SILENT_CONNECTIONS - 1):
            began = time.monotonic()
            with scene.attacker(f"honest-{number}") as honest:
                assert honest.read_16(0, 1).is_good
            elapsed_ms = 1000 * (time.monotonic() - began)
            print(f"login among {number + 1} silent connections: {elapsed_ms:.1f} ms")
    for peer in peers:
        scene.expect_one_complaint(peer, limit_s=2 * LOGIN_LIMIT_S)
    wait_until(
        lambda: scene.target.reading().descriptors["socket"] < _SPARE_DESCRIPTORS,
        "the silent connections are closed",
        limit_s=2 * LOGIN_LIMIT_S,
    )


async def _log_in(scene: Scene, name: str, **keys: Any) -> list[AsyncClient]:
    target = scene.target.target_name(VICTIM)
    logins = [
        connect_async(
            scene.target.portal, target, f"iqn.2026-01.example.hostile:{name}-{index}", **keys
        )
        for index in range(HOSTILE_PEERS)
    ]
    clients = await asyncio.gather(*logins)
    for client in clients:
        await client.test_unit_ready()
    return clients


async def _close(clients: list[AsyncClient]) -> None:
    await asyncio.gather(*(client.close() for client in clients))


def _lba(number: int) -> int:
    return number * _BLOCKS % (VOLUME_BYTES // BLOCK_BYTES - _BLOCKS)
