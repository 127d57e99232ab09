"""The login, led by a scripted target."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.proto.iscsi.pdu import LoginRequest, LoginResponse, NopIn
from fairlead.testing.chap import Chap, MutualChap, decode_binary, encode_binary, respond_with
from fairlead.testing.initiator import Initiator, State
from fairlead.testing.negotiated import Parameters, decode_keys, encode_keys
from fairlead.testing.outcome import LoginRefused, TargetViolation
from tests.support.scripted_target import INITIATOR, TARGET, ScriptedTarget, logged_in, offer


def begin(**changes: Any) -> tuple[Initiator, ScriptedTarget]:
    initiator = Initiator(offer(**changes))
    return initiator, ScriptedTarget(initiator)


def test_first_request() -> None:
    """Spec: RFC 7143 §6.3."""
    _, target = begin(isid=b"\x80isid5", cid=3, cmd_sn=9)
    request = target.hears(LoginRequest)
    assert (request.csg, request.nsg, request.transit) == (0, 1, True)
    assert (request.isid, request.tsih, request.cid, request.cmd_sn) == (b"\x80isid5", 0, 3, 9)
    assert decode_keys(request.data) == {
        "InitiatorName": INITIATOR,
        "SessionType": "Normal",
        "TargetName": TARGET,
        "AuthMethod": "None",
    }


def test_normal_session() -> None:
    initiator, target = begin(keys={"MaxBurstLength": "65536", "InitialR2T": None})
    target.answers_login({"AuthMethod": "None", "TargetPortalGroupTag": "1"})
    request = target.hears(LoginRequest)
    assert (request.csg, request.nsg, request.transit) == (1, 3, True)
    assert request.exp_stat_sn == 101
    keys = decode_keys(request.data)
    assert keys["MaxBurstLength"] == "65536"
    assert "InitialR2T" not in keys
    target.answers_login_to(request, {"MaxBurstLength": "32768", "TargetAlias": "disk"})
    assert initiator.state is State.FULL_FEATURE
    assert initiator.login.tsih == 0x77
    assert initiator.login.target_keys["TargetAlias"] == "disk"
    assert initiator.parameters == Parameters(
        max_recv_data_segment_bytes=262144, max_burst_bytes=32768, first_burst_bytes=32768
    )


def test_discovery_session() -> None:
    initiator, target = begin(target_name=None)
    keys = decode_keys(target.hears(LoginRequest).data)
    assert keys["SessionType"] == "Discovery"
    assert "TargetName" not in keys
    target.says(
        LoginResponse, transit=True, csg=0, nsg=1, isid=offer().isid, initiator_task_tag=0,
        data=encode_keys({"AuthMethod": "None"}),
    )  # fmt: skip
    request = target.hears(LoginRequest)
    assert "MaxBurstLength" not in decode_keys(request.data)
    target.answers_login_to(request, {})
    assert initiator.state is State.FULL_FEATURE


def test_operational_stage_first() -> None:
    initiator, target = begin(begins_operational=True)
    request = target.hears(LoginRequest)
    assert (request.csg, request.nsg) == (1, 3)
    assert decode_keys(request.data)["InitiatorName"] == INITIATOR
    target.answers_login_to(request, {"TargetPortalGroupTag": "1"})
    assert initiator.state is State.FULL_FEATURE


def test_chap_both_ways() -> None:
    mutual = MutualChap(name="them", respond=respond_with(b"their secret"))
    chap = Chap.from_secret("joe", b"my secret", algorithms=(7, 5), mutual=mutual)
    initiator, target = begin(chap=chap)
    target.answers_login({"AuthMethod": "CHAP", "TargetPortalGroupTag": "1"})
    assert decode_keys(target.hears(LoginRequest).data) == {"CHAP_A": "7,5"}
    challenge = {"CHAP_A": "7", "CHAP_I": "9", "CHAP_C": "0x0a0b"}
    target.says(
        LoginResponse, transit=False, csg=0, isid=offer().isid, initiator_task_tag=0,
        data=encode_keys(challenge),
    )  # fmt: skip
    request = target.hears(LoginRequest)
    keys = decode_keys(request.data)
    assert request.transit
    assert keys["CHAP_N"] == "joe"
    assert decode_binary(keys["CHAP_R"]) == respond_with(b"my secret")(7, 9, b"\x0a\x0b")
    proof = respond_with(b"their secret")(7, 1, decode_binary(keys["CHAP_C"]))
    target.says(
        LoginResponse, transit=True, csg=0, nsg=1, isid=offer().isid, initiator_task_tag=0,
        data=encode_keys({"CHAP_N": "them", "CHAP_R": encode_binary(proof)}),
    )  # fmt: skip
    assert target.hears(LoginRequest).csg == 1
    assert initiator.state is State.LOGIN


@pytest.mark.parametrize("keys", [{}, {"CHAP_N": "them", "CHAP_R": "0x00"}], ids=str)
def test_target_that_does_not_prove_itself(keys: dict[str, str]) -> None:
    mutual = MutualChap(respond=respond_with(b"their secret"))
    _, target = begin(chap=Chap.from_secret("joe", b"my secret", mutual=mutual))
    target.answers_login({"AuthMethod": "CHAP"})
    target.answers_login({"CHAP_A": "5", "CHAP_I": "9", "CHAP_C": "0x0a"})
    with pytest.raises(TargetViolation, match="CHAP"):
        target.answers_login(keys)


def test_stage_that_the_target_does_not_leave_at_once() -> None:
    initiator, target = begin()
    target.answers_login({"AuthMethod": "None", "TargetPortalGroupTag": "1"}, transit=False, nsg=0)
    assert target.hears(LoginRequest).data == b""
    target.says(LoginResponse, transit=True, csg=0, nsg=1, isid=offer().isid, initiator_task_tag=0)
    request = target.hears(LoginRequest)
    target.says(
        LoginResponse, transit=False, csg=1, isid=offer().isid, initiator_task_tag=0,
        data=encode_keys({"X-com.example.key": "1"}),
    )  # fmt: skip
    request = target.hears(LoginRequest)
    assert decode_keys(request.data) == {"X-com.example.key": "NotUnderstood"}
    target.answers_login_to(request, {})
    assert initiator.state is State.FULL_FEATURE


def test_text_is_cut_and_continued() -> None:
    """Spec: RFC 7143 §6.2, §11.12.2."""
    _, target = begin(segment_bytes_max=100)
    pieces = []
    while True:
        request = target.hears(LoginRequest)
        pieces.append(request.data)
        assert request.transit is not request.continue_
        if not request.continue_:
            break
        target.says(LoginResponse, transit=False, csg=0, isid=offer().isid, initiator_task_tag=0)
    assert [len(piece) for piece in pieces[:-1]] == [100] * (len(pieces) - 1)
    assert decode_keys(b"".join(pieces))["AuthMethod"] == "None"


def test_targets_text_is_joined() -> None:
    initiator, target = begin()
    text = encode_keys({"AuthMethod": "None", "TargetPortalGroupTag": "1"})
    target.answers_login(continue_=True, transit=False, nsg=0, data=text[:20])
    assert target.hears(LoginRequest).data == b""
    target.says(
        LoginResponse, transit=True, csg=0, nsg=1, isid=offer().isid, initiator_task_tag=0,
        data=text[20:],
    )  # fmt: skip
    assert initiator.login.target_keys["TargetPortalGroupTag"] == "1"


def test_refusal() -> None:
    _, target = begin()
    with pytest.raises(LoginRefused, match="0x0203") as caught:
        target.answers_login(status=0x0203)
    assert caught.value.status == 0x0203


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"isid": b"\x80other"}, "ISID is not ours"),
        ({"initiator_task_tag": 5}, "task tag is not ours"),
        ({"csg": 1}, "CSG is not ours"),
        ({"nsg": 3}, "NSG is not ours"),
        ({"continue_": True}, "T and C bit"),
        ({"version_active": 1}, "version is not 0"),
        ({"max_cmd_sn": 5, "exp_cmd_sn": 2}, "ExpCmdSN 2, but our next CmdSN is 1"),
        ({"data": encode_keys({"AuthMethod": "CHAP"})}, "AuthMethod=CHAP in answer to our None"),
        ({"data": b""}, "AuthMethod=None in answer to our None"),
        ({"data": b"AuthMethod=None"}, "does not end with a zero byte"),
    ],
    ids=str,
)
def test_violation_in_the_first_response(values: dict[str, Any], rule: str) -> None:
    _, target = begin()
    with pytest.raises(TargetViolation, match=rule):
        target.answers_login({"AuthMethod": "None"}, **values)


def test_transit_that_was_not_asked_for() -> None:
    _, target = begin(chap=Chap.from_secret("joe", b"secret"))
    with pytest.raises(TargetViolation, match="T bit, but we did not set it"):
        target.answers_login({"AuthMethod": "CHAP"}, transit=True, nsg=1)


def test_text_that_interrupts_ours() -> None:
    _, target = begin(segment_bytes_max=100)
    with pytest.raises(TargetViolation, match="after an unfinished text of ours"):
        target.answers_login({"AuthMethod": "None"})


def test_login_that_goes_in_circles() -> None:
    _, target = begin()
    target.answers_login({"AuthMethod": "None"}, transit=False, nsg=0)

    def go_round() -> None:
        while True:
            target.answers_login(transit=False, nsg=0)

    with pytest.raises(TargetViolation, match="login not over after 32 requests"):
        go_round()


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"MaxBurstLength": "999999"}, "MaxBurstLength=999999 in answer to our 262144"),
        ({"X-com.example.key": "1"}, "the login ends with unanswered offers"),
    ],
    ids=str,
)
def test_violation_at_the_end(keys: dict[str, str], rule: str) -> None:
    with pytest.raises(TargetViolation, match=rule):
        logged_in(target_keys=keys)


def test_final_response_without_tsih() -> None:
    _, target = begin()
    target.answers_login({"AuthMethod": "None", "TargetPortalGroupTag": "1"})
    with pytest.raises(TargetViolation, match="TSIH 0"):
        target.answers_login(tsih=0)


def test_portal_group_tag_missing() -> None:
    """Spec: RFC 7143 §13.9."""
    _, target = begin()
    target.answers_login({"AuthMethod": "None"})
    with pytest.raises(TargetViolation, match="TargetPortalGroupTag"):
        target.answers_login()


def test_other_pdu_in_login() -> None:
    _, target = begin()
    with pytest.raises(TargetViolation, match="NopIn before the end of the login"):
        target.says(NopIn)
