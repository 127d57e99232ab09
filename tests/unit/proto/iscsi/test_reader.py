"""The reader: pieces, limits, digests, and where it stands after an error."""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.pdu import (
    DataDigestError,
    HeaderDigestError,
    NopOut,
    Pdu,
    PduError,
    PduReader,
    ScsiCommand,
    frame,
)
from tests.support.pdus import pdus
from tests.support.vectors import Vector, vectors

LIMIT = 8192
PING = NopOut(initiator_task_tag=1, cmd_sn=2, exp_stat_sn=3, data=b"abcde")
LONG = ScsiCommand(
    initiator_task_tag=1, cmd_sn=2, exp_stat_sn=3, cdb=bytes(range(40)), write=True, data=b"abcde"
)


def read_all(reader: PduReader) -> list[Pdu]:
    return list(iter(reader.next_pdu, None))


def flip(data: bytes, index: int) -> bytes:
    return data[:index] + bytes((data[index] ^ 0x10,)) + data[index + 1 :]


@pytest.mark.parametrize("header_digest", [False, True])
@pytest.mark.parametrize("data_digest", [False, True])
@pytest.mark.parametrize("pdu", [PING, LONG], ids=["without AHS", "with AHS"])
def test_byte_by_byte(pdu: Pdu, *, header_digest: bool, data_digest: bool) -> None:
    """A PDU comes with its last byte, not before and not after."""
    data = frame(pdu, header_digest, data_digest)
    reader = PduReader(LIMIT, header_digest, data_digest)
    for byte in data[:-1]:
        reader.receive_data(bytes((byte,)))
        assert reader.next_pdu() is None
    reader.receive_data(data[-1:])
    assert reader.next_pdu() == pdu
    assert reader.next_pdu() is None


@given(
    sent=st.lists(pdus(), max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    header_digest=st.booleans(),
    data_digest=st.booleans(),
)
def test_any_cuts(
    sent: list[Pdu], cuts: list[int], *, header_digest: bool, data_digest: bool
) -> None:
    data = b"".join(frame(pdu, header_digest, data_digest) for pdu in sent)
    reader = PduReader(LIMIT, header_digest, data_digest)
    received: list[Pdu] = []
    for start, end in pairwise(sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})):
        reader.receive_data(memoryview(data)[start:end])
        received += read_all(reader)
    assert received == sent
    assert reader.trailing_data() == b""


@given(data=st.binary(max_size=300), header_digest=st.booleans(), data_digest=st.booleans())
def test_any_bytes_are_read_or_refused(
    data: bytes, *, header_digest: bool, data_digest: bool
) -> None:
    reader = PduReader(64, header_digest, data_digest)
    reader.receive_data(data)
    headers = []
    try:
        read_all(reader)
    except PduError as error:
        headers.append(error.header)
    assert all(len(header) == 48 for header in headers)
    assert data.endswith(reader.trailing_data())


def test_trailing_data_is_what_follows_the_last_pdu() -> None:
    reader = PduReader(LIMIT)
    reader.receive_data(frame(PING) + b"next")
    assert reader.trailing_data() == frame(PING) + b"next"
    assert reader.next_pdu() == PING
    assert reader.trailing_data() == b"next"


@pytest.mark.parametrize("case", vectors("iscsi/malformed"), ids=attrgetter("name"))
def test_malformed(case: Vector) -> None:
    reader = PduReader(case.extra["limit"])
    reader.receive_data(case.bytes)
    with pytest.raises(PduError) as caught:
        reader.next_pdu()
    assert caught.value.reason == case.extra["reason"]
    assert caught.value.header == case.bytes[:48]


def test_data_segment_at_the_limit() -> None:
    pdu = NopOut(initiator_task_tag=1, cmd_sn=2, exp_stat_sn=3, data=bytes(LIMIT))
    reader = PduReader(LIMIT)
    reader.receive_data(frame(pdu))
    assert reader.next_pdu() == pdu


def test_data_segment_above_the_limit_is_refused_before_it_is_buffered() -> None:
    """A peer that announces 8,193 bytes is refused at its header."""
    pdu = NopOut(initiator_task_tag=1, cmd_sn=2, exp_stat_sn=3, data=bytes(LIMIT + 1))
    reader = PduReader(LIMIT)
    reader.receive_data(frame(pdu)[:48])
    with pytest.raises(PduError, match="data segment of 8193 bytes, limit 8192"):
        reader.next_pdu()


def test_the_limit_may_change_between_pdus() -> None:
    reader = PduReader(4)
    reader.receive_data(frame(PING))
    with pytest.raises(PduError, match="limit 4"):
        reader.next_pdu()
    reader.max_data_segment_bytes = 5
    assert reader.next_pdu() == PING


def test_digests_may_begin_between_pdus() -> None:
    """They hold from the first PDU after the login."""
    reader = PduReader(LIMIT)
    reader.receive_data(frame(PING) + frame(LONG, header_digest=True, data_digest=True))
    assert reader.next_pdu() == PING
    reader.header_digest = reader.data_digest = True
    assert reader.next_pdu() == LONG


@pytest.mark.parametrize("index", [0, 8, 47, 48, 75, 76, 79])
def test_header_digest_error(index: int) -> None:
    """Any bit of the header, the AHS or the digest itself."""
    reader = PduReader(LIMIT, header_digest=True)
    reader.receive_data(flip(frame(LONG, header_digest=True), index))
    with pytest.raises(HeaderDigestError, match="header digest"):
        reader.next_pdu()


def test_header_digest_is_checked_before_the_lengths_are_believed() -> None:
    reader = PduReader(LIMIT, header_digest=True)
    reader.receive_data(flip(frame(PING, header_digest=True), 5))  # the length says 1 MiB
    with pytest.raises(HeaderDigestError):
        reader.next_pdu()


@pytest.mark.parametrize("index", [48, 52, 55, 56, 59])
def test_data_digest_error_leaves_the_next_pdu(index: int) -> None:
    """Any bit of the data, the padding or the digest itself."""
    reader = PduReader(LIMIT, data_digest=True)
    reader.receive_data(flip(frame(PING, data_digest=True), index) + frame(LONG, data_digest=True))
    with pytest.raises(DataDigestError, match="data digest") as caught:
        reader.next_pdu()
    assert caught.value.header == PING.encode()
    assert reader.next_pdu() == LONG


def test_unknown_opcode_leaves_the_next_pdu() -> None:
    reader = PduReader(LIMIT)
    reader.receive_data(b"\x1f" + frame(PING)[1:] + frame(PING))
    with pytest.raises(PduError, match="unknown opcode 0x1f"):
        reader.next_pdu()
    assert reader.next_pdu() == PING
