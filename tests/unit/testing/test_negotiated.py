"""Which answers to an offer are lawful, and what they amount to."""

from __future__ import annotations

import pytest

from fairlead.testing.negotiated import (
    Parameters,
    answer_offer,
    check_answer,
    decode_keys,
    decode_pairs,
    encode_keys,
)
from fairlead.testing.outcome import TargetViolation


@pytest.mark.parametrize(
    ("name", "offer", "answer"),
    [
        ("InitialR2T", "Yes", "Yes"),
        ("InitialR2T", "No", "Yes"),
        ("InitialR2T", "No", "No"),
        ("ImmediateData", "Yes", "No"),
        ("MaxBurstLength", "65536", "65536"),
        ("MaxBurstLength", "0x10000", "512"),
        ("DefaultTime2Wait", "2", "3"),
        ("HeaderDigest", "CRC32C,None", "None"),
        ("MaxOutstandingR2T", "4", "Reject"),
        ("X-com.example.key", "1", "anything"),
    ],
)
def test_lawful_answer(name: str, offer: str, answer: str) -> None:
    check_answer(name, offer, answer)


@pytest.mark.parametrize(
    ("name", "offer", "answer"),
    [
        ("InitialR2T", "Yes", "No"),
        ("InitialR2T", "Yes", "Perhaps"),
        ("ImmediateData", "No", "Yes"),
        ("MaxBurstLength", "65536", "65537"),
        ("MaxBurstLength", "65536", "many"),
        ("DefaultTime2Wait", "2", "1"),
        ("HeaderDigest", "CRC32C", "None"),
    ],
)
def test_unlawful_answer(name: str, offer: str, answer: str) -> None:
    """Spec: RFC 7143 §6.2."""
    with pytest.raises(TargetViolation, match=f"{name}={answer} in answer to our {offer}"):
        check_answer(name, offer, answer)


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("TargetAlias", "disk", None),
        ("MaxRecvDataSegmentLength", "4096", None),
        ("MaxBurstLength", "4096", "4096"),
        ("ImmediateData", "No", "No"),
        ("HeaderDigest", "CRC32C", "Reject"),
        ("X-com.example.key", "1", "NotUnderstood"),
    ],
)
def test_answer_to_the_targets_offer(name: str, theirs: str, ours: str | None) -> None:
    assert answer_offer(name, theirs) == ours


def test_parameters_default_to_the_standards() -> None:
    """Spec: RFC 7143 §13."""
    assert Parameters.from_keys({}, {}) == Parameters()
    refused = dict.fromkeys(("MaxBurstLength", "InitialR2T", "HeaderDigest"), "NotUnderstood")
    assert Parameters.from_keys({}, refused) == Parameters()


def test_parameters() -> None:
    ours = {"MaxRecvDataSegmentLength": "0x4000", "MaxBurstLength": "262144"}
    theirs = {
        "MaxRecvDataSegmentLength": "512",
        "MaxBurstLength": "4096",
        "FirstBurstLength": "1024",
        "InitialR2T": "No",
        "ImmediateData": "No",
        "MaxOutstandingR2T": "3",
        "HeaderDigest": "CRC32C",
        "DataDigest": "None",
    }
    assert Parameters.from_keys(ours, theirs) == Parameters(
        max_recv_data_segment_bytes=16384,
        target_max_recv_data_segment_bytes=512,
        max_burst_bytes=4096,
        first_burst_bytes=1024,
        initial_r2t=False,
        immediate_data=False,
        max_outstanding_r2t=3,
        header_digest=True,
        data_digest=False,
    )


def test_first_burst_never_exceeds_max_burst() -> None:
    """Also where the target finds FirstBurstLength irrelevant. Spec: RFC 7143 §13.14."""
    keys = {"MaxBurstLength": "1024", "FirstBurstLength": "Irrelevant"}
    assert Parameters.from_keys({}, keys).first_burst_bytes == 1024


def test_keys_round_trip() -> None:
    keys = {"A": "1", "B": "", "C": "x=y"}
    assert decode_keys(encode_keys(keys)) == keys
    assert decode_keys(b"A=1\0\0\0") == {"A": "1"}  # padding by zero bytes


def test_pairs_may_repeat() -> None:
    assert decode_pairs(b"A=1\0B=2\0A=3\0") == [("A", "1"), ("B", "2"), ("A", "3")]


@pytest.mark.parametrize("data", [b"A=1", b"A\0", b"A=1\0A=2\0", b"A=\xff\0"])
def test_malformed_text(data: bytes) -> None:
    with pytest.raises(TargetViolation, match="text"):
        decode_keys(data)
