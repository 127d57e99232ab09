"""From PDU to wire: padding and digests."""

from __future__ import annotations

import pytest

from fairlead.proto.iscsi.bhs import BHS_BYTES, Bhs
from fairlead.proto.iscsi.digest import DIGEST_BYTES, crc32c
from fairlead.proto.iscsi.framing import decode_pdu, frame
from fairlead.proto.iscsi.opcode import Opcode
from fairlead.proto.iscsi.pdu_scsi import ScsiCommand
from fairlead.proto.iscsi.pdu_text import NopOut
from fairlead.proto.iscsi.reject import PduError


def ping(data: bytes) -> NopOut:
    return NopOut(initiator_task_tag=1, cmd_sn=1, exp_stat_sn=1, data=data)


def test_padding_is_zero_and_not_counted() -> None:
    data = frame(ping(b"abcde"))
    assert data[BHS_BYTES:] == b"abcde\0\0\0"
    assert Bhs.decode(data[:BHS_BYTES]).data_segment_bytes == 5


def test_data_digest_covers_the_padding() -> None:
    """Spec: RFC 7143 §11.2.3."""
    data = frame(ping(b"abcde"), data_digest=True)
    assert data[-DIGEST_BYTES:] == crc32c(b"abcde\0\0\0")


def test_no_data_no_data_digest() -> None:
    """Spec: RFC 7143 §11.2.3."""
    assert len(frame(ping(b""), data_digest=True)) == BHS_BYTES
    assert len(frame(ping(b""), header_digest=True, data_digest=True)) == BHS_BYTES + DIGEST_BYTES


def test_header_digest_covers_the_ahs() -> None:
    """Spec: RFC 7143 §11.2.3."""
    command = ScsiCommand(initiator_task_tag=1, cmd_sn=1, exp_stat_sn=1, cdb=bytes(20))
    data = frame(command, header_digest=True)
    assert data[-DIGEST_BYTES:] == crc32c(data[:-DIGEST_BYTES])
    assert len(data) == BHS_BYTES + 8 + DIGEST_BYTES


def test_only_a_scsi_command_may_have_an_ahs() -> None:
    with pytest.raises(PduError, match="TEXT_REQUEST with an AHS of 8 bytes"):
        decode_pdu(Bhs(opcode=Opcode.TEXT_REQUEST, ahs_words=2), b"", bytes(8))
