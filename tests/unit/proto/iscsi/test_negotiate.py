from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.key_offers import KeyOffers
from fairlead.proto.iscsi.keys import KEYS, Form, Key, Offer, Phase, Result, Sender, find_key
from fairlead.proto.iscsi.negotiate import (
    Negotiation,
    answer,
    combine,
    format_value,
    is_within,
    parse_value,
)
from fairlead.proto.iscsi.text import IRRELEVANT, NOT_UNDERSTOOD, REJECT, Pair

NEGOTIATED = [key for key in KEYS if key.name in KeyOffers().by_key]


def row(name: str) -> Key:
    key = find_key(name)
    assert key is not None
    return key


def negotiation(*, discovery: bool = False, **settings: Any) -> Negotiation:
    found = Negotiation(KeyOffers(**settings).by_key)
    found.discovery = discovery
    return found


def receive(
    core: Negotiation, *pairs: tuple[str, str], phase: Phase = Phase.OPERATIONAL
) -> list[Pair]:
    return core.receive_pairs([Pair(*pair) for pair in pairs], phase).pairs


@pytest.mark.parametrize(
    ("name", "offered", "ours", "reply"),
    [
        ("ImmediateData", "Yes", True, "Yes"),
        ("ImmediateData", "Yes", False, "No"),
        ("ImmediateData", "No", True, "No"),
        ("ImmediateData", "No", False, "No"),
        ("ImmediateData", "yes", True, REJECT),
        ("InitialR2T", "Yes", True, "Yes"),
        ("InitialR2T", "Yes", False, "Yes"),
        ("InitialR2T", "No", True, "Yes"),
        ("InitialR2T", "No", False, "No"),
        ("DataPDUInOrder", "No", True, "Yes"),
        ("DataSequenceInOrder", "No", True, "Yes"),
        ("MaxBurstLength", "16776192", 1_048_576, "1048576"),
        ("MaxBurstLength", "0x10000", 1_048_576, "65536"),
        ("MaxBurstLength", "511", 1_048_576, REJECT),
        ("MaxBurstLength", "16777216", 1_048_576, REJECT),
        ("MaxBurstLength", "lots", 1_048_576, REJECT),
        ("FirstBurstLength", "131072", 262_144, "131072"),
        ("MaxOutstandingR2T", "1", 16, "1"),
        ("MaxOutstandingR2T", "65535", 16, "16"),
        ("MaxOutstandingR2T", "0", 16, REJECT),
        ("MaxConnections", "8", 1, "1"),
        ("ErrorRecoveryLevel", "2", 0, "0"),
        ("ErrorRecoveryLevel", "3", 0, REJECT),
        ("DefaultTime2Wait", "0", 2, "2"),
        ("DefaultTime2Wait", "20", 2, "20"),
        ("DefaultTime2Wait", "3601", 2, REJECT),
        ("DefaultTime2Retain", "20", 0, "0"),
        ("iSCSIProtocolLevel", "2", 1, "1"),
        ("iSCSIProtocolLevel", "0", 1, "0"),
        ("iSCSIProtocolLevel", "32", 1, REJECT),
        ("HeaderDigest", "None,CRC32C", ("None", "CRC32C"), "None"),
        ("HeaderDigest", "CRC32C,None", ("None", "CRC32C"), "CRC32C"),
        ("HeaderDigest", "X-fancy,CRC32C", ("None", "CRC32C"), "CRC32C"),
        ("DataDigest", "None", ("CRC32C",), REJECT),
        ("DataDigest", "", ("None",), REJECT),
        ("TaskReporting", "FastAbort,ResponseFence,RFC3720", ("ResponseFence", "RFC3720"),
         "ResponseFence"),
        ("TaskReporting", "FastAbort", ("ResponseFence", "RFC3720"), REJECT),
        ("IFMarker", "No", None, REJECT),
        ("OFMarker", "Yes", None, REJECT),
        ("IFMarkInt", "2048~8192", None, REJECT),
        ("OFMarkInt", "2048", None, REJECT),
        ("MaxRecvDataSegmentLength", "65536", None, None),
        ("MaxRecvDataSegmentLength", "511", None, REJECT),
        ("InitiatorAlias", "rack 7", None, None),
        ("InitiatorAlias", "x" * 256, None, REJECT),
    ],
)  # fmt: skip
def test_answer(name: str, offered: str, ours: Offer | None, reply: str | None) -> None:
    assert answer(row(name), offered, ours).reply == reply


