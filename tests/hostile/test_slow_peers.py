"""Peers that are slow, silent or half gone."""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Final

from fairlead.testing import cdb
from fairlead.testing.initiator import Initiator
from fairlead.testing.login import LoginOffer
from tests.hostile.scene import (
    BLOCK_BYTES,
    LOGIN_LIMIT_S,
    LOGIN_TIMEOUT_S,
    SILENCE_LIMIT_S,
    VICTIM,
    command,
    expect_closed_by_target,
    peer_of,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import socket

    from tests.hostile.scene import Scene

_BYTE_EVERY_S: Final = 1.0
_WRITE_BLOCKS: Final = 512
_READ_BLOCKS: Final = 512


def test_peer_that_sends_a_byte_a_second_during_login(scene: Scene) -> None:
    """The login timeout is for the whole login: bytes that trickle do not extend it."""
    offer = LoginOffer(
        initiator_name="iqn.2026-01.example.hostile:trickle",
        target_name=scene.target.target_name(VICTIM),
    )
    sock = scene.raw_connection()
    peer = peer_of(sock)
    began = time.monotonic()
    _trickle(sock, Initiator(offer).data_to_send(), limit_s=LOGIN_LIMIT_S)
    assert time.monotonic() - began >= LOGIN_TIMEOUT_S - 1.0
    assert "no login" in scene.expect_one_complaint(peer)


def test_peer_that_sends_a_byte_a_second_of_a_command(scene: Scene) -> None:
    """A byte a second is a sign of life: the session may stay, at the cost of one header.

    When the bytes stop in the middle, it is taken for dead: it cannot answer pings there.
    """
    client = scene.attacker()
    peer = peer_of(client)
    frame = client.initiator.frame(command(client, bytes(6)))
    for byte in frame[:6]:
        client._sock.sendall(bytes((byte,)))
        time.sleep(_BYTE_EVERY_S)
    expect_closed_by_target(client._sock, limit_s=SILENCE_LIMIT_S)
    scene.expect_one_complaint(peer)


def test_slow_but_honest_peer_is_served(scene: Scene) -> None:
    """One byte at a time, but all of them."""
    client = scene.attacker()
    client.send_chunk_bytes = 1
    for lba in range(4):
        assert client.write_16(lba, bytes((lba,)) * BLOCK_BYTES).is_good
        assert client.read_16(lba, 1).data == bytes((lba,)) * BLOCK_BYTES
    for lba in range(4):
        client.write_16(lba, bytes(BLOCK_BYTES))


def test_half_open_connection_is_noticed(scene: Scene) -> None:
    """A peer that vanished: nothing comes any more, not even the end."""
    client = scene.attacker()
    peer = peer_of(client)
    client.initiator.answers_pings = False
    began = time.monotonic()
    client.wait_closed()
    print(f"noticed after {time.monotonic() - began:.1f} s")
    scene.expect_one_complaint(peer)


def test_half_open_connection_with_a_write_under_way_is_noticed(scene: Scene) -> None:
    client = scene.attacker(ImmediateData="No")
    peer = peer_of(client)
    client.initiator.answers_pings = False
    client.initiator.hold_data_out = True
    client.submit(0, cdb.rw_16(0x8A, 0, 8), b"h" * (8 * BLOCK_BYTES))
    client.wait_closed()
    scene.expect_one_complaint(peer)


def test_peer_that_stops_reading(scene: Scene) -> None:
    """Its answers stay with the target, bounded, until it is taken for dead."""
    client = scene.attacker()
    peer = peer_of(client)
    for number in range(100):
        lba, length = number * _READ_BLOCKS, _READ_BLOCKS * BLOCK_BYTES
        client.submit(0, cdb.rw_16(0x88, lba, _READ_BLOCKS), b"", length)
    scene.expect_one_complaint(peer, limit_s=SILENCE_LIMIT_S)
    wait_until(
        lambda: not any(s["peer"] == peer for s in scene.target.sessions()),
        "the session of the peer that does not read is over",
    )


def test_peer_that_never_sends_its_data(scene: Scene) -> None:
    """It answers pings, so it may stay; it holds no more than its share, and others go on."""
    client = scene.attacker(ImmediateData="No", InitialR2T="Yes")
    client.initiator.hold_data_out = True
    for number in range(100):
        lba, data = number * _WRITE_BLOCKS, b"n" * (_WRITE_BLOCKS * BLOCK_BYTES)
        client.submit(0, cdb.rw_16(0x8A, lba, _WRITE_BLOCKS), data)
    client.ping(b"still there")
    with scene.attacker("other") as other:
        assert other.write_16(0, b"o" * BLOCK_BYTES).is_good
        assert other.read_16(0, 1).data == b"o" * BLOCK_BYTES
        other.write_16(0, bytes(BLOCK_BYTES))


def _trickle(sock: socket.socket, data: bytes, *, limit_s: float) -> None:
    """Send a byte a second, and the last one never, until the target closes the connection."""
    deadline = time.monotonic() + limit_s
    sock.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        for byte in data[:-1]:
            assert time.monotonic() < deadline, f"still open after {limit_s:g} s"
            try:
                sock.send(bytes((byte,)))
                pause_ends = time.monotonic() + _BYTE_EVERY_S
                while (left_s := pause_ends - time.monotonic()) > 0:
                    if selector.select(left_s) and not sock.recv(1 << 16):
                        return
            except (BrokenPipeError, ConnectionResetError):
                return
    expect_closed_by_target(sock, limit_s=max(deadline - time.monotonic(), 0.1))
