from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.full_feature_text import TextChanges, discover, text_request
from fairlead.proto.iscsi.login_policy import Portal, TargetPolicy
from fairlead.proto.iscsi.text import Pair, encode_pairs, parse_pairs
from tests.support.login_peer import INITIATOR, NAMES, SECURED, TARGET, peer, policy, request

if TYPE_CHECKING:
    from fairlead.proto.iscsi.session import SessionParameters

ADDRESSES = ("192.0.2.10:3260,1", "[2001:db8::1]:3260,1")


@pytest.fixture
def session() -> SessionParameters:
    initiator = peer()
    initiator.ask(request(NAMES))
    return initiator.core.accept(tsih=1)


@pytest.mark.parametrize("value", ["", TARGET, TARGET.upper()])
def test_send_targets_names_the_sessions_own_target(session: SessionParameters, value: str) -> None:
    """Spec: RFC 7143 §13.3: an empty value is the target of the session."""
    data, changes = text_request(
        session, f"SendTargets={value}\0".encode(), target_addresses=ADDRESSES
    )
    assert parse_pairs(data) == [
        ("TargetName", TARGET),
        ("TargetAddress", ADDRESSES[0]),
        ("TargetAddress", ADDRESSES[1]),
    ]
    assert changes == TextChanges()


def test_address_may_be_left_out(session: SessionParameters) -> None:
    data, _ = text_request(session, b"SendTargets=\0")
    assert parse_pairs(data) == [("TargetName", TARGET)]


@pytest.mark.parametrize("value", ["All", SECURED, "junk", "a" * 300])
def test_send_targets_of_others_is_rejected(session: SessionParameters, value: str) -> None:
    data, _ = text_request(session, f"SendTargets={value}\0".encode(), target_addresses=ADDRESSES)
    assert parse_pairs(data) == [("SendTargets", "Reject")]


def test_initiator_declares_another_segment_length(session: SessionParameters) -> None:
    """Spec: RFC 7143 §13.12: may be renegotiated at any time."""
    data, changes = text_request(session, b"MaxRecvDataSegmentLength=65536\0")
    assert data == b""
    assert changes == TextChanges(peer_max_recv_data_segment_bytes=65_536)


@pytest.mark.parametrize("value", ["511", "16777216", "many"])
def test_segment_length_out_of_range_changes_nothing(
    session: SessionParameters, value: str
) -> None:
    data, changes = text_request(session, f"MaxRecvDataSegmentLength={value}\0".encode())
    assert parse_pairs(data) == [("MaxRecvDataSegmentLength", "Reject")]
    assert changes == TextChanges()


def test_declaring_the_default_is_a_change_too(session: SessionParameters) -> None:
    _, changes = text_request(session, b"MaxRecvDataSegmentLength=8192\0")
    assert changes.peer_max_recv_data_segment_bytes == 8192


@pytest.mark.parametrize(
    ("pair", "reply"),
    [
        ("MaxBurstLength=65536", "Reject"),
        ("HeaderDigest=CRC32C", "Reject"),
        ("InitiatorName=iqn.2004-10.com.example:other", "Reject"),
        ("AuthMethod=None", "Reject"),
        ("IFMarker=No", "Reject"),
        ("X-com.example.thing=1", "NotUnderstood"),
    ],
)
def test_keys_of_the_login_are_rejected(session: SessionParameters, pair: str, reply: str) -> None:
    data, changes = text_request(session, pair.encode() + b"\0")
    assert parse_pairs(data) == [(pair.partition("=")[0], reply)]
    assert changes == TextChanges()


def test_alias_needs_no_answer(session: SessionParameters) -> None:
    assert text_request(session, b"InitiatorAlias=rack 8\0") == (b"", TextChanges())


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        b"SendTargets=\0SendTargets=\0",
        b"A=1\0A=2\0",
        b"MaxBurstLength=Reject\0",
        b"\xff\0",
    ],
)
def test_malformed_text_is_the_callers_to_reject(session: SessionParameters, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        text_request(session, data)


@given(st.binary(max_size=200))
def test_arbitrary_text(data: bytes) -> None:
    initiator = peer()
    initiator.ask(request(NAMES))
    params = initiator.core.accept(tsih=1)
    try:
        answer, _ = text_request(params, data)
    except ProtocolError:
        return
    assert encode_pairs(parse_pairs(answer)) == answer


def test_discover_leaves_out_what_the_initiator_may_not_use() -> None:
    wildcard = Portal(address="0.0.0.0")  # noqa: S104 - text, not a socket
    targets = {
        TARGET: TargetPolicy(portals=(wildcard, Portal(address="::1", tag=2))),
        SECURED: TargetPolicy(initiators=("iqn.2004-10.com.example:host-2",)),
    }
    listed = discover(policy(targets=targets), INITIATOR, "All")
    assert listed == [
        Pair("TargetName", TARGET),
        Pair("TargetAddress", "192.0.2.10:3260,1"),
        Pair("TargetAddress", "[::1]:3260,2"),
    ]
    assert discover(policy(targets=targets), INITIATOR, SECURED) == []


@pytest.mark.parametrize("value", ["", "disk", "all"])
def test_discover_rejects_what_is_neither_all_nor_a_name(value: str) -> None:
    assert discover(policy(), INITIATOR, value) == [("SendTargets", "Reject")]
