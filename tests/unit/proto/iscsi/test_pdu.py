"""Every PDU type against the shared vectors, and there and back again."""

from __future__ import annotations

from dataclasses import asdict
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.opcode import Opcode
from fairlead.proto.iscsi.pdu import (
    BHS_BYTES,
    Bhs,
    DataIn,
    PduReader,
    Reject,
    ScsiCommand,
    ScsiResponse,
    decode_pdu,
    encode_sense_segment,
    frame,
)
from tests.support.pdus import PDU_TYPES, pdus, type_named
from tests.support.vectors import Vector, vector_names, vectors

NOT_ONE_PDU = {"iscsi/bhs", "iscsi/crc32c", "iscsi/malformed"}
FILES = [name for name in vector_names("iscsi") if name not in NOT_ONE_PDU]
CASES = [case for name in FILES for case in vectors(name)]


def read_one(data: bytes, **digests: bool) -> object:
    reader = PduReader(1 << 20, **digests)
    reader.receive_data(data)
    pdu = reader.next_pdu()
    assert reader.trailing_data() == b""
    return pdu


def test_every_type_has_vectors() -> None:
    assert {type_named(case.pdu) for case in CASES} == set(PDU_TYPES)
    assert {kind.OPCODE for kind in PDU_TYPES} == set(Opcode)


@pytest.mark.parametrize("case", CASES, ids=attrgetter("pdu", "name"))
def test_vector_decodes(case: Vector) -> None:
    pdu = read_one(case.bytes, **case.digests)
    assert type(pdu) is type_named(case.pdu)
    absent = {"bidirectional_read_bytes": None} if case.pdu == "ScsiCommand" else {}
    assert asdict(pdu) == absent | case.fields


@pytest.mark.parametrize("case", CASES, ids=attrgetter("pdu", "name"))
def test_vector_encodes(case: Vector) -> None:
    pdu = type_named(case.pdu)(**case.fields)
    assert (frame(pdu, **case.digests) == case.bytes) is case.is_canonical


@given(pdu=pdus(), header_digest=st.booleans(), data_digest=st.booleans())
def test_round_trip(pdu: object, *, header_digest: bool, data_digest: bool) -> None:
    data = frame(pdu, header_digest, data_digest)  # type: ignore[arg-type]
    assert len(data) % 4 == 0
    assert read_one(data, header_digest=header_digest, data_digest=data_digest) == pdu


@given(header=st.binary(min_size=BHS_BYTES, max_size=BHS_BYTES), opcode=st.sampled_from(Opcode))
def test_any_header_decodes_and_reserved_bits_vanish(header: bytes, opcode: Opcode) -> None:
    """No bit pattern is an error of its own; what was encoded once stays as it is."""
    bhs = Bhs.decode(bytes((header[0] & 0x40 | opcode,)) + header[1:])
    pdu = decode_pdu(bhs, b"")
    assert decode_pdu(Bhs.decode(pdu.encode()), b"") == pdu


def test_short_cdb_is_padded() -> None:
    command = ScsiCommand(initiator_task_tag=1, cmd_sn=1, exp_stat_sn=1, cdb=bytes.fromhex("12"))
    assert command.encode()[32:] == bytes.fromhex("12") + bytes(15)


@pytest.mark.parametrize(
    ("data", "sense"),
    [
        ("", ""),
        ("0000", ""),
        ("0003 010203", "010203"),
        ("0003 010203 ffff", "010203"),  # response data behind it
        ("0009 010203", "010203"),  # cut off by the target
        ("00", ""),
    ],
)
def test_sense_data_of_a_response(data: str, sense: str) -> None:
    """Spec: RFC 7143 §11.4.7."""
    response = ScsiResponse(
        initiator_task_tag=1, stat_sn=1, exp_cmd_sn=1, max_cmd_sn=1, data=bytes.fromhex(data)
    )
    assert response.sense == bytes.fromhex(sense)


def test_sense_segment() -> None:
    assert encode_sense_segment(bytes.fromhex("7000")) == bytes.fromhex("0002 7000")
    assert encode_sense_segment(b"") == b""


def test_rejected_header_is_the_first_48_bytes() -> None:
    reject = Reject(reason=4, stat_sn=1, exp_cmd_sn=1, max_cmd_sn=1, data=bytes(range(60)))
    assert reject.rejected_header == bytes(range(48))


def test_values_wider_than_their_field_are_our_bug() -> None:
    pdu = DataIn(
        final=True,
        initiator_task_tag=1 << 32,
        exp_cmd_sn=0,
        max_cmd_sn=0,
        data_sn=0,
        buffer_offset_bytes=0,
    )
    with pytest.raises(Exception, match="format requires"):
        pdu.encode()
