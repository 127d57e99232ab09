"""Portals as they are written: ``127.0.0.1:3260``, ``[::1]:3260``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic_core import core_schema
from typing_extensions import override

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

ISCSI_PORT: Final = 3260

_RULE: Final = "write ADDRESS:PORT, for example 127.0.0.1:3260 or [::1]:3260"


@dataclass(frozen=True, slots=True)
class Portal:
    """A TCP address to listen on. Port 0 lets the kernel choose. Spec: RFC 7143 §4.1 (portal)."""

    address: str
    port: int = ISCSI_PORT

    @override
    def __str__(self) -> str:
        """The form iSCSI writes addresses in, IPv6 in brackets. Spec: RFC 7143 §13.8."""
        return format_portal(self.address, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of this machine."""
        return ipaddress.ip_address(self.address).is_unspecified


def format_portal(address: str, port: int) -> str:
    """Return ``ADDRESS:PORT``, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parse_portal(text: str) -> Portal:
    """Read ``ADDRESS[:PORT]``; the port is 3260 where it is left out.

    Raises:
        ValueError: not a numeric address (a host name may stand for several), or a bad port.
    """
    text = text.strip()
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not a portal; {_RULE}")
        port = rest[1:] if rest else str(ISCSI_PORT)
    elif text.count(":") > 1:
        raise ValueError(f"{text!r} is not a portal; put an IPv6 address in brackets, [::1]:3260")
    else:
        address, colon, port = text.partition(":")
        port = port if colon else str(ISCSI_PORT)
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{port!r} is not a port; take 1 to 65535, or 0 to let the kernel choose")
    try:
        canonical = ipaddress.ip_address("127.0.0.1" if address == "localhost" else address)
    except ValueError:
        raise ValueError(f"{address!r} is not an IP address; {_RULE}") from None
    return Portal(str(canonical), int(port))


class _PortalText:
    """Lets a model field of type Portal be written as text."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read_portal, serialization=core_schema.to_string_ser_schema()
        )


def _read_portal(value: object) -> Portal:
    if isinstance(value, Portal):
        return value
    if isinstance(value, str):
        return parse_portal(value)
    raise ValueError(f"{value!r} is not a portal; {_RULE}")


PortalField = Annotated[Portal, _PortalText]
