"""Peers whose PDUs are malformed, damaged, or not for this phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.pdu import LoginResponse, PduReader
from fairlead.proto.iscsi.pdu_data import DataOut
from fairlead.proto.iscsi.pdu_notice import Reject
from fairlead.proto.iscsi.pdu_session import LoginRequest
from fairlead.proto.iscsi.reject import RejectReason
from fairlead.testing import cdb
from tests.hostile.scene import (
    BLOCK_BYTES,
    LOGIN_LIMIT_S,
    command,
    expect_closed_by_target,
    expect_refusal,
    is_alive,
    peer_of,
)

if TYPE_CHECKING:
    from tests.hostile.scene import Scene

_MALFORMED = (
    RejectReason.PROTOCOL_ERROR,
    RejectReason.INVALID_PDU_FIELD,
    RejectReason.COMMAND_NOT_SUPPORTED,
)


@pytest.mark.parametrize("opcode", [0x07, 0x1C, 0x1F, 0x3A])
def test_unknown_opcode(scene: Scene, opcode: int) -> None:
    """Spec: RFC 7143 §11.2.1.2 and §11.17.1 (Command not supported)."""
    client = scene.attacker()
    peer = peer_of(client)
    client.send_bytes(bytes((opcode, 0x80)) + bytes(14) + b"\x70\0\0\1" + bytes(28))
    expect_refusal(client, *_MALFORMED)
    scene.expect_one_complaint(peer)


@pytest.mark.parametrize("opcode", [0x20, 0x21, 0x25, 0x31, 0x3F])
def test_opcode_of_a_target(scene: Scene, opcode: int) -> None:
    client = scene.attacker()
    peer = peer_of(client)
    client.send_bytes(bytes((opcode, 0x80)) + bytes(14) + b"\x70\0\0\1" + bytes(28))
    expect_refusal(client, *_MALFORMED)
    scene.expect_one_complaint(peer)


def test_header_segment_of_impossible_length(scene: Scene) -> None:
    """An AHS whose own length points behind the announced end. Spec: RFC 7143 §11.2.2."""
    client = scene.attacker()
    peer = peer_of(client)
    whole = client.initiator.frame(command(client, bytes(6)))
    damaged = whole[:4] + b"\x01" + whole[5:48] + b"\xff\xff\x01\x00"
    client.send_bytes(damaged)
    expect_refusal(client, *_MALFORMED)
    scene.expect_one_complaint(peer)


def test_random_bytes_instead_of_a_login(scene: Scene) -> None:
    sock = scene.raw_connection()
    peer = peer_of(sock)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: target\r\nUser-Agent: somebody\r\n\r\n")
    expect_closed_by_target(sock, limit_s=LOGIN_LIMIT_S)
    scene.expect_one_complaint(peer)


def test_login_request_in_full_feature_phase(scene: Scene) -> None:
    """Spec: RFC 7143 §7.9 (a Login Request outside the login phase is a protocol error)."""
    client = scene.attacker()
    peer = peer_of(client)
    request = LoginRequest(
        transit=True,
        csg=1,
        nsg=3,
        isid=bytes(6),
        initiator_task_tag=0x7000_0001,
        cmd_sn=client.initiator.sequence.next_cmd_sn,
        exp_stat_sn=client.initiator.sequence.acknowledged_stat_sn,
    )
    client.send(request)
    expect_refusal(client, RejectReason.PROTOCOL_ERROR)
    scene.expect_one_complaint(peer)


def test_scsi_command_before_the_login(scene: Scene) -> None:
    """Spec: RFC 7143 §7.9: the answer, if any, is a Login Response "Invalid during login"."""
    client = scene.attacker()
    sock = scene.raw_connection()
    peer = peer_of(sock)
    sock.sendall(client.initiator.frame(command(client, bytes(6))))
    answer = expect_closed_by_target(sock, limit_s=LOGIN_LIMIT_S)
    if answer:
        reader = PduReader(8192)
        reader.receive_data(answer)
        pdu = reader.next_pdu()
        assert isinstance(pdu, LoginResponse)
        assert pdu.status in {LoginStatus.INVALID_DURING_LOGIN, LoginStatus.INITIATOR_ERROR}
    scene.expect_one_complaint(peer)


def test_data_out_of_no_task(scene: Scene) -> None:
    """Rejected or dropped: the target cannot tell it from data that crossed with an abort."""
    client = scene.attacker()
    client.send(
        DataOut(
            final=True,
            initiator_task_tag=0x7000_0001,
            target_transfer_tag=0x1234_5678,
            exp_stat_sn=client.initiator.sequence.acknowledged_stat_sn,
            data_sn=0,
            buffer_offset_bytes=0,
            data=b"x" * BLOCK_BYTES,
        )
    )
    assert is_alive(client)
    for pdu in client.notices:
        assert isinstance(pdu, Reject)
        assert pdu.reason in _MALFORMED
    assert client.read_16(0, 1).data == bytes(BLOCK_BYTES)


def test_header_digest_error(scene: Scene) -> None:
    """The lengths cannot be trusted: the connection ends. Spec: RFC 7143 §7.7."""
    client = scene.attacker(HeaderDigest="CRC32C")
    peer = peer_of(client)
    damaged = bytearray(client.initiator.frame(command(client, bytes(6))))
    damaged[-1] ^= 0x01
    client.send_bytes(bytes(damaged))
    client.wait_closed()
    scene.expect_one_complaint(peer)


def test_data_digest_error_of_immediate_data(scene: Scene) -> None:
    """Rejected, or the connection ends; the data is not written. Spec: RFC 7143 §7.8."""
    client = scene.attacker(DataDigest="CRC32C")
    peer = peer_of(client)
    data = b"d" * BLOCK_BYTES
    pdu = command(client, cdb.rw_16(0x8A, 77, 1), write=True, expected_data_bytes=512, data=data)
    damaged = bytearray(client.initiator.frame(pdu))
    damaged[-1] ^= 0x80
    client.initiator.sequence.take_cmd_sn()
    client.send_bytes(bytes(damaged))
    expect_refusal(client, RejectReason.DATA_DIGEST_ERROR)
    scene.expect_one_complaint(peer)
    with scene.attacker("two") as other:
        assert other.read_16(77, 1).data == bytes(BLOCK_BYTES)


def test_good_peer_goes_on_after_a_bad_one(scene: Scene) -> None:
    bad, good = scene.attacker("bad"), scene.attacker("good")
    bad.send_bytes(bytes((0x07, 0x80)) + bytes(46))
    expect_refusal(bad, *_MALFORMED)
    assert is_alive(good)
    assert good.write_16(5, b"g" * BLOCK_BYTES).is_good
    assert good.read_16(5, 1).data == b"g" * BLOCK_BYTES
