"""The course of a login: stages, transitions, continuation, and what comes out of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.key_offers import KeyOffers
from fairlead.proto.iscsi.login_policy import Portal, TargetPolicy
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.pdu import NopOut, frame
from fairlead.proto.iscsi.session import (
    Discovery,
    FullFeature,
    LoginRequestSummary,
    Refused,
    SessionParameters,
)
from tests.support.login_peer import (
    DISCOVERY,
    INITIATOR,
    ISID,
    NAMES,
    TARGET,
    keys_of,
    login_core,
    peer,
    policy,
    refusal,
    request,
    security,
)

OFFERS = {
    "HeaderDigest": "CRC32C,None",
    "DataDigest": "None",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "131072",
    "MaxBurstLength": "16776192",
    "FirstBurstLength": "131072",
    "MaxOutstandingR2T": "4",
}


def test_login_with_implicit_security_stage() -> None:
    """The first request may begin with the operational stage. Spec: RFC 7143 §6.3.1."""
    initiator = peer()
    initiator.ask(request(NAMES | OFFERS | {"InitiatorAlias": "rack 7"}))
    assert initiator.core.pending == LoginRequestSummary(
        initiator_name=INITIATOR,
        initiator_alias="rack 7",
        isid=ISID,
        target_name=TARGET,
        tsih=0,
        cid=7,
        auth_user=None,
    )
    response = initiator.accept(tsih=0x77, command_window=32)
    assert (response.transit, response.csg, response.nsg) == (True, 1, 3)
    assert (response.status, response.tsih, response.isid) == (0, 0x77, ISID)
    assert (response.version_max, response.version_active) == (0, 0)
    assert (response.exp_cmd_sn, response.max_cmd_sn) == (100, 131)
    assert keys_of(response) == {
        "TargetPortalGroupTag": "1",
        "HeaderDigest": "CRC32C",
        "DataDigest": "None",
        "InitialR2T": "No",
        "ImmediateData": "Yes",
        "MaxBurstLength": "1048576",
        "FirstBurstLength": "131072",
        "MaxOutstandingR2T": "4",
        "MaxRecvDataSegmentLength": "262144",
    }
    assert initiator.core.session == SessionParameters(
        initiator_name=INITIATOR,
        target_name=TARGET,
        isid=ISID,
        tsih=0x77,
        cid=7,
        exp_cmd_sn=100,
        stat_sn=response.stat_sn + 1,
        max_recv_data_segment_bytes=262_144,
        peer_max_recv_data_segment_bytes=131_072,
        max_burst_bytes=1_048_576,
        first_burst_bytes=131_072,
        initial_r2t=False,
        immediate_data=True,
        max_outstanding_r2t=4,
        header_digest=True,
        data_digest=False,
        auth_user=None,
    )
    assert initiator.core.outcome == FullFeature(initiator.core.session)
    assert initiator.core.pending is None


def test_login_through_both_stages() -> None:
    initiator = peer()
    first = initiator.send(security(NAMES | {"AuthMethod": "CHAP,None"}))
    assert (first.transit, first.csg, first.nsg) == (True, 0, 1)
    assert keys_of(first) == {"TargetPortalGroupTag": "1", "AuthMethod": "None"}
    initiator.ask(request(OFFERS))
    second = initiator.accept()
    assert second.stat_sn == first.stat_sn + 1
    assert "TargetPortalGroupTag" not in keys_of(second)
    assert keys_of(second)["MaxRecvDataSegmentLength"] == "262144"


def test_login_without_operational_stage_has_the_defaults() -> None:
    initiator = peer()
    initiator.ask(security(NAMES | {"AuthMethod": "None"}, nsg=3))
    response = initiator.accept()
    assert (response.csg, response.nsg) == (0, 3)
    session = initiator.core.session
    assert session is not None
    assert session.max_recv_data_segment_bytes == 8192, "we had no occasion to declare more"
    assert session.max_burst_bytes == 262_144
    assert session.first_burst_bytes == 65_536
    assert (session.initial_r2t, session.immediate_data) == (True, True)
    assert session.max_outstanding_r2t == 1


def test_stage_lasts_until_the_initiator_wants_to_leave() -> None:
    initiator = peer()
    assert not initiator.send(security(NAMES, transit=False)).transit
    assert not initiator.send(security({"AuthMethod": "None"}, transit=False)).transit
    assert initiator.send(security()).transit
    assert not initiator.send(request({"MaxBurstLength": "65536"}, transit=False)).transit
    assert not initiator.send(request({"ImmediateData": "No"}, transit=False)).transit
    initiator.ask(request())
    initiator.accept()
    session = initiator.core.session
    assert session is not None
    assert (session.max_burst_bytes, session.immediate_data) == (65_536, False)


def test_we_declare_once() -> None:
    initiator = peer()
    first = keys_of(initiator.send(request(NAMES, transit=False)))
    assert first == {"TargetPortalGroupTag": "1", "MaxRecvDataSegmentLength": "262144"}
    assert keys_of(initiator.send(request(transit=False))) == {}


def test_stat_sn_counts_responses() -> None:
    initiator = peer()
    numbers = [initiator.send(request(NAMES, transit=False)).stat_sn]
    numbers += [initiator.send(request(transit=False)).stat_sn for _ in range(3)]
    initiator.ask(request())
    numbers.append(initiator.accept().stat_sn)
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert initiator.core.session is not None
    assert initiator.core.session.stat_sn == numbers[-1] + 1


def test_expected_cmd_sn_wraps() -> None:
    initiator = peer()
    initiator.ask(request(NAMES, cmd_sn=0xFFFF_FFFF))
    response = initiator.accept(command_window=4)
    assert (response.exp_cmd_sn, response.max_cmd_sn) == (0xFFFF_FFFF, 2)


@pytest.mark.parametrize("size", [1, 7, 47, 48, 49, 100])
def test_bytes_may_come_in_any_portions(size: int) -> None:
    data = frame(security(NAMES | {"AuthMethod": "None"})) + frame(request(OFFERS))
    initiator = peer()
    for start in range(0, len(data), size):
        initiator.core.receive_data(data[start : start + size])
    assert initiator.core.pending is not None
    assert len(initiator.responses()) == 1


def test_bytes_after_the_login_are_kept_for_the_next_owner() -> None:
    initiator = peer()
    command = frame(NopOut(cmd_sn=100, exp_stat_sn=0, initiator_task_tag=9))
    initiator.core.receive_data(frame(request(NAMES)) + command[:20])
    initiator.accept()
    initiator.core.receive_data(command[20:])
    assert initiator.core.trailing_data() == command


def test_text_may_be_continued() -> None:
    """C bit: no reply before the whole text is there. Spec: RFC 7143 §6.2."""
    whole = request(NAMES | OFFERS).data
    initiator = peer()
    for start in range(0, len(whole) - 10, 10):
        part = request(whole[start : start + 10], transit=False, continue_=True)
        response = initiator.send(part)
        assert (response.data, response.transit, response.continue_) == (b"", False, False)
    rest = len(whole) % 10 or 10
    initiator.ask(request(whole[-rest:]))
    assert keys_of(initiator.accept())["FirstBurstLength"] == "131072"


def test_answer_longer_than_a_segment_is_continued() -> None:
    unknown = {f"X-com.example.{'key' * 15}.{number}": "1" for number in range(110)}
    data = request(NAMES | unknown).data
    initiator = peer()
    first = initiator.send(request(data[:8000], transit=False, continue_=True))
    assert first.data == b""
    second = initiator.send(request(data[8000:]))
    assert (second.continue_, second.transit, len(second.data)) == (True, False, 8192)
    initiator.ask(request())
    last = initiator.accept()
    assert not last.continue_
    merged = second.data + last.data
    assert merged.count(b"=NotUnderstood\0") == len(unknown)


def test_answer_respects_the_initiators_segment_length() -> None:
    initiator = peer()
    keys = (
        NAMES | {"MaxRecvDataSegmentLength": "512"} | {f"X-{n}.{'k' * 40}": "" for n in range(20)}
    )
    response = initiator.send(request(keys))
    received = response.data
    while response.continue_:
        assert len(response.data) == 512
        initiator.core.receive_data(frame(request()))
        if initiator.core.pending:
            response = initiator.accept()
        else:
            (response,) = initiator.responses()
        received += response.data
    assert received.count(b"NotUnderstood") == 20
    assert initiator.core.session is not None


def test_text_before_all_of_ours_was_sent_is_an_error() -> None:
    initiator = peer()
    keys = (
        NAMES | {"MaxRecvDataSegmentLength": "512"} | {f"X-{n}.{'k' * 40}": "" for n in range(20)}
    )
    assert initiator.send(request(keys)).continue_
    assert initiator.send(request({"InitialR2T": "No"})).status == LoginStatus.INITIATOR_ERROR


def test_target_declares_its_tag_and_alias_in_the_first_response() -> None:
    """Spec: RFC 7143 §13.6, §13.9."""
    portal = Portal(address="192.0.2.10", tag=3)
    target = TargetPolicy(alias="backup disk", portals=(portal,))
    initiator = peer(policy(portal=portal, targets={TARGET: target}))
    keys = keys_of(initiator.send(security(NAMES)))
    assert keys == {"TargetPortalGroupTag": "3", "TargetAlias": "backup disk"}


def test_names_are_compared_in_normal_form() -> None:
    initiator = peer()
    initiator.ask(
        request(NAMES | {"TargetName": TARGET.upper(), "InitiatorName": INITIATOR.upper()})
    )
    pending = initiator.core.pending
    assert pending is not None
    assert (pending.target_name, pending.initiator_name) == (TARGET, INITIATOR)


def test_session_type_is_normal_unless_told_otherwise() -> None:
    initiator = peer()
    initiator.ask(request({"InitiatorName": INITIATOR, "TargetName": TARGET}))


def test_tsih_of_the_request_is_for_the_caller_to_judge() -> None:
    initiator = peer()
    initiator.ask(request(NAMES, tsih=0x99))
    assert initiator.core.pending is not None
    assert initiator.core.pending.tsih == 0x99


def test_we_insist_on_our_limit_before_the_stage_ends() -> None:
    """A default beyond our limit costs one more round trip."""
    initiator = peer(policy(offers=KeyOffers(max_burst_bytes=65_536, first_burst_bytes=65_536)))
    response = initiator.send(request(NAMES))
    assert not response.transit
    assert keys_of(response)["MaxBurstLength"] == "65536"
    initiator.ask(request({"MaxBurstLength": "32768"}))
    initiator.accept()
    session = initiator.core.session
    assert session is not None
    assert (session.max_burst_bytes, session.first_burst_bytes) == (32_768, 32_768)


def test_initiator_that_rejects_our_limit_is_refused() -> None:
    initiator = peer(policy(offers=KeyOffers(immediate_data=False)))
    assert keys_of(initiator.send(request(NAMES)))["ImmediateData"] == "No"
    response = initiator.send(request({"ImmediateData": "Reject"}))
    assert response.status == LoginStatus.INITIATOR_ERROR
    assert "ImmediateData is Yes, our limit is No" in refusal(initiator.core).reason


def test_initiator_that_skips_our_limit_is_refused() -> None:
    initiator = peer(policy(offers=KeyOffers(immediate_data=False)))
    response = initiator.send(security(NAMES, nsg=3))
    assert response.status == LoginStatus.INITIATOR_ERROR


def test_discovery_session() -> None:
    initiator = peer()
    response = initiator.send(request(DISCOVERY | {"MaxRecvDataSegmentLength": "32768"}))
    assert (response.transit, response.nsg, response.status) == (True, 3, 0)
    assert response.tsih != 0
    assert keys_of(response) == {"MaxRecvDataSegmentLength": "262144"}
    assert initiator.core.outcome == Discovery(
        initiator_name=INITIATOR,
        isid=ISID,
        tsih=response.tsih,
        cid=7,
        exp_cmd_sn=100,
        stat_sn=response.stat_sn + 1,
        max_recv_data_segment_bytes=262_144,
        peer_max_recv_data_segment_bytes=32_768,
        header_digest=False,
        data_digest=False,
        auth_user=None,
    )
    assert initiator.core.session is None


def test_caller_may_refuse() -> None:
    initiator = peer()
    initiator.ask(request(NAMES))
    initiator.core.refuse(LoginStatus.OUT_OF_RESOURCES, "200 sessions, limit 200")
    (response,) = initiator.responses()
    assert (response.status, response.transit) == (0x0302, False)
    assert initiator.core.outcome == Refused(
        LoginStatus.OUT_OF_RESOURCES, "200 sessions, limit 200"
    )


def test_nobody_is_told_who_asked_for_nothing() -> None:
    core = login_core()
    core.refuse(LoginStatus.OUT_OF_RESOURCES, "too many logins at once")
    assert core.data_to_send() == b""
    assert core.done


def test_end_of_stream_ends_the_login() -> None:
    core = login_core()
    core.receive_data(frame(request(NAMES))[:30])
    core.receive_eof()
    assert refusal(core).reason == "connection closed during login"
    assert core.data_to_send() == b""


def test_end_of_stream_while_the_caller_decides() -> None:
    initiator = peer()
    initiator.ask(request(NAMES))
    initiator.core.receive_eof()
    assert initiator.core.done
    assert initiator.core.pending is None


def test_end_of_stream_after_the_end_changes_nothing() -> None:
    initiator = peer()
    initiator.ask(request(NAMES))
    initiator.accept()
    initiator.core.receive_eof()
    initiator.core.refuse(LoginStatus.TARGET_ERROR, "too late")
    assert isinstance(initiator.core.outcome, FullFeature)
    assert initiator.core.data_to_send() == b""


def test_accept_needs_a_pending_login() -> None:
    with pytest.raises(AssertionError):
        login_core().accept(tsih=1)


@pytest.mark.parametrize("tsih", [0, 0x1_0000])
def test_accept_needs_a_handle(tsih: int) -> None:
    initiator = peer()
    initiator.ask(request(NAMES))
    with pytest.raises(AssertionError):
        initiator.core.accept(tsih=tsih)


@given(st.data())
def test_outcome_does_not_depend_on_portions(data: st.DataObject) -> None:
    stream = frame(security(NAMES | {"AuthMethod": "None"})) + frame(request(OFFERS))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)) | {0, len(stream)})
    initiator = peer()
    for start, end in itertools.pairwise(cuts):
        initiator.core.receive_data(stream[start:end])
    sent = initiator.core.data_to_send()
    whole = peer()
    whole.core.receive_data(stream)
    assert whole.core.data_to_send() == sent
    assert initiator.core.pending == whole.core.pending
