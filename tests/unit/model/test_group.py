from __future__ import annotations

from typing import Any

import pytest

from fairlead.model.group import GroupConfig


def has(group: GroupConfig, *, address: str = "10.1.2.3", auth_user: str | None = "anna") -> bool:
    return group.has(
        initiator_name="iqn.2026-01.example:anna", address=address, auth_user=auth_user
    )


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"initiators": ["*:anna"]}, True),
        ({"initiators": ["*:ANNA"]}, True),
        ({"initiators": ["*:ben", "*:a*"]}, True),
        ({"initiators": ["*:ben"]}, False),
        ({"addresses": ["10.1.2.3"]}, True),
        ({"addresses": ["10.0.0.0/8"]}, True),
        ({"addresses": ["10.1.2.*"]}, True),
        ({"addresses": ["10.2.0.0/16", "fd00::/8"]}, False),
        ({"chap": ["a*"]}, True),
        ({"chap": ["ben"]}, False),
        # Names are self-declared: every list that is given must have something that matches.
        ({"initiators": ["*:anna"], "addresses": ["10.0.0.0/8"]}, True),
        ({"initiators": ["*:anna"], "addresses": ["192.0.2.0/24"]}, False),
        ({"initiators": ["*:anna"], "chap": ["ben"]}, False),
    ],
)
def test_who_belongs_to_a_group(criteria: dict[str, Any], expected: bool) -> None:
    group = GroupConfig.model_validate({"name": "g", **criteria})
    assert has(group) is expected


def test_who_has_not_logged_in_by_chap_is_no_user() -> None:
    group = GroupConfig.model_validate({"name": "g", "chap": ["*"]})
    assert not has(group, auth_user=None)


def test_ipv6_is_compared_as_an_address_and_not_as_a_text() -> None:
    group = GroupConfig.model_validate({"name": "g", "addresses": ["FD00:0::0:7"]})
    assert group.addresses == ("fd00::7",)
    assert has(group, address="fd00::7")
    network = GroupConfig.model_validate({"name": "g", "addresses": ["fd00::/8"]})
    assert has(network, address="fd12::1")
    assert not has(network)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "group 'g' says nobody; give initiators, addresses or chap"),
        ({"addresses": ["host1"]}, "'host1' is not an address; write 10.0.0.7, 10.0.0"),
        ({"addresses": ["10.0.0.7/8"]}, "'10.0.0.7/8' is not a network; its first address is 10.0"),
        ({"addresses": ["10.0.0.0/99"]}, "'10.0.0.0/99' is not a network; write 10.0.0.0/24"),
        ({"addresses": ["[fd00::7]"]}, "has brackets; write the address alone"),
    ],
)
def test_mistakes_say_what_is_right(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        GroupConfig.model_validate({"name": "g", **fields})
