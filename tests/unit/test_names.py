from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidNameError
from fairlead.names import (
    NAME_BYTES_MAX,
    NameKind,
    kind,
    matches,
    matches_any,
    normalise,
    normalise_pattern,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("iqn.1993-08.org.debian:01:5a9c", "iqn.1993-08.org.debian:01:5a9c"),
        ("iqn.2008-11.org.linux-kvm", "iqn.2008-11.org.linux-kvm"),
        ("IQN.1991-05.COM.Microsoft:HOST-7", "iqn.1991-05.com.microsoft:host-7"),
        ("iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-perf", None),
        ("iqn.2020-01.com.example:host_with_underscore", None),
        ("iqn.2020-01.com.example:stra\u00dfe", "iqn.2020-01.com.example:strasse"),
        ("iqn.2020-01.com.example:\uff21", "iqn.2020-01.com.example:a"),  # full width A
        ("iqn.2020-01.com.example:soft\u00adhyphen", "iqn.2020-01.com.example:softhyphen"),
        ("eui.02004567A425678D", "eui.02004567a425678d"),
        ("naa.52004567BA64678D", "naa.52004567ba64678d"),
        ("naa.62004567BA64678D0123456789ABCDEF", "naa.62004567ba64678d0123456789abcdef"),
    ],
)
def test_normalise_name(text: str, name: str | None) -> None:
    assert normalise(text) == (name or text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "disk",
        "iqn.2025-13.com.example",
        "iqn.2025-00.com.example",
        "iqn.25-01.com.example",
        "iqn.2025-01.",
        "iqn.2025-01.:disk",
        "iqn.2025-01.com.example:",
        "iqn.2025-01.com.example:a b",
        "iqn.2025-01.com.example:a/b",
        "iqn.2025-01.com.example:a\x00",
        "iqn.2025-01.com.example:a\u3002b",
        "iqn.2025-01.com.example:\u05d0",
        "iqn.2025-01.com.example:\ue000",
        "eui.0200",
        "eui.02004567A425678G",
        "naa.62004567BA64678D01",
    ],
)
def test_normalise_refuses(text: str) -> None:
    with pytest.raises(InvalidNameError):
        normalise(text)


def test_name_of_223_bytes_is_the_longest() -> None:
    name = "iqn.2025-01.com.example:".ljust(NAME_BYTES_MAX, "x")
    assert normalise(name) == name
    with pytest.raises(InvalidNameError, match="224 characters, limit 223"):
        normalise(name + "x")


def test_length_is_counted_in_bytes() -> None:
    name = "iqn.2025-01.com.example:".ljust(NAME_BYTES_MAX - 1, "x") + "\u00e9"
    with pytest.raises(InvalidNameError, match="224 bytes, limit 223"):
        normalise(name)


def test_message_is_bounded_and_printable() -> None:
    with pytest.raises(InvalidNameError) as caught:
        normalise("\x1b[31m" * 100_000)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


@given(st.text(max_size=300))
def test_normalise_is_idempotent_or_refuses(text: str) -> None:
    try:
        name = normalise(text)
    except InvalidNameError:
        return
    assert normalise(name) == name


def test_kind() -> None:
    assert kind("iqn.2025-01.com.example") is NameKind.IQN
    assert kind("eui.02004567a425678d") is NameKind.EUI
    assert kind("naa.52004567ba64678d") is NameKind.NAA


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        ("iqn.2004-10.com.example:host-1", True),
        ("IQN.2004-10.com.example:HOST-*", True),
        ("iqn.2004-10.com.example:host-?", True),
        ("iqn.2004-10.com.example:host-[12]", True),
        ("iqn.2004-10.com.example:host-[!1]", False),
        ("iqn.2004-10.com.example", False),
        ("host-1", False),
    ],
)
def test_matches_pattern(pattern: str, expected: bool) -> None:
    name = "iqn.2004-10.com.example:host-1"
    assert matches(name, normalise_pattern(pattern)) is expected
    assert matches_any(name, ["iqn.1990-01.org.nobody", normalise_pattern(pattern)]) is expected


def test_no_pattern_matches_nobody() -> None:
    assert not matches_any("iqn.2004-10.com.example", [])


@pytest.mark.parametrize("pattern", ["", "*" * (NAME_BYTES_MAX + 1)])
def test_pattern_refused(pattern: str) -> None:
    with pytest.raises(InvalidNameError):
        normalise_pattern(pattern)
