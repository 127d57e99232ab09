"""CHAP, seen by the initiator."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.testing.chap import Chap, MutualChap, decode_binary, encode_binary, respond_with
from fairlead.testing.outcome import TargetViolation

CHALLENGE = {"CHAP_A": "5", "CHAP_I": "18", "CHAP_C": "0x0102"}
ALGORITHMS = [(5, "md5"), (6, "sha1"), (7, "sha256"), (8, "sha3_256")]


@pytest.mark.parametrize(("number", "name"), ALGORITHMS)
def test_response(number: int, name: str) -> None:
    """Spec: RFC 1994 §4.1; RFC 7143 §12.1.3."""
    expected = hashlib.new(name, b"\x12secret\x01\x02").digest()
    assert respond_with(b"secret")(number, 0x12, b"\x01\x02") == expected


def test_answer() -> None:
    chap = Chap(name="joe", respond=lambda *_: b"\xaa", algorithms=(7, 5))
    assert chap.offer() == {"CHAP_A": "7,5"}
    assert chap.answer(CHALLENGE) == (5, {"CHAP_N": "joe", "CHAP_R": "0xaa"})


def test_answer_asks_the_target_in_turn() -> None:
    mutual = MutualChap(respond=respond_with(b"x"), identifier=3, challenge=b"\x09")
    chap = Chap.from_secret("joe", b"secret", mutual=mutual)
    _, keys = chap.answer(CHALLENGE)
    assert (keys["CHAP_I"], keys["CHAP_C"]) == ("3", "0x09")


@pytest.mark.parametrize(
    "change", [{"CHAP_A": "6"}, {"CHAP_I": "x"}, {"CHAP_C": "0102"}, {"CHAP_C": "0b*"}], ids=str
)
def test_malformed_challenge(change: dict[str, str]) -> None:
    with pytest.raises(TargetViolation, match="CHAP"):
        Chap.from_secret("joe", b"secret").answer(CHALLENGE | change)


def test_missing_challenge() -> None:
    with pytest.raises(TargetViolation, match="malformed CHAP challenge"):
        Chap.from_secret("joe", b"secret").answer({"CHAP_A": "5"})


def test_mutual_check() -> None:
    mutual = MutualChap(name="target", respond=respond_with(b"secret"), identifier=1)
    right = respond_with(b"secret")(5, 1, mutual.challenge)
    mutual.check(5, "target", right)
    for name, response in (("other", right), ("target", bytes(16))):
        with pytest.raises(TargetViolation, match="has not proved its name"):
            mutual.check(5, name, response)


def test_binary_values() -> None:
    """Spec: RFC 7143 §6.1."""
    assert encode_binary(b"\x00\xff") == "0x00ff"
    assert decode_binary("0X1ff") == b"\x01\xff"
    assert decode_binary("0bAf8=") == b"\x01\xff"
    with pytest.raises(ValueError, match="without prefix"):
        decode_binary("12")
