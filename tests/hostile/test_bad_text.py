"""Text keys without end, without form, or without sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from fairlead.proto.iscsi.pdu import LoginResponse, PduReader, frame
from fairlead.proto.iscsi.pdu_session import LoginRequest
from fairlead.proto.iscsi.pdu_text import TextRequest
from fairlead.proto.iscsi.reject import RejectReason
from fairlead.testing.initiator import State
from tests.hostile.scene import LOGIN_LIMIT_S, expect_closed_by_target, expect_refusal, peer_of

if TYPE_CHECKING:
    import socket

    from tests.hostile.scene import Scene

_MEGABYTE: Final = 1 << 20
_SEGMENT_BYTES: Final = 8192
_INITIATOR_ERROR_CLASS: Final = 0x02
_TAG: Final = 0x7000_0001


def test_login_key_of_a_megabyte(scene: Scene) -> None:
    """Cut into Login Requests with the C bit; refused long before its end."""
    sock = scene.raw_connection()
    peer = peer_of(sock)
    text = b"InitiatorName=iqn.2026-01.example.hostile:text\0X-" + b"k" * _MEGABYTE
    answer = _send_login_text(sock, text)
    assert _login_status(answer) in {None, _INITIATOR_ERROR_CLASS, 0x03}
    scene.expect_one_complaint(peer)


@pytest.mark.parametrize(
    "text",
    [
        b"no key at all",
        b"InitiatorName\0",
        b"=value\0",
        b"InitiatorName=\0",
        b"InitiatorName=iqn.2026-01.example.hostile:a\0InitiatorName=iqn.2026-01.example.b\0",
        b"InitiatorName=\xff\xfe\0",
        b"InitiatorName=iqn.2026-01.example.hostile:a\0SessionType=Bogus\0",
        b"\0" * 64,
        b"A" * 64 + b"=1\0",
    ],
)
def test_login_text_without_form(scene: Scene, text: bytes) -> None:
    sock = scene.raw_connection()
    peer = peer_of(sock)
    answer = _send_login_text(sock, text)
    assert _login_status(answer) in {None, _INITIATOR_ERROR_CLASS}
    scene.expect_one_complaint(peer)


def test_text_request_of_a_megabyte(scene: Scene) -> None:
    client = scene.attacker()
    peer = peer_of(client)
    text = b"X-" + b"k" * _MEGABYTE
    for start in range(0, len(text), _SEGMENT_BYTES):
        if client.initiator.state is State.CLOSED or client.notices:
            break
        sequence = client.initiator.sequence
        client.send(
            TextRequest(
                immediate=True,
                final=False,
                continue_=True,
                initiator_task_tag=_TAG,
                cmd_sn=sequence.next_cmd_sn,
                exp_stat_sn=sequence.acknowledged_stat_sn,
                data=text[start:][:_SEGMENT_BYTES],
            )
        )
        client.pump(lambda: True)
    expect_refusal(
        client,
        RejectReason.PROTOCOL_ERROR,
        RejectReason.INVALID_PDU_FIELD,
        RejectReason.COMMAND_NOT_SUPPORTED,
        RejectReason.LONG_OPERATION_REJECT,
    )
    scene.expect_one_complaint(peer)


def _send_login_text(sock: socket.socket, text: bytes) -> bytes:
    """Send text as Login Requests, cut with the C bit, until the target has had enough."""
    pieces = [text[at:][:_SEGMENT_BYTES] for at in range(0, len(text), _SEGMENT_BYTES)]
    try:
        for index, piece in enumerate(pieces):
            is_last = index == len(pieces) - 1
            request = LoginRequest(
                transit=is_last,
                continue_=not is_last,
                csg=0,
                nsg=1 if is_last else 0,
                isid=bytes.fromhex("80 00 00 00 00 09"),
                initiator_task_tag=_TAG,
                cmd_sn=1,
                data=piece,
            )
            sock.sendall(frame(request))
    except (BrokenPipeError, ConnectionResetError):
        pass
    return expect_closed_by_target(sock, limit_s=LOGIN_LIMIT_S)


def _login_status(answer: bytes) -> int | None:
    """Return the status class of the last Login Response, None where there was none."""
    reader = PduReader(_SEGMENT_BYTES)
    reader.receive_data(answer)
    last = None
    while (pdu := reader.next_pdu()) is not None:
        assert isinstance(pdu, LoginResponse)
        last = pdu
    return None if last is None else last.status >> 8
