from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import LoginError
from fairlead.proto.iscsi.chap import (
    ChapAccount,
    ChapAlgorithm,
    ChapAuthenticator,
    ChapPolicy,
    chap_response,
)
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.text import Pair
from tests.support.login_peer import (
    CHAP,
    SECRET,
    TARGET_SECRET,
    TARGET_USER,
    USER,
    Challenges,
)

HASHES = {
    ChapAlgorithm.MD5: (5, "md5", 16),
    ChapAlgorithm.SHA1: (6, "sha1", 20),
    ChapAlgorithm.SHA_256: (7, "sha256", 32),
    ChapAlgorithm.SHA3_256: (8, "sha3_256", 32),
}


def authenticator(**changes: Any) -> ChapAuthenticator:
    values: dict[str, Any] = {"accounts": CHAP.accounts, "mutual": CHAP.mutual}
    return ChapAuthenticator(ChapPolicy(**values | changes), challenge=Challenges())


def challenged(core: ChapAuthenticator, algorithms: str = "5") -> dict[str, str]:
    return dict(core.receive_keys({"CHAP_A": algorithms}))


def proof(keys: dict[str, str], secret: bytes = SECRET) -> bytes:
    name = {number: name for number, name, _ in HASHES.values()}[int(keys["CHAP_A"])]
    challenge = bytes.fromhex(keys["CHAP_C"].removeprefix("0x"))
    return hashlib.new(name, bytes([int(keys["CHAP_I"])]) + secret + challenge).digest()


def response(keys: dict[str, str], secret: bytes = SECRET, user: str = USER) -> dict[str, str]:
    return {"CHAP_N": user, "CHAP_R": "0x" + proof(keys, secret).hex()}


def refused(core: ChapAuthenticator, keys: dict[str, str]) -> str:
    with pytest.raises(LoginError) as caught:
        core.receive_keys(keys)
    assert caught.value.status is LoginStatus.AUTHENTICATION_FAILURE
    assert core.user is None
    return caught.value.reason


@pytest.mark.parametrize("algorithm", ChapAlgorithm)
def test_response_is_hash_of_identifier_secret_challenge(algorithm: ChapAlgorithm) -> None:
    number, name, digest_bytes = HASHES[algorithm]
    assert algorithm == number
    assert algorithm.digest_bytes == digest_bytes
    assert (
        chap_response(algorithm, identifier=0x42, secret=b"secret", challenge=b"challenge")
        == hashlib.new(name, b"\x42secretchallenge").digest()
    )


@pytest.mark.parametrize("algorithm", ChapAlgorithm)
def test_one_way(algorithm: ChapAlgorithm) -> None:
    core = authenticator()
    keys = challenged(core, str(int(algorithm)))
    assert int(keys["CHAP_A"]) == algorithm
    assert len(keys["CHAP_C"]) == 2 + 2 * algorithm.digest_bytes
    assert core.receive_keys(response(keys)) == []
    assert core.user == USER


@pytest.mark.parametrize("algorithm", ChapAlgorithm)
def test_mutual(algorithm: ChapAlgorithm) -> None:
    core = authenticator()
    keys = challenged(core, str(int(algorithm)))
    theirs = {"CHAP_I": "7", "CHAP_C": "0x" + bytes(range(32)).hex()}
    answer = core.receive_keys(response(keys) | theirs)
    expected = hashlib.new(
        HASHES[algorithm][1], b"\x07" + TARGET_SECRET + bytes(range(32))
    ).hexdigest()
    assert answer == [Pair("CHAP_N", TARGET_USER), Pair("CHAP_R", "0x" + expected)]
    assert core.user == USER


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        ("8,7,6,5", {5, 6, 7, 8}, "8"),
        ("5,8", {5, 6, 7, 8}, "5"),
        ("5,6,7", {7, 8}, "7"),
        ("99,X,7", {7}, "7"),
        ("0x5", {5}, "5"),
    ],
)
def test_initiators_preference_among_those_allowed(
    offered: str, allowed: set[int], chosen: str
) -> None:
    core = authenticator(algorithms=frozenset(map(ChapAlgorithm, allowed)))
    assert challenged(core, offered)["CHAP_A"] == chosen


def test_no_algorithm_in_common() -> None:
    core = authenticator(algorithms=frozenset({ChapAlgorithm.SHA3_256}))
    assert "no algorithm of ours (8)" in refused(core, {"CHAP_A": "5,6"})


def test_response_in_base64_and_identifier_in_hex() -> None:
    core = authenticator()
    keys = challenged(core)
    encoded = "0b" + base64.b64encode(proof(keys)).decode()
    theirs = {"CHAP_I": "0x0f", "CHAP_C": "0b" + base64.b64encode(bytes(16)).decode()}
    answer = dict(core.receive_keys({"CHAP_N": USER, "CHAP_R": encoded} | theirs))
    expected = hashlib.md5(b"\x0f" + TARGET_SECRET + bytes(16), usedforsecurity=False)
    assert answer["CHAP_R"] == "0x" + expected.hexdigest()


def test_capital_hex_digits() -> None:
    """As libiscsi writes them."""
    core = authenticator()
    keys = challenged(core)
    core.receive_keys({"CHAP_N": USER, "CHAP_R": "0x" + proof(keys).hex().upper()})
    assert core.user == USER


