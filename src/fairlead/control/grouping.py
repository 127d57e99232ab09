"""Groupings: which commands share an I/O context.

A grouping is a class with one method, `Grouping.key`, that names the context of a nexus. The data
plane makes a context for every (key, backing device). Packages add groupings by the entry point
group ``fairlead.groupings``; nothing else has to know them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Protocol

from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.model.group import GroupConfig

ENTRY_POINT_GROUP: Final = "fairlead.groupings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nexus:
    """One session's way to one logical unit. Spec: SAM-5, I_T_L nexus.

    Attributes:
        client: who it is: the initiator name, or its address where identity is ``address``.
        initiator_name: as logged in, normalised.
        isid: 6 bytes.
        target_name: normalised.
        tsih: 1..65535; with the target name, the session.
        lun: 0..255.
        address: the peer's, without the port.
        auth_user: CHAP user, or None.
    """

    client: str
    initiator_name: str
    isid: bytes
    target_name: str
    tsih: int
    lun: int
    address: str
    auth_user: str | None


class Grouping(Protocol):
    """Names the context of each nexus. Must be pure: one nexus, one key, for ever."""

    def key(self, nexus: Nexus) -> str:
        """Return the context's name: 1..512 characters. Shown to the operator."""
        ...


class InitiatorGrouping:
    """A context for each client: all its sessions and LUNs. The default."""

    def key(self, nexus: Nexus) -> str:
        """Return the client."""
        return nexus.client


class GroupGrouping:
    """A context for each group of clients; who is in none has one of its own."""

    def __init__(self, groups: Sequence[GroupConfig] = ()) -> None:
        self._groups = tuple(groups)

    def key(self, nexus: Nexus) -> str:
        """Return the first group that the client belongs to, or the client."""
        for group in self._groups:
            if group.has(
                initiator_name=nexus.initiator_name,
                address=nexus.address,
                auth_user=nexus.auth_user,
            ):
                return group.context
        return nexus.client


class SessionGrouping:
    """A context for each session."""

    def key(self, nexus: Nexus) -> str:
        """Return client and session."""
        return f"{nexus.client},session={nexus.tsih}"


class NexusGrouping:
    """A context for each session and LUN."""

    def key(self, nexus: Nexus) -> str:
        """Return client, session and LUN."""
        return f"{nexus.client},session={nexus.tsih},lun={nexus.lun}"


class NoGrouping:
    """One context for everybody."""

    def key(self, nexus: Nexus) -> str:  # noqa: ARG002  the interface
        """Return the one name."""
        return "all"


_BUILT_IN: Final[dict[str, type[Grouping]]] = {
    "initiator": InitiatorGrouping,
    "group": GroupGrouping,
    "session": SessionGrouping,
    "nexus": NexusGrouping,
    "none": NoGrouping,
}


def load_grouping(name: str, groups: Sequence[GroupConfig] = ()) -> Grouping:
    """Return the grouping of this name: one of ours, or one that an installed package offers.

    Args:
        name: as in the document.
        groups: for the grouping ``group``.

    Raises:
        ConfigError: no such grouping, or its package is broken.
    """
    if name == "group":
        return GroupGrouping(groups)
    built_in = _BUILT_IN.get(name)
    if built_in is not None:
        return built_in()
    offered = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in offered:
        known = ", ".join(sorted({*_BUILT_IN, *offered}))
        raise ConfigError(f"no grouping {name!r}", where="grouping", remedy=f"there are: {known}")
    try:
        grouping: Grouping = offered[name].load()()
    except Exception as error:
        raise ConfigError(
            f"grouping {name!r} ({offered[name].value}) cannot be loaded: {error}",
            where="grouping",
            remedy="repair or remove the package that offers it",
        ) from error
    return grouping


class ContextKeys:
    """Gives sessions their context keys, and bounds how many names one address can invent.

    Names are self-declared: without CHAP a client may invent any number. Beyond the limit, what
    comes from that address shares one context. Sessions that proved who they are do not count.
    """

    def __init__(self, grouping: Grouping, *, contexts_per_address: int) -> None:
        self._grouping = grouping
        self._limit = contexts_per_address
        self._held: dict[str, Counter[str]] = {}

    def acquire(self, nexus: Nexus) -> str:
        """Return the nexus's key and hold it for its address until `release`."""
        key = self._grouping.key(nexus)
        if nexus.auth_user is not None:
            return key
        held = self._held.setdefault(nexus.address, Counter())
        if key not in held and len(held) >= self._limit:
            key = _shared_key(nexus.address)
        held[key] += 1
        return key

    def release(self, nexus: Nexus, key: str) -> None:
        """Give back what `acquire` returned, once."""
        held = self._held.get(nexus.address)
        if nexus.auth_user is not None or held is None:
            return
        held[key] -= 1
        if held[key] <= 0:
            del held[key]
        if not held:
            del self._held[nexus.address]


def _shared_key(address: str) -> str:
    return f"address:{address}"
