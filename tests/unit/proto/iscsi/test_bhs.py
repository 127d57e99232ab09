"""The basic header segment by itself."""

from __future__ import annotations

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.bhs import BHS_BYTES, Bhs, padded
from fairlead.proto.iscsi.opcode import Opcode
from fairlead.proto.iscsi.reject import PduError, RejectReason
from tests.support.vectors import Vector, vectors

HEADERS = st.builds(
    Bhs,
    opcode=st.sampled_from(Opcode),
    immediate=st.booleans(),
    flags=st.integers(0, 0xFF),
    specific_2=st.binary(min_size=2, max_size=2),
    ahs_words=st.integers(0, 0xFF),
    data_segment_bytes=st.integers(0, 0xFF_FFFF),
    lun_field=st.binary(min_size=8, max_size=8),
    initiator_task_tag=st.integers(0, 0xFFFF_FFFF),
    specific_20=st.binary(min_size=28, max_size=28),
)


@pytest.mark.parametrize("case", vectors("iscsi/bhs"), ids=attrgetter("name"))
def test_vector(case: Vector) -> None:
    bhs = Bhs.decode(case.bytes)
    assert {name: getattr(bhs, name) for name in case.fields} == case.fields
    assert (bhs.encode() == case.bytes) is case.is_canonical


@given(bhs=HEADERS)
def test_round_trip(bhs: Bhs) -> None:
    assert Bhs.decode(bhs.encode()) == bhs


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_decodes(kind: type[bytes]) -> None:
    data = Bhs(opcode=Opcode.NOP_OUT).encode()
    assert Bhs.decode(kind(data)) == Bhs(opcode=Opcode.NOP_OUT)


@pytest.mark.parametrize("length", [0, BHS_BYTES - 1, BHS_BYTES + 1])
def test_wrong_length(length: int) -> None:
    with pytest.raises(PduError, match=f"header of {length} bytes, want 48"):
        Bhs.decode(bytes(length))


@pytest.mark.parametrize("code", sorted(set(range(0x40)) - set(Opcode)))
def test_unknown_opcode(code: int) -> None:
    header = bytes((0x40 | code,)) + bytes(47)
    with pytest.raises(PduError, match=f"unknown opcode {code:#04x}") as caught:
        Bhs.decode(header)
    assert caught.value.reason is RejectReason.COMMAND_NOT_SUPPORTED
    assert caught.value.header == header


@pytest.mark.parametrize(
    "field",
    [
        {"ahs_words": 256},
        {"data_segment_bytes": 1 << 24},
        {"specific_2": b"x"},
        {"lun_field": b"x"},
        {"specific_20": b"x"},
    ],
    ids=str,
)
def test_encoding_what_does_not_fit_is_our_bug(field: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not fit its place"):
        Bhs(opcode=Opcode.NOP_OUT, **field).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "result"), [(0, 0), (1, 4), (3, 4), (4, 4), (5, 8)])
def test_padded(length: int, result: int) -> None:
    assert padded(length) == result


def test_lengths() -> None:
    bhs = Bhs(opcode=Opcode.SCSI_COMMAND, ahs_words=3, data_segment_bytes=5)
    assert (bhs.ahs_bytes, bhs.pdu_bytes) == (12, 48 + 12 + 8)