def test_wrong_secret_and_unknown_user_are_told_apart_by_nobody() -> None:
    wrong, unknown = authenticator(), authenticator()
    a = refused(wrong, response(challenged(wrong), b"guess", USER))
    b = refused(unknown, response(challenged(unknown), SECRET, "eve"))
    assert a.replace(USER, "eve") == b


def test_unknown_user_has_no_secret_to_guess() -> None:
    """The stand-in that makes the timing equal must not let anybody in."""
    core = authenticator()
    keys = challenged(core)
    challenge = bytes.fromhex(keys["CHAP_C"].removeprefix("0x"))
    refused(core, response(keys, challenge, "eve"))


def test_secret_of_another_account_does_not_do() -> None:
    core = authenticator()
    refused(core, response(challenged(core), CHAP.accounts["bob"]))


@pytest.mark.parametrize(
    "change",
    [
        {"CHAP_R": "0x00"},
        {"CHAP_R": "0x" + "00" * 17},
        {"CHAP_R": "junk"},
        {"CHAP_R": ""},
        {"CHAP_N": ""},
        {"CHAP_N": "x" * 256},
        {"CHAP_I": "1"},
        {"CHAP_C": "0x0102"},
        {"CHAP_I": "256", "CHAP_C": "0x0102"},
        {"CHAP_I": "-1", "CHAP_C": "0x0102"},
        {"CHAP_I": "1", "CHAP_C": "0x"},
        {"CHAP_I": "1", "CHAP_C": "0x" + "00" * 1025},
        {"CHAP_A": "5"},
    ],
    ids=str,
)
def test_malformed_response(change: dict[str, str]) -> None:
    core = authenticator()
    keys = challenged(core)
    refused(core, response(keys) | change)


@pytest.mark.parametrize("missing", ["CHAP_N", "CHAP_R"])
def test_incomplete_response(missing: str) -> None:
    core = authenticator()
    keys = response(challenged(core))
    del keys[missing]
    assert "CHAP expects CHAP_N, CHAP_R" in refused(core, keys)


@pytest.mark.parametrize("keys", [{"CHAP_N": "a", "CHAP_R": "0x00"}, {"CHAP_I": "1"}])
def test_response_before_challenge(keys: dict[str, str]) -> None:
    refused(authenticator(), keys)


def test_keys_after_the_end() -> None:
    core = authenticator()
    keys = challenged(core)
    core.receive_keys(response(keys))
    with pytest.raises(LoginError, match="after the end of CHAP"):
        core.receive_keys(response(keys))


def test_nothing_received_changes_nothing() -> None:
    core = authenticator()
    assert core.receive_keys({}) == []
    keys = challenged(core)
    assert core.receive_keys({}) == []
    core.receive_keys(response(keys))
    assert core.user == USER


def test_our_challenge_sent_back_is_refused() -> None:
    """Reflection. Spec: RFC 7143 §9.2.1, §12.1.3."""
    core = authenticator()
    keys = challenged(core)
    reflected = {"CHAP_I": keys["CHAP_I"], "CHAP_C": keys["CHAP_C"].upper().replace("X", "x", 1)}
    assert "our own challenge" in refused(core, response(keys) | reflected)


def test_one_secret_for_both_directions_is_refused() -> None:
    core = authenticator(mutual=ChapAccount(user=TARGET_USER, secret=SECRET))
    keys = challenged(core)
    theirs = {"CHAP_I": "1", "CHAP_C": "0x0102"}
    assert "same secret" in refused(core, response(keys) | theirs)


def test_challenge_without_an_account_of_ours_is_refused() -> None:
    core = authenticator(mutual=None)
    keys = challenged(core)
    assert "no account" in refused(core, response(keys) | {"CHAP_I": "1", "CHAP_C": "0x0102"})


def test_we_prove_nothing_to_an_initiator_that_proved_nothing() -> None:
    core = authenticator()
    keys = challenged(core)
    theirs = {"CHAP_I": "1", "CHAP_C": "0x0102"}
    assert "wrong user or secret" in refused(core, response(keys, b"guess") | theirs)


def test_two_exchanges_have_two_challenges() -> None:
    source = Challenges()
    first = ChapAuthenticator(CHAP, challenge=source).receive_keys({"CHAP_A": "7"})
    second = ChapAuthenticator(CHAP, challenge=source).receive_keys({"CHAP_A": "7"})
    assert dict(first)["CHAP_C"] != dict(second)["CHAP_C"]


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(CHAP).replace("secrets", "")
    assert SECRET.decode() not in repr(CHAP)
    assert TARGET_SECRET.decode() not in repr(CHAP)


KEYS = st.dictionaries(
    st.sampled_from(["CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"]),
    st.text(max_size=40) | st.just("5") | st.just("0x00112233445566778899aabbccddeeff"),
    max_size=5,
)


@given(st.lists(KEYS, max_size=4))
def test_nobody_gets_in_without_the_secret(batches: list[dict[str, str]]) -> None:
    core = authenticator()
    for batch in batches:
        try:
            core.receive_keys(batch)
        except LoginError:
            break
    assert core.user is None
