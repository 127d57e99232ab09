"""Peers that send more, earlier or elsewhere than was negotiated or asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.proto.iscsi.pdu_data import DataOut
from fairlead.proto.iscsi.pdu_text import NopOut
from fairlead.proto.iscsi.reject import RejectReason
from fairlead.proto.iscsi.serial import advance
from fairlead.testing import cdb
from fairlead.testing.initiator import State
from tests.hostile.scene import BLOCK_BYTES, command, expect_refusal, is_alive, peer_of

if TYPE_CHECKING:
    from fairlead.testing.client import Client
    from tests.hostile.scene import Scene

_REASONS: Final = (RejectReason.PROTOCOL_ERROR, RejectReason.INVALID_PDU_FIELD)
_ABORTED_COMMAND: Final = 0x0B
_TAG: Final = 0x7000_0001


def test_data_segment_above_the_limit(scene: Scene) -> None:
    """16 MiB announced: the end of the connection, before a byte of it is stored."""
    client = scene.attacker()
    peer = peer_of(client)
    header = client.initiator.frame(command(client, cdb.rw_16(0x8A, 0, 1), write=True))
    client.send_bytes(header[:5] + b"\xff\xff\xff" + header[8:48])
    expect_refusal(client, *_REASONS)
    scene.expect_one_complaint(peer)


def test_immediate_data_that_was_not_negotiated(scene: Scene) -> None:
    """Spec: RFC 7143 §11.4.7.2: "unexpected unsolicited data", or a protocol error."""
    client = scene.attacker(ImmediateData="No")
    peer = peer_of(client)
    _send_write(client, lba=100, blocks=1, data=b"i" * BLOCK_BYTES)
    _expect_failure(client)
    scene.expect_one_complaint(peer)
    _expect_unwritten(scene, 100, 1)


def test_immediate_data_above_the_first_burst(scene: Scene) -> None:
    client = scene.attacker(FirstBurstLength=4096)
    peer = peer_of(client)
    _send_write(client, lba=200, blocks=64, data=b"i" * 8192)
    _expect_failure(client)
    scene.expect_one_complaint(peer)
    _expect_unwritten(scene, 200, 64)


def test_more_immediate_data_than_the_command_writes(scene: Scene) -> None:
    client = scene.attacker()
    peer = peer_of(client)
    _send_write(client, lba=300, blocks=1, data=b"i" * 4096, expected_data_bytes=BLOCK_BYTES)
    _expect_failure(client)
    scene.expect_one_complaint(peer)
    _expect_unwritten(scene, 301, 7)


def test_unsolicited_data_out_although_r2t_is_required(scene: Scene) -> None:
    client = scene.attacker(InitialR2T="Yes", ImmediateData="No")
    peer = peer_of(client)
    _send_write(client, lba=400, blocks=8, data=b"", final=False)
    client.send(_data_out(client, 0, b"u" * 4096))
    _expect_failure(client)
    scene.expect_one_complaint(peer)
    _expect_unwritten(scene, 400, 8)


def test_data_out_behind_what_the_r2t_asks_for(scene: Scene) -> None:
    client, tag, transfer_tag = _write_that_waits(scene, lba=500)
    peer = peer_of(client)
    late = _data_out(client, 1 << 20, b"b" * 4096, tag=tag, transfer_tag=transfer_tag)
    client.send(late)
    _expect_failure(client, tag)
    scene.expect_one_complaint(peer)


def test_data_out_with_numbers_that_skip(scene: Scene) -> None:
    """DataSN 7 where 0 is due: at ErrorRecoveryLevel 0 nothing is asked for again."""
    client, tag, transfer_tag = _write_that_waits(scene, lba=600)
    peer = peer_of(client)
    skipping = _data_out(client, 0, b"s" * 4096, tag=tag, transfer_tag=transfer_tag, data_sn=7)
    client.send(skipping)
    _expect_failure(client, tag)
    scene.expect_one_complaint(peer)


def test_less_data_out_than_the_r2t_asks_for(scene: Scene) -> None:
    client, tag, transfer_tag = _write_that_waits(scene, lba=700)
    peer = peer_of(client)
    client.send(_data_out(client, 0, b"l" * 512, tag=tag, transfer_tag=transfer_tag))
    _expect_failure(client, tag)
    scene.expect_one_complaint(peer)
    _expect_unwritten(scene, 701, 7)


def test_cmd_sn_outside_the_window_is_ignored(scene: Scene) -> None:
    """Neither executed nor answered; the session goes on. Spec: RFC 7143 §4.2.2.1."""
    client = scene.attacker()
    peer = peer_of(client)
    sequence = client.initiator.sequence
    far = advance(sequence.max_cmd_sn, 1000)
    for number, cmd_sn in enumerate((far, advance(sequence.next_cmd_sn, -1))):
        pdu = command(
            client,
            cdb.rw_16(0x8A, 800, 1),
            initiator_task_tag=_TAG + number,
            cmd_sn=cmd_sn,
            write=True,
            expected_data_bytes=BLOCK_BYTES,
            data=b"o" * BLOCK_BYTES,
        )
        client.send_bytes(client.initiator.frame(pdu))
    client.send_bytes(
        client.initiator.frame(
            NopOut(
                immediate=False,
                initiator_task_tag=_TAG + 9,
                cmd_sn=far,
                exp_stat_sn=sequence.acknowledged_stat_sn,
            )
        )
    )
    assert is_alive(client)
    assert client.read_16(800, 1).data == bytes(BLOCK_BYTES)
    assert client.notices == []
    scene.expect_one_complaint(peer)


def _send_write(client: Client, *, lba: int, blocks: int, data: bytes, **fields: object) -> None:
    values = {"write": True, "expected_data_bytes": blocks * BLOCK_BYTES, "data": data}
    client.send(command(client, cdb.rw_16(0x8A, lba, blocks), **(values | fields)))


def _write_that_waits(scene: Scene, *, lba: int) -> tuple[Client, int, int]:
    """Begin a write of 8 blocks; return its tag and the transfer tag of its R2T."""
    client = scene.attacker(InitialR2T="Yes", ImmediateData="No")
    client.initiator.hold_data_out = True
    tag = client.submit(0, cdb.rw_16(0x8A, lba, 8), b"w" * (8 * BLOCK_BYTES))
    bursts = client.initiator._session.due_bursts
    client.pump(lambda: bool(bursts))
    transfer_tag = next(iter(client.initiator._session.tasks[tag].open_r2ts))
    return client, tag, transfer_tag


def _data_out(
    client: Client,
    offset_bytes: int,
    data: bytes,
    *,
    tag: int = _TAG,
    transfer_tag: int = 0xFFFF_FFFF,
    data_sn: int = 0,
) -> DataOut:
    return DataOut(
        final=True,
        initiator_task_tag=tag,
        target_transfer_tag=transfer_tag,
        exp_stat_sn=client.initiator.sequence.acknowledged_stat_sn,
        data_sn=data_sn,
        buffer_offset_bytes=offset_bytes,
        data=data,
    )


def _expect_failure(client: Client, tag: int | None = None) -> None:
    """Wait for the command's failure, a Reject, or the end of the connection: all are lawful."""

    def is_over() -> bool:
        ended = tag is not None and tag in client._mailbox.outcomes
        return ended or bool(client.notices) or client.initiator.state is State.CLOSED

    client.pump(is_over)
    for pdu in client.notices:
        status = getattr(pdu, "status", None)
        assert status != 0, f"answered GOOD: {pdu}"
        if status is not None:
            key = pdu.data[4] & 0x0F if pdu.data[2] & 0x7F == 0x70 else pdu.data[3] & 0x0F
            assert key == _ABORTED_COMMAND, f"sense key {key:#x}"
    if tag is not None and tag in client._mailbox.outcomes:
        outcome = client._mailbox.outcomes[tag]
        assert not getattr(outcome, "is_good", False), f"answered GOOD: {outcome}"


def _expect_unwritten(scene: Scene, lba: int, blocks: int) -> None:
    with scene.attacker("reader") as reader:
        assert reader.read_16(lba, blocks).data == bytes(blocks * BLOCK_BYTES)