def test_rejected_offer_leaves_what_held() -> None:
    assert answer(row("MaxBurstLength"), "1", 1_048_576).value is None


def offers_of(key: Key) -> st.SearchStrategy[Any]:
    """Every offer of ours that the key's form allows."""
    if key.form is Form.BOOLEAN:
        return st.booleans()
    if key.form is Form.NUMBER:
        return st.integers(key.minimum, key.maximum)
    words = st.sampled_from(["None", "CRC32C", "RFC3720", "ResponseFence", "FastAbort"])
    return st.lists(words, min_size=1, unique=True).map(tuple)


@pytest.mark.parametrize("key", NEGOTIATED, ids=lambda key: key.name)
@given(data=st.data())
def test_result_is_within_both_limits(key: Key, data: st.DataObject) -> None:
    theirs, ours = data.draw(offers_of(key)), data.draw(offers_of(key))
    value = answer(key, format_value(theirs), ours).value
    if value is None:
        assert isinstance(theirs, tuple)
        assert not set(theirs) & set(ours)
    else:
        assert is_within(key, value, ours)
        assert is_within(key, value, theirs)


@pytest.mark.parametrize("key", NEGOTIATED, ids=lambda key: key.name)
@given(data=st.data())
def test_result_offered_again_is_the_result(key: Key, data: st.DataObject) -> None:
    theirs, ours = data.draw(offers_of(key)), data.draw(offers_of(key))
    first = answer(key, format_value(theirs), ours)
    if first.value is not None:
        again = answer(key, format_value(first.value), ours)
        assert again == first


@pytest.mark.parametrize("key", NEGOTIATED, ids=lambda key: key.name)
@given(data=st.data())
def test_either_side_may_propose_simple_values(key: Key, data: st.DataObject) -> None:
    """AND, OR, minimum and maximum do not care who asked; a list does."""
    theirs, ours = data.draw(offers_of(key)), data.draw(offers_of(key))
    if key.result is not Result.LIST:
        assert combine(key, theirs, ours) == combine(key, ours, theirs)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
@given(text=st.text(max_size=300))
def test_any_text_gets_an_answer(key: Key, text: str) -> None:
    if key.result is not Result.DIALOGUE:
        reply, value = answer(key, text, KeyOffers().by_key.get(key.name))
        assert reply is not None or value is not None
        if value is not None:
            assert parse_value(key, format_value(value), (str(value),)) is not None


OFFERED = [
    Pair("InitialR2T", "Yes"), Pair("InitialR2T", "No"), Pair("ImmediateData", "No"),
    Pair("ImmediateData", "Yes"), Pair("MaxBurstLength", "16384"),
    Pair("MaxBurstLength", "16776192"), Pair("FirstBurstLength", "262144"),
    Pair("FirstBurstLength", "8192"), Pair("MaxOutstandingR2T", "4"),
    Pair("HeaderDigest", "CRC32C"),
    Pair("DataDigest", "None,CRC32C"), Pair("DefaultTime2Wait", "5"), Pair("Unknown", "1"),
    Pair("MaxRecvDataSegmentLength", "65536"), Pair("IFMarker", "No"), Pair("MaxConnections", "9"),
]  # fmt: skip


@given(st.lists(st.sampled_from(OFFERED), unique_by=lambda pair: pair.key), st.randoms())
def test_result_does_not_depend_on_the_order(pairs: list[Pair], random: Any) -> None:
    shuffled = random.sample(pairs, len(pairs))
    one, other = negotiation(), negotiation()
    replies = one.receive_pairs(pairs, Phase.OPERATIONAL).pairs
    assert sorted(replies) == sorted(other.receive_pairs(shuffled, Phase.OPERATIONAL).pairs)
    assert all(one.value(key.name) == other.value(key.name) for key in KEYS)


