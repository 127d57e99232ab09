from __future__ import annotations

import pytest

from fairlead.proto.iscsi.login_policy import Portal, Redirect, TargetPolicy
from fairlead.proto.iscsi.login_status import LoginStatus
from tests.support.login_peer import PORTAL, policy


@pytest.mark.parametrize(
    ("portal", "text"),
    [
        (Portal(address="192.0.2.10"), "192.0.2.10:3260,1"),
        (Portal(address="2001:db8::7", port=3261, tag=9), "[2001:db8::7]:3261,9"),
        (Portal(address="storage.example.com"), "storage.example.com:3260,1"),
        (Portal(address="0.0.0.0"), "198.51.100.1:3260,1"),  # noqa: S104 - text, not a socket
        (Portal(address="::", port=860), "198.51.100.1:860,1"),
    ],
)
def test_target_address(portal: Portal, text: str) -> None:
    assert portal.format_target_address("198.51.100.1") == text


def test_wildcard_without_a_local_address_stays() -> None:
    assert Portal(address="::").format_target_address(None) == "[::]:3260,1"


@pytest.mark.parametrize(
    ("permanent", "status"),
    [
        (True, LoginStatus.TARGET_MOVED_PERMANENTLY),
        (False, LoginStatus.TARGET_MOVED_TEMPORARILY),
    ],
)
def test_redirect_status(permanent: bool, status: LoginStatus) -> None:
    assert Redirect(address="192.0.2.99", permanent=permanent).status is status


def test_target_without_portals_is_served_by_every_portal() -> None:
    target = TargetPolicy()
    assert policy().serves(target)
    assert policy().target_addresses(target) == ["192.0.2.10:3260,1"]


def test_target_is_served_by_its_portal_groups() -> None:
    other = Portal(address="192.0.2.11", tag=2)
    assert policy().serves(TargetPolicy(portals=(other, PORTAL)))
    assert not policy().serves(TargetPolicy(portals=(other,)))


def test_access_list() -> None:
    target = TargetPolicy(initiators=("iqn.2004-10.com.example:*", "eui.02004567a425678d"))
    assert target.admits("iqn.2004-10.com.example:host-1")
    assert target.admits("eui.02004567a425678d")
    assert not target.admits("iqn.2004-10.com.example.evil:host-1")
    assert not TargetPolicy(initiators=()).admits("iqn.2004-10.com.example:host-1")
