from __future__ import annotations

import pytest

from fairlead.model.portal import Portal, parse_portal


@pytest.mark.parametrize(
    ("text", "portal"),
    [
        ("127.0.0.1:3260", Portal("127.0.0.1", 3260)),
        ("127.0.0.1", Portal("127.0.0.1", 3260)),
        ("localhost:0", Portal("127.0.0.1", 0)),
        ("[::1]:3261", Portal("::1", 3261)),
        ("[0:0::1]", Portal("::1", 3260)),
        ("0.0.0.0:1", Portal("0.0.0.0", 1)),  # noqa: S104  parsed, not bound
    ],
)
def test_forms(text: str, portal: Portal) -> None:
    assert parse_portal(text) == portal
    assert parse_portal(str(portal)) == portal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not an IP address; write ADDRESS:PORT"),
        ("storage.example:3260", "'storage.example' is not an IP address; write ADDRESS:PORT"),
        ("::1:3260", "put an IPv6 address in brackets"),
        ("[::1", "is not a portal; write ADDRESS:PORT"),
        ("[::1]3260", "is not a portal; write ADDRESS:PORT"),
        ("127.0.0.1:", "'' is not a port; take 1 to 65535"),
        ("127.0.0.1:65536", "'65536' is not a port"),
        ("127.0.0.1:-1", "'-1' is not a port"),
        ("127.0.0.1:²", "is not a port"),
    ],
)
def test_mistakes_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared below
        parse_portal(text)
    assert message in str(caught.value)


def test_what_can_be_reached_from_where() -> None:
    assert Portal("127.0.0.2").is_loopback
    assert Portal("::1").is_loopback
    assert not Portal("::").is_loopback
    assert Portal("::").is_wildcard
    assert not Portal("192.0.2.1").is_wildcard
