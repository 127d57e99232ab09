"""Groups of clients that share one context: who belongs to which, by name, address or account."""

from __future__ import annotations

import fnmatch
import ipaddress
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from fairlead.model.account import AccountUser
from fairlead.model.frozen import Model
from fairlead.names import matches_any, normalise_pattern

GROUP_PREFIX: Final = "group:"
"""A group's context is called ``group:NAME``."""

_WILDCARDS: Final = frozenset("*?[")


def _check_address(text: str) -> str:
    """Return an address, a network or an address with wildcards, as it is compared."""
    if text.startswith("["):  # As in a portal; as a wildcard it would match one character.
        raise ValueError(f"{text!r} has brackets; write the address alone")
    if _WILDCARDS.intersection(text):
        return text
    if "/" not in text:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ValueError(
                f"{text!r} is not an address; write 10.0.0.7, 10.0.0.* or 10.0.0.0/24"
            ) from None
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a network; {_network_remedy(text)}") from None


def _network_remedy(text: str) -> str:
    try:
        return f"its first address is {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return "write 10.0.0.0/24 or fd00::/8"


AddressPattern = Annotated[str, AfterValidator(_check_address)]
InitiatorPattern = Annotated[str, AfterValidator(normalise_pattern)]


class GroupConfig(Model):
    """Clients that share one context. Two groups of one name are one group.

    A client belongs to it if every list that is given has something that matches.

    Attributes:
        name: letters, digits, ``.``, ``_``, ``-``, at most 64; the context is ``group:NAME``.
        initiators: initiator names, with wildcards.
        addresses: peers' addresses: ``10.0.0.7``, ``10.0.0.*`` or a network, ``10.0.0.0/8``.
        chap: users that a login has proved itself to be, with wildcards.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    initiators: tuple[InitiatorPattern, ...] = ()
    addresses: tuple[AddressPattern, ...] = ()
    chap: tuple[AccountUser, ...] = ()

    @model_validator(mode="after")
    def _says_who(self) -> Self:
        if not (self.initiators or self.addresses or self.chap):
            raise ValueError(f"group {self.name!r} says nobody; give initiators, addresses or chap")
        return self

    @property
    def context(self) -> str:
        """The name of its context."""
        return GROUP_PREFIX + self.name

    def has(self, *, initiator_name: str, address: str, auth_user: str | None) -> bool:
        """Tell whether a client belongs to the group.

        Args:
            initiator_name: normalised.
            address: the peer's, without the port.
            auth_user: CHAP user, or None.
        """
        return (
            (not self.initiators or matches_any(initiator_name, self.initiators))
            and (not self.addresses or _is_among(address, self.addresses))
            and (not self.chap or (auth_user is not None and matches_any(auth_user, self.chap)))
        )


def has_wildcards(text: str) -> bool:
    """Tell whether a pattern can match more than itself."""
    return bool(_WILDCARDS.intersection(text))


def _is_among(address: str, patterns: tuple[str, ...]) -> bool:
    known = ipaddress.ip_address(address)
    for pattern in patterns:
        if "/" not in pattern:
            if fnmatch.fnmatchcase(str(known), pattern):
                return True
        elif known in ipaddress.ip_network(pattern):
            return True
    return False