@given(st.lists(st.sampled_from(OFFERED), unique_by=lambda pair: pair.key))
def test_replies_come_in_the_order_of_the_offers(pairs: list[Pair]) -> None:
    replied = [pair.key for pair in negotiation().receive_pairs(pairs, Phase.OPERATIONAL).pairs]
    assert replied == [pair.key for pair in pairs if pair.key in replied]


@given(st.lists(st.sampled_from(OFFERED), unique_by=lambda pair: pair.key))
def test_first_burst_never_exceeds_max_burst(pairs: list[Pair]) -> None:
    core = negotiation()
    core.receive_pairs(pairs, Phase.OPERATIONAL)
    if any(pair.key == "FirstBurstLength" for pair in pairs):
        assert core.number("FirstBurstLength") <= max(core.number("MaxBurstLength"), 65_536)


def test_first_burst_is_limited_by_max_burst_of_the_same_batch() -> None:
    replies = receive(negotiation(), ("FirstBurstLength", "262144"), ("MaxBurstLength", "16384"))
    assert replies == [("FirstBurstLength", "16384"), ("MaxBurstLength", "16384")]


def test_first_burst_is_irrelevant_without_unsolicited_data() -> None:
    """Spec: RFC 7143 §13.14."""
    core = negotiation()
    assert receive(
        core, ("FirstBurstLength", "262144"), ("InitialR2T", "Yes"), ("ImmediateData", "No")
    )[0] == ("FirstBurstLength", IRRELEVANT)
    assert core.number("FirstBurstLength") == 65_536


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_discovery_finds_keys_of_scsi_traffic_irrelevant(key: Key) -> None:
    values = {Form.BOOLEAN: "Yes", Form.NUMBER: "1", Form.LIST: "None", Form.TEXT: "x"}
    if Sender.INITIATOR in key.sender and Phase.OPERATIONAL in key.phases:
        core = negotiation(discovery=True)
        replies = receive(core, (key.name, values[key.form]))
        assert (replies == [(key.name, IRRELEVANT)]) is key.irrelevant_in_discovery


@pytest.mark.parametrize(
    "name", ["X-com.example.thing", "X#Thing", "Initiatorname", "RDMAExtensions"]
)
def test_unknown_key_is_not_understood(name: str) -> None:
    assert receive(negotiation(), (name, "1")) == [(name, NOT_UNDERSTOOD)]


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("MaxBurstLength", Phase.SECURITY),
        ("HeaderDigest", Phase.SECURITY),
        ("AuthMethod", Phase.OPERATIONAL),
        ("CHAP_A", Phase.OPERATIONAL),
        ("SendTargets", Phase.OPERATIONAL),
        ("MaxBurstLength", Phase.FULL_FEATURE),
        ("ErrorRecoveryLevel", Phase.FULL_FEATURE),
        ("InitiatorName", Phase.FULL_FEATURE),
        ("TargetAlias", Phase.OPERATIONAL),
        ("TargetAddress", Phase.OPERATIONAL),
        ("TargetPortalGroupTag", Phase.OPERATIONAL),
    ],
)
def test_key_out_of_its_time_or_sender_is_rejected(name: str, phase: Phase) -> None:
    assert receive(negotiation(), (name, "5"), phase=phase) == [(name, REJECT)]


def test_key_rejected_for_its_time_may_come_later() -> None:
    core = negotiation()
    receive(core, ("MaxRecvDataSegmentLength", "65536"), phase=Phase.SECURITY)
    assert core.number("MaxRecvDataSegmentLength") == 8192
    receive(core, ("MaxRecvDataSegmentLength", "65536"))
    assert core.number("MaxRecvDataSegmentLength") == 65536


