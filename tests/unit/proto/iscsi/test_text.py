from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.text import (
    BINARY_BYTES_MAX,
    KEY_BYTES_MAX,
    PAIRS_MAX,
    SEQUENCE_BYTES_MAX,
    VALUE_BYTES_MAX,
    Pair,
    TextSequence,
    encode_pairs,
    format_binary,
    parse_binary,
    parse_boolean,
    parse_list,
    parse_number,
    parse_pairs,
)

VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=200)
KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9.+@_#-]{0,62}", fullmatch=True)


@given(st.lists(st.builds(Pair, KEYS, VALUES), max_size=40))
def test_pairs_round_trip(pairs: list[Pair]) -> None:
    assert parse_pairs(encode_pairs(pairs)) == pairs


def test_value_may_have_equals_signs_and_be_empty() -> None:
    assert parse_pairs(b"A=b=c\0SendTargets=\0") == [Pair("A", "b=c"), Pair("SendTargets", "")]


def test_several_terminators_count_as_one() -> None:
    assert parse_pairs(b"\0A=1\0\0\0B=2\0\0") == [Pair("A", "1"), Pair("B", "2")]


def test_repeated_keys_are_kept_for_the_negotiation_to_judge() -> None:
    assert parse_pairs(b"A=1\0A=2\0") == [Pair("A", "1"), Pair("A", "2")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A=1", "does not end with a null"),
        (b"A\0", "without '='"),
        (b"=1\0", "character it must not have"),
        (b"1A=1\0", "character it must not have"),
        (b"A B=1\0", "character it must not have"),
        (b"\xc3\xa9=1\0", "character it must not have"),
        (b"A" * (KEY_BYTES_MAX + 1) + b"=1\0", "64 bytes, limit 63"),
        (b"A=" + b"v" * (VALUE_BYTES_MAX + 1) + b"\0", "8193 bytes, limit 8192"),
        (b"A=\xff\0", "not UTF-8"),
        (b"A=a\x1bb\0", "control character"),
        (b"A=a\x7fb\0", "control character"),
        (b"A=1\0" * (PAIRS_MAX + 1), "513 key=value pairs, limit 512"),
    ],
)
def test_malformed_text(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        parse_pairs(data)


def test_key_and_value_of_the_longest_length() -> None:
    pair = Pair("K" * KEY_BYTES_MAX, "v" * VALUE_BYTES_MAX)
    assert parse_pairs(encode_pairs([pair])) == [pair]


@given(st.binary(max_size=400))
def test_arbitrary_bytes_parse_or_are_refused_in_few_words(data: bytes) -> None:
    message = ""
    try:
        pairs = parse_pairs(data)
    except ProtocolError as error:
        pairs, message = [], str(error)
    assert parse_pairs(encode_pairs(pairs)) == pairs
    assert not message or message.isprintable()
    assert len(message) < 400


@given(st.lists(st.builds(Pair, KEYS, VALUES), max_size=8), st.data())
def test_sequence_may_be_cut_anywhere(pairs: list[Pair], data: st.DataObject) -> None:
    """A pair may span two PDUs. Spec: RFC 7143 §6.2."""
    text = encode_pairs(pairs)
    cut = data.draw(st.integers(0, len(text)))
    sequence = TextSequence()
    assert sequence.receive_segment(text[:cut], more=True) is None
    assert sequence.receive_segment(text[cut:], more=False) == pairs
    assert sequence.is_empty


def test_sequence_is_bounded_however_it_is_cut() -> None:
    sequence = TextSequence()
    segment = bytes(8192)
    for _ in range(SEQUENCE_BYTES_MAX // len(segment)):
        assert sequence.receive_segment(segment, more=True) is None
    with pytest.raises(ProtocolError, match="limit 65536"):
        sequence.receive_segment(b"\0", more=True)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("262144", 262144),
        ("0x40000", 262144),
        ("0X1f", 31),
        ("18446744073709551615", (1 << 64) - 1),
        ("18446744073709551616", None),
        ("9" * 1000, None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1_000", None),
        ("0x", None),
        ("\u0661", None),
        ("", None),
    ],
)
def test_parse_number(text: str, number: int | None) -> None:
    assert parse_number(text) == number


def test_parse_boolean_is_case_sensitive() -> None:
    assert parse_boolean("Yes") is True
    assert parse_boolean("No") is False
    assert parse_boolean("yes") is None
    assert parse_boolean("1") is None


def test_parse_list_keeps_the_order_of_preference() -> None:
    assert parse_list("CRC32C,None") == ("CRC32C", "None")


@given(st.binary(min_size=1, max_size=BINARY_BYTES_MAX))
def test_binary_round_trip(data: bytes) -> None:
    assert parse_binary(format_binary(data)) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("0x00ff", b"\x00\xff"),
        ("0XABcd", b"\xab\xcd"),
        ("0bAAECAw==", b"\x00\x01\x02\x03"),
        ("0BAAECAw==", b"\x00\x01\x02\x03"),
        ("0xabc", None),
        ("0x", None),
        ("0b", None),
        ("0xzz", None),
        ("0xab cd", None),
        ("0bAAE", None),
        ("0bA\u00e9==", None),
        ("abcd", None),
        ("0x" + "00" * (BINARY_BYTES_MAX + 1), None),
        ("0x" + "\u0661\u0661", None),
    ],
)
def test_parse_binary(text: str, data: bytes | None) -> None:
    assert parse_binary(text) == data
