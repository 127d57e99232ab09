"""Authentication within a login. Spec: RFC 7143 §6.3.2, §12.1."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.proto.iscsi.chap import ChapAlgorithm
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.session import Discovery
from tests.support.login_peer import (
    CHAP,
    DISCOVERY,
    NAMES,
    SECRET,
    SECURED,
    TARGET_SECRET,
    TARGET_USER,
    USER,
    LoginPeer,
    keys_of,
    peer,
    policy,
    refusal,
    request,
    security,
)

SECURED_NAMES = NAMES | {"TargetName": SECURED}
HASHES = {5: "md5", 6: "sha1", 7: "sha256", 8: "sha3_256"}
THEIR_CHALLENGE = bytes(range(100, 132))


def begin(initiator: LoginPeer, algorithms: str, names: dict[str, str]) -> dict[str, str]:
    """Agree on CHAP and return the target's challenge."""
    response = initiator.send(security(names | {"AuthMethod": "CHAP,None"}))
    assert keys_of(response)["AuthMethod"] == "CHAP"
    assert not response.transit, "the stage does not end before the proof"
    response = initiator.send(security({"CHAP_A": algorithms}, transit=False))
    assert not response.transit
    return keys_of(response)


def proof(challenge: dict[str, str], secret: bytes = SECRET, user: str = USER) -> dict[str, str]:
    data = bytes.fromhex(challenge["CHAP_C"].removeprefix("0x"))
    digest = hashlib.new(
        HASHES[int(challenge["CHAP_A"])], bytes([int(challenge["CHAP_I"])]) + secret + data
    )
    return {"CHAP_N": user, "CHAP_R": "0x" + digest.hexdigest()}


@pytest.mark.parametrize("algorithm", ChapAlgorithm)
def test_one_way(algorithm: ChapAlgorithm) -> None:
    initiator = peer()
    challenge = begin(initiator, str(int(algorithm)), SECURED_NAMES)
    response = initiator.send(security(proof(challenge)))
    assert (response.transit, response.nsg) == (True, 1)
    assert keys_of(response) == {}
    initiator.ask(request())
    assert initiator.core.pending is not None
    assert initiator.core.pending.auth_user == USER
    initiator.accept()
    assert initiator.core.session is not None
    assert initiator.core.session.auth_user == USER


@pytest.mark.parametrize("algorithm", ChapAlgorithm)
def test_mutual(algorithm: ChapAlgorithm) -> None:
    initiator = peer()
    challenge = begin(initiator, str(int(algorithm)), SECURED_NAMES)
    theirs = {"CHAP_I": "200", "CHAP_C": "0x" + THEIR_CHALLENGE.hex()}
    response = initiator.send(security(proof(challenge) | theirs))
    expected = hashlib.new(HASHES[algorithm], b"\xc8" + TARGET_SECRET + THEIR_CHALLENGE)
    assert keys_of(response) == {
        "CHAP_N": TARGET_USER,
        "CHAP_R": "0x" + expected.hexdigest(),
    }
    assert response.transit


def test_wrong_secret() -> None:
    initiator = peer()
    challenge = begin(initiator, "7", SECURED_NAMES)
    response = initiator.send(security(proof(challenge, b"guess")))
    assert response.status == LoginStatus.AUTHENTICATION_FAILURE
    assert response.data == b""
    assert SECRET.decode() not in refusal(initiator.core).reason


def test_stage_cannot_be_left_during_the_exchange() -> None:
    initiator = peer()
    begin(initiator, "5", SECURED_NAMES)
    assert not initiator.send(security()).transit
    assert initiator.send(request()).status == LoginStatus.INITIATOR_ERROR


def test_straight_to_full_feature_after_the_proof() -> None:
    initiator = peer()
    challenge = begin(initiator, "5", SECURED_NAMES)
    initiator.ask(security(proof(challenge), nsg=3))
    assert initiator.core.pending is not None
    assert initiator.core.pending.auth_user == USER


def test_method_and_algorithms_may_come_together() -> None:
    initiator = peer()
    response = initiator.send(
        security(SECURED_NAMES | {"AuthMethod": "CHAP", "CHAP_A": "7,5"}, transit=False)
    )
    keys = keys_of(response)
    assert keys["CHAP_A"] == "7"
    assert initiator.send(security(proof(keys))).transit


def test_target_without_accounts_chooses_none() -> None:
    response = peer().send(security(NAMES | {"AuthMethod": "CHAP,None"}))
    assert keys_of(response)["AuthMethod"] == "None"
    assert response.transit


def test_operational_keys_wait_for_their_stage() -> None:
    response = peer().send(security(NAMES | {"MaxBurstLength": "65536"}))
    assert keys_of(response)["MaxBurstLength"] == "Reject"


def test_authentication_keys_have_no_place_later() -> None:
    initiator = peer()
    initiator.ask(request(NAMES | {"AuthMethod": "None", "CHAP_A": "5"}))
    keys = keys_of(initiator.accept())
    assert (keys["AuthMethod"], keys["CHAP_A"]) == ("Reject", "Reject")


def test_discovery_session_with_chap() -> None:
    initiator = peer(policy(discovery_chap=CHAP))
    challenge = begin(initiator, "8", DISCOVERY)
    assert initiator.send(security(proof(challenge), nsg=3)).transit
    assert isinstance(initiator.core.outcome, Discovery)
    assert initiator.core.outcome.auth_user == USER


def test_key_split_between_requests() -> None:
    """CHAP_N in one request and the rest in the next, joined by the C bit."""
    initiator = peer()
    challenge = begin(initiator, "7", SECURED_NAMES)
    data = security(proof(challenge)).data
    initiator.send(security(data[:20], transit=False, continue_=True))
    assert initiator.send(security(data[20:])).transit