@pytest.mark.parametrize("name", ["MaxBurstLength", "MaxRecvDataSegmentLength", "Unknown"])
def test_key_sent_twice_is_an_error(name: str) -> None:
    """Spec: RFC 7143 §6.3: renegotiation must be detected."""
    with pytest.raises(ProtocolError, match="sent twice"):
        receive(negotiation(), (name, "8192"), (name, "8192"))
    core = negotiation()
    receive(core, (name, "8192"))
    with pytest.raises(ProtocolError, match="sent twice, as '8192' and as '16384'"):
        receive(core, (name, "16384"))


def test_names_may_be_repeated_but_not_changed() -> None:
    """libiscsi sends its names again in the operational stage."""
    core = negotiation()
    receive(core, ("InitiatorName", "iqn.a"), phase=Phase.SECURITY)
    assert receive(core, ("InitiatorName", "iqn.a")) == []
    with pytest.raises(ProtocolError, match="sent twice"):
        receive(core, ("InitiatorName", "iqn.b"))


@pytest.mark.parametrize("reply", [NOT_UNDERSTOOD, IRRELEVANT, REJECT])
def test_answer_to_nothing_is_an_error(reply: str) -> None:
    with pytest.raises(ProtocolError, match="answers nothing"):
        receive(negotiation(), ("MaxBurstLength", reply))


def test_declarations_of_ours_may_be_answered() -> None:
    core = negotiation()
    assert core.declare("TargetPortalGroupTag", 1) == ("TargetPortalGroupTag", "1")
    assert receive(core, ("TargetPortalGroupTag", NOT_UNDERSTOOD)) == []


def test_nothing_is_offered_where_the_defaults_suit_us() -> None:
    assert negotiation().originate() == []


def test_we_offer_what_the_initiator_left_at_a_default_beyond_our_limit() -> None:
    core = negotiation(
        max_burst_bytes=65_536, first_burst_bytes=16_384, immediate_data=False,
        header_digests=("CRC32C",),
    )  # fmt: skip
    receive(core, ("MaxBurstLength", "131072"))
    offers = core.originate()
    assert offers == [
        ("HeaderDigest", "CRC32C"), ("ImmediateData", "No"), ("FirstBurstLength", "16384"),
    ]  # fmt: skip
    assert core.awaits_reply
    assert core.originate() == [], "an offer is made once"
    assert (
        receive(
            core, ("HeaderDigest", "CRC32C"), ("ImmediateData", "No"), ("FirstBurstLength", "8192")
        )
        == []
    )
    assert not core.awaits_reply
    assert core.value("HeaderDigest") == "CRC32C"
    assert core.claim("ImmediateData") is False
    assert core.number("FirstBurstLength") == 8192
    core.check_limits()


@pytest.mark.parametrize("reply", ["131072", "16", "many"])
def test_reply_beyond_our_offer_is_an_error(reply: str) -> None:
    core = negotiation(max_burst_bytes=65_536)
    assert ("MaxBurstLength", "65536") in core.originate()
    with pytest.raises(ProtocolError, match="no answer to our offer 65536"):
        receive(core, ("MaxBurstLength", reply))


def test_initiator_that_keeps_a_value_beyond_our_limit_is_refused() -> None:
    core = negotiation(max_burst_bytes=65_536)
    core.originate()
    receive(core, ("MaxBurstLength", REJECT))
    with pytest.raises(ProtocolError, match="MaxBurstLength is 262144, our limit is 65536"):
        core.check_limits()


def test_no_digest_in_common_is_refused_at_the_end() -> None:
    core = negotiation(data_digests=("CRC32C",))
    assert receive(core, ("DataDigest", "None")) == [("DataDigest", REJECT)]
    with pytest.raises(ProtocolError, match="DataDigest is None, our limit is CRC32C"):
        core.check_limits()


def test_dialogue_keys_are_handed_out() -> None:
    replies = negotiation().receive_pairs([Pair("AuthMethod", "CHAP")], Phase.SECURITY)
    assert replies.pairs == []
    assert replies.dialogue == {"AuthMethod": "CHAP"}


def test_defaults_hold_without_negotiation() -> None:
    core = negotiation()
    assert core.number("MaxBurstLength") == 262_144
    assert core.claim("InitialR2T") is True
    assert core.value("TargetAlias") is None
