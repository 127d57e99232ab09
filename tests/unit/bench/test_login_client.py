"""The raw login client, held to the project's own codec and driven without a socket."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from typing_extensions import override

from bench.harness.login import LoginFailedError, Session, login_request, login_text
from fairlead.proto.iscsi.bhs import Bhs
from fairlead.proto.iscsi.pdu import LoginRequest

TEXT = login_text(initiator="iqn.2000-01.x:i", target="iqn.2000-01.x:t")
ISID = bytes.fromhex("800000000007")


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    @override
    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    @override
    def close(self) -> None:
        self.is_closed = True


def login_response(*, flags: int = 0x87, status: int = 0, stat_sn: int = 5) -> bytes:
    return struct.pack(">BB22xI8xH10x", 0x23, flags, stat_sn, status)


async def connect() -> tuple[Session, Wire]:
    session, wire = Session(isid=ISID, text=TEXT), Wire()
    session.connection_made(wire)
    return session, wire


def test_login_request_is_what_our_codec_reads() -> None:
    pdu = login_request(isid=ISID, exp_stat_sn=9, text=TEXT)
    bhs = Bhs.decode(pdu[:48])
    request = LoginRequest.decode(bhs, pdu[48 : 48 + bhs.data_segment_bytes])
    assert (request.transit, request.csg, request.nsg) == (True, 1, 3)
    assert (request.isid, request.tsih, request.cid) == (ISID, 0, 0)
    assert request.exp_stat_sn == 9
    assert b"InitiatorName=iqn.2000-01.x:i\0" in request.data
    assert len(pdu) % 4 == 0


async def test_login_in_one_round() -> None:
    session, wire = await connect()
    session.data_received(login_response())
    assert session.logged_in.done()
    assert len(wire.written) == 1


async def test_response_in_pieces() -> None:
    session, _ = await connect()
    for index in range(47):
        session.data_received(login_response()[index : index + 1])
    assert not session.logged_in.done()
    session.data_received(login_response()[47:])
    assert session.logged_in.done()


async def test_target_that_wants_another_round_gets_an_empty_request() -> None:
    session, wire = await connect()
    session.data_received(login_response(flags=0x04, stat_sn=5))
    assert not session.logged_in.done()
    second = Bhs.decode(wire.written[1][:48])
    assert second.data_segment_bytes == 0
    assert LoginRequest.decode(second, b"").exp_stat_sn == 6


async def test_refusal_names_the_status() -> None:
    session, wire = await connect()
    session.data_received(login_response(status=0x0203))
    with pytest.raises(LoginFailedError, match="0x0203"):
        await session.logged_in
    assert wire.is_closed


async def test_rounds_are_bounded() -> None:
    session, wire = await connect()
    for _ in range(20):
        session.data_received(login_response(flags=0x04))
    with pytest.raises(LoginFailedError, match="after 8 rounds"):
        await session.logged_in
    assert len(wire.written) == 8


async def test_connection_closed_before_the_end_is_a_failure() -> None:
    session, _ = await connect()
    session.connection_lost(None)
    with pytest.raises(LoginFailedError, match="connection closed"):
        await session.logged_in
    assert session.ended.done()


async def test_ping_is_answered_with_its_tag() -> None:
    session, wire = await connect()
    session.data_received(login_response())
    lun, tag = bytes(range(8)), b"\x00\x00\x00\x2a"
    session.data_received(struct.pack(">BB6x8sI4sI20x", 0x20, 0x80, lun, 0xFFFFFFFF, tag, 6))
    answer = wire.written[-1]
    assert (answer[0], answer[8:16], answer[16:20], answer[20:24]) == (
        0x40,
        lun,
        b"\xff\xff\xff\xff",
        tag,
    )


async def test_notice_that_wants_no_answer_gets_none() -> None:
    session, wire = await connect()
    session.data_received(login_response())
    written = len(wire.written)
    session.data_received(struct.pack(">BB14xIIi20x", 0x20, 0x80, 0xFFFFFFFF, 0xFFFFFFFF, 6))
    assert len(wire.written) == written
