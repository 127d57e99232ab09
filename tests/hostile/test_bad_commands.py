"""Well-formed PDUs that ask for what is not there, or under a name that is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from fairlead.proto.iscsi.pdu_scsi import ScsiResponse
from fairlead.proto.iscsi.reject import RejectReason
from fairlead.testing import cdb
from fairlead.testing.initiator import State
from tests.hostile.scene import (
    BLOCK_BYTES,
    VOLUME_BYTES,
    command,
    expect_refusal,
    is_alive,
    peer_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.testing.client import Client
    from fairlead.testing.outcome import Result
    from tests.hostile.scene import Scene

_BLOCKS: Final = VOLUME_BYTES // BLOCK_BYTES
_LAST: Final = (1 << 64) - 1
_BLOCK: Final = b"x" * BLOCK_BYTES
_ILLEGAL_REQUEST: Final = 0x05
_LBA_OUT_OF_RANGE: Final = (_ILLEGAL_REQUEST, 0x21, 0x00)
_UNIT_NOT_SUPPORTED: Final = (_ILLEGAL_REQUEST, 0x25, 0x00)
_TAG: Final = 0x7000_0001

_OVERFLOWING: Final[dict[str, Callable[[Client], Result]]] = {
    "read one behind the end": lambda c: c.read_16(_BLOCKS, 1),
    "read over the end": lambda c: c.read_16(_BLOCKS - 1, 2),
    "read at the last LBA there is": lambda c: c.read_16(_LAST, 1),
    "read that wraps around": lambda c: c.read_16(_LAST - 3, 8),
    "read whose bytes wrap around": lambda c: c.read_16(1 << 55, 1),
    "read 10 at its last LBA": lambda c: c.read_10((1 << 32) - 1, 1),
    "read of 4 billion blocks": lambda c: c.execute(0, cdb.rw_16(0x88, 1, (1 << 32) - 1), b"", 512),
    "write one behind the end": lambda c: c.write_16(_BLOCKS, _BLOCK),
    "write that wraps around": lambda c: c.write_16(_LAST, 2 * _BLOCK),
    "write and verify": lambda c: c.write_and_verify_16(_LAST, _BLOCK),
    "verify": lambda c: c.verify_16(_BLOCKS, 1),
    "verify that wraps around": lambda c: c.verify_16(_LAST, (1 << 32) - 1),
    "write same": lambda c: c.write_same_16(_BLOCKS - 1, 2, _BLOCK),
    "write same that wraps around": lambda c: c.write_same_16(_LAST, 2, _BLOCK),
    "write same from behind the end to the end": lambda c: c.write_same_16(_LAST, 0, _BLOCK),
    "compare and write": lambda c: c.compare_and_write(_LAST, _BLOCK, _BLOCK),
    "unmap": lambda c: c.unmap([(0, 1), (_LAST, 2)]),
    "pre-fetch": lambda c: c.pre_fetch_16(_LAST, 1),
    "synchronize cache": lambda c: c.synchronize_cache_16(_LAST, 1),
}


@pytest.mark.parametrize("what", _OVERFLOWING)
def test_lba_overflow(scene: Scene, what: str) -> None:
    client = scene.attacker()
    assert _OVERFLOWING[what](client).sense_code == _LBA_OUT_OF_RANGE
    assert _OVERFLOWING[what](client).sense_code == _LBA_OUT_OF_RANGE
    assert "beyond the last LBA" in scene.expect_one_complaint(peer_of(client))
    assert client.read_16(_BLOCKS - 1, 1).data == bytes(BLOCK_BYTES)
    assert client.read_16(0, 1).data == bytes(BLOCK_BYTES)


@pytest.mark.parametrize("lun", [1, 200, 255, 256, 16383])
def test_unknown_lun(scene: Scene, lun: int) -> None:
    client = scene.attacker()
    assert client.test_unit_ready(lun=lun).sense_code == _UNIT_NOT_SUPPORTED
    assert client.read_16(0, 1, lun=lun).sense_code == _UNIT_NOT_SUPPORTED
    assert client.write_16(0, _BLOCK, lun=lun).sense_code == _UNIT_NOT_SUPPORTED
    inquiry = client.inquiry(lun=lun)
    assert inquiry.is_good
    assert inquiry.data[0] == 0x7F  # Qualifier 011b: no such unit. Spec: SPC-4, INQUIRY.
    assert "not mapped" in scene.expect_one_complaint(peer_of(client))
    assert client.read_16(0, 1).data == bytes(BLOCK_BYTES)


@pytest.mark.parametrize(
    "lun_field", ["00 00 00 01 00 00 00 00", "81 00 00 00 00 00 00 00", "ff ff ff ff ff ff ff ff"]
)
def test_lun_of_another_addressing_method(scene: Scene, lun_field: str) -> None:
    """No such unit, or an invalid field: never LUN 0."""
    client = scene.attacker()
    field = bytes.fromhex(lun_field)
    client.send(
        command(
            client,
            cdb.rw_16(0x8A, 0, 1),
            lun_field=field,
            write=True,
            expected_data_bytes=BLOCK_BYTES,
            data=_BLOCK,
        )
    )
    client.pump(lambda: bool(client.notices) or client.initiator.state is State.CLOSED)
    for pdu in client.notices:
        if isinstance(pdu, ScsiResponse):
            assert pdu.status == 0x02
    with scene.attacker("reader") as reader:
        assert reader.read_16(0, 1).data == bytes(BLOCK_BYTES)


def test_duplicate_task_tag(scene: Scene) -> None:
    """A second task under the tag of one that waits for its data.

    The first may go on or the connection may end; what may not be is an answer to both. Spec: RFC
    7143 §11.2.1.8 (the tag is unique while the task exists), §11.17.1 (Task in progress).
    """
    client = scene.attacker(ImmediateData="No", InitialR2T="Yes")
    peer = peer_of(client)
    client.initiator.hold_data_out = True
    tag = client.submit(0, cdb.rw_16(0x8A, 40, 8), 8 * _BLOCK)
    bursts = client.initiator._session.due_bursts
    client.pump(lambda: bool(bursts))
    twin = command(
        client,
        cdb.rw_16(0x88, 0, 1),
        initiator_task_tag=tag,
        read=True,
        expected_data_bytes=BLOCK_BYTES,
    )
    client.initiator.sequence.take_cmd_sn()
    client.send_bytes(client.initiator.frame(twin))
    reasons = (
        RejectReason.TASK_IN_PROGRESS,
        RejectReason.INVALID_PDU_FIELD,
        RejectReason.PROTOCOL_ERROR,
    )
    _expect_twin_refused(client, tag, reasons)
    scene.expect_one_complaint(peer)


def test_unknown_operation_code(scene: Scene) -> None:
    client = scene.attacker()
    for opcode in (0x0B, 0xC0, 0xFF):
        result = client.execute(0, bytes((opcode,)) + bytes(15))
        assert result.sense_code == (_ILLEGAL_REQUEST, 0x20, 0x00)
    assert is_alive(client)


def _expect_twin_refused(client: Client, tag: int, reasons: tuple[RejectReason, ...]) -> None:
    """Wait for the refusal; the initiator's core takes a Reject of our tag as the task's end."""
    client.pump(
        lambda: (
            tag in client._mailbox.outcomes
            or bool(client.notices)
            or client.initiator.state is State.CLOSED
        )
    )
    outcome = client._mailbox.outcomes.get(tag)
    assert not getattr(outcome, "is_good", False)
    reject = getattr(outcome, "reject", None)
    if reject is not None:
        assert reject.reason in reasons
    elif client.notices:
        expect_refusal(client, *reasons)
