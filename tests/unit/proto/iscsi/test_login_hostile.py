"""Whatever arrives, a login answers in the protocol's words and holds a bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.proto.iscsi.login import LOGIN_REQUESTS_MAX, LoginCore
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.pdu import LoginResponse, PduReader, frame
from fairlead.proto.iscsi.session import Discovery, FullFeature, Refused
from tests.support.login_peer import DISCOVERY, NAMES, SECURED, login_core, peer, request

KEY_TEXTS = st.sampled_from(
    [
        *(f"{key}={value}\0".encode() for key, value in NAMES.items()),
        f"TargetName={SECURED}\0".encode(),
        b"SessionType=Discovery\0", b"AuthMethod=CHAP,None\0", b"AuthMethod=None\0", b"CHAP_A=5\0",
        b"CHAP_N=alice\0", b"CHAP_R=0x00112233445566778899aabbccddeeff\0", b"CHAP_I=1\0",
        b"CHAP_C=0x00\0", b"MaxBurstLength=512\0", b"HeaderDigest=CRC32C\0", b"X-a=\0",
        b"MaxRecvDataSegmentLength=512\0", b"InitialR2T=Reject\0", b"junk", b"\0", b"=\0", b"\xff",
    ]
)  # fmt: skip
REQUESTS = st.builds(
    request,
    st.lists(KEY_TEXTS, max_size=8).map(b"".join) | st.binary(max_size=60),
    transit=st.booleans(),
    continue_=st.booleans(),
    csg=st.sampled_from([0, 0, 1, 1, 1, 2, 3]),
    nsg=st.sampled_from([1, 3, 3, 0, 2]),
    version_min=st.sampled_from([0, 0, 0, 1]),
    tsih=st.sampled_from([0, 0, 0, 5]),
)


def checked_responses(core: LoginCore) -> list[LoginResponse]:
    """Decode what the core sends; a response that we could not decode ourselves is a failure."""
    reader = PduReader(8192)
    reader.receive_data(core.data_to_send())
    responses = []
    while (pdu := reader.next_pdu()) is not None:
        assert isinstance(pdu, LoginResponse)
        assert LoginStatus(pdu.status) in LoginStatus
        responses.append(pdu)
    assert reader.trailing_data() == b""
    return responses


def check_end(core: LoginCore, responses: list[LoginResponse]) -> None:
    refused = isinstance(core.outcome, Refused)
    assert [response.status != 0 for response in responses] == [False] * (
        len(responses) - refused
    ) + [True] * refused
    assert core.done == (core.outcome is not None)
    assert not isinstance(core.outcome, FullFeature), "nobody accepted it"
    if isinstance(core.outcome, Refused):
        assert core.outcome.reason.isprintable()
        assert len(core.outcome.reason) < 2000


@given(st.binary(min_size=48, max_size=400))
@settings(max_examples=300)
def test_arbitrary_bytes(data: bytes) -> None:
    core = login_core()
    core.receive_data(data)
    check_end(core, checked_responses(core))


@given(st.lists(REQUESTS, min_size=1, max_size=6))
@settings(max_examples=400)
def test_arbitrary_login_requests(requests: list[Any]) -> None:
    core = login_core()
    responses = []
    for login_request in requests:
        core.receive_data(frame(login_request))
        responses += checked_responses(core)
    check_end(core, responses)
    assert len(responses) <= len(requests)
    if isinstance(core.outcome, Discovery):
        assert responses[-1].tsih != 0


@given(st.lists(REQUESTS, min_size=1, max_size=4), st.data())
def test_damaged_login_requests(requests: list[Any], data: st.DataObject) -> None:
    stream = bytearray(b"".join(frame(login_request) for login_request in requests))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    core = login_core()
    core.receive_data(bytes(stream))
    check_end(core, checked_responses(core))


@given(st.lists(REQUESTS, min_size=1, max_size=4), st.integers(1, 60))
def test_portions_make_no_difference(requests: list[Any], size: int) -> None:
    stream = b"".join(frame(login_request) for login_request in requests)
    whole, portioned = login_core(), login_core()
    whole.receive_data(stream)
    for start in range(0, len(stream), size):
        portioned.receive_data(stream[start : start + size])
    assert portioned.data_to_send() == whole.data_to_send()
    assert portioned.outcome == whole.outcome
    assert portioned.pending == whole.pending


def test_memory_of_an_endless_login_is_bounded() -> None:
    """A peer that sends text without end is cut off at 64 KiB; nothing of it is kept."""
    initiator = peer()
    part = frame(request(b"A=" + b"x" * 8000, transit=False, continue_=True))
    tracemalloc.start()
    for _ in range(2000):
        initiator.core.receive_data(part)
        initiator.core.data_to_send()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(initiator.core.outcome, Refused)
    assert peak_bytes < 1 << 20


def test_login_that_never_ends_is_ended() -> None:
    initiator = peer()
    initiator.send(request(DISCOVERY, transit=False))
    for _ in range(LOGIN_REQUESTS_MAX):
        initiator.core.receive_data(frame(request(transit=False)))
    assert isinstance(initiator.core.outcome, Refused)


def test_unknown_keys_are_not_amplified_without_bound() -> None:
    """Each is answered with more bytes than it has; the answer stays below 64 KiB all the same."""
    core = login_core()
    keys = NAMES | {f"k{number}": "" for number in range(500)}
    core.receive_data(frame(request(keys)))
    sent = 0
    while core.pending is None:
        data = core.data_to_send()
        assert data
        sent += len(data)
        core.receive_data(frame(request()))
    assert 8192 < sent < 65_536
