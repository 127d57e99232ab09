"""What a login is checked against: targets, who may use them, and our key offers. Frozen."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.names import matches_any
from fairlead.proto.iscsi.key_offers import KeyOffers
from fairlead.proto.iscsi.login_status import LoginStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.proto.iscsi.chap import ChapPolicy

ISCSI_PORT: Final = 3260  # Spec: RFC 7143 §14.


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """Where a target can be reached. Spec: RFC 7143 §4.4.1 (network portal, portal group).

    Attributes:
        address: IPv4, IPv6 (without brackets) or a domain name; a wildcard (0.0.0.0, ::) stands
            for whichever address the initiator came to.
        port: TCP port.
        tag: target portal group tag, 0 to 65535.
    """

    address: str
    port: int = ISCSI_PORT
    tag: int = 1

    def format_target_address(self, local_address: str | None) -> str:
        """Return the value of a TargetAddress key. Spec: RFC 7143 §13.8.

        Args:
            local_address: our end of the connection, in place of a wildcard; None keeps that.
        """
        address = self.address
        if local_address is not None and _is_wildcard(address):
            address = local_address
        return f"{format_host(address)}:{self.port},{self.tag}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Sends initiators elsewhere. Spec: RFC 7143 §11.13.5 (class 1), §13.8."""

    address: str
    port: int = ISCSI_PORT
    permanent: bool = False

    @property
    def status(self) -> LoginStatus:
        """The status that goes with it."""
        if self.permanent:
            return LoginStatus.TARGET_MOVED_PERMANENTLY
        return LoginStatus.TARGET_MOVED_TEMPORARILY

    def format_target_address(self) -> str:
        """Return the value of a TargetAddress key; a redirection carries no group tag."""
        return f"{format_host(self.address)}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """One target, as far as a login needs to know it.

    Attributes:
        portals: where SendTargets says it is; a login through another portal group is refused.
            Empty: it is reached through every portal, and SendTargets names the one in use.
        chap: what an initiator must prove; None asks for nothing.
        initiators: patterns of the names let in.
        alias: TargetAlias, for people.
        redirect: sends every initiator elsewhere.
    """

    portals: tuple[Portal, ...] = ()
    chap: ChapPolicy | None = None
    initiators: tuple[str, ...] = ("*",)
    alias: str | None = None
    redirect: Redirect | None = None

    def admits(self, initiator_name: str) -> bool:
        """Tell whether the access list lets this initiator in."""
        return matches_any(initiator_name, self.initiators)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPolicy:
    """What one portal lets initiators do.

    Attributes:
        targets: by normalised name.
        removed_targets: names that were served once and will not be again: an initiator is told
            so, and stops trying.
        discovery: whether discovery sessions are allowed.
        discovery_chap: what an initiator must prove for one; None asks for nothing.
        offers: our side of the negotiation.
        portal: the portal that the connection came to. Its tag is our TargetPortalGroupTag, its
            address (never a wildcard) stands in for wildcards in SendTargets.
    """

    targets: Mapping[str, TargetPolicy]
    removed_targets: frozenset[str] = frozenset()
    discovery: bool = True
    discovery_chap: ChapPolicy | None = None
    offers: KeyOffers = field(default_factory=KeyOffers)
    portal: Portal

    def serves(self, target: TargetPolicy) -> bool:
        """Tell whether a target is reached through this portal's group."""
        return not target.portals or any(portal.tag == self.portal.tag for portal in target.portals)

    def target_addresses(self, target: TargetPolicy) -> list[str]:
        """Return the TargetAddress values of a target, in their order."""
        portals = target.portals or (self.portal,)
        return [portal.format_target_address(self.portal.address) for portal in portals]


def format_host(address: str) -> str:
    """Put an IPv6 address into brackets. Spec: RFC 7143 §13.8."""
    return f"[{address}]" if ":" in address else address


def _is_wildcard(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False  # A domain name.
