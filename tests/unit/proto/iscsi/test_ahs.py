"""Additional header segments; what must be refused is in the vectors of malformed PDUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.ahs import (
    AHS_BYTES_MAX,
    BidirectionalReadLength,
    ExtendedCdb,
    decode_ahs,
    encode_ahs,
)
from fairlead.proto.iscsi.reject import PduError, RejectReason

CDBS = st.builds(ExtendedCdb, st.binary(min_size=1, max_size=244))
READ_LENGTHS = st.builds(BidirectionalReadLength, st.integers(0, 0xFFFF_FFFF))


@given(segments=st.permutations([0, 1]), cdb=CDBS, length=READ_LENGTHS, count=st.integers(0, 2))
def test_round_trip(
    segments: list[int], cdb: ExtendedCdb, length: BidirectionalReadLength, count: int
) -> None:
    ahs = tuple((cdb, length)[index] for index in segments[:count])
    encoded = encode_ahs(ahs)
    assert len(encoded) % 4 == 0
    assert decode_ahs(encoded) == ahs


@given(data=st.binary(max_size=AHS_BYTES_MAX))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    reasons = []
    try:
        segments = decode_ahs(data)
    except PduError as error:
        segments = ()
        reasons.append(error.reason)
    assert decode_ahs(encode_ahs(segments)) == segments
    assert reasons in ([], [RejectReason.INVALID_PDU_FIELD])


def test_cdb_of_more_than_260_bytes() -> None:
    body = bytes(245)
    data = (len(body) + 1).to_bytes(2) + b"\x01\x00" + body + bytes(3)
    with pytest.raises(PduError, match="extended CDB of 245 bytes, range 1 to 244"):
        decode_ahs(data)


def test_segment_header_cut_off() -> None:
    with pytest.raises(PduError, match="ends inside a segment's header"):
        decode_ahs(bytes.fromhex("00 05 02 00 00 00 00 07 00 01"))
