"""Turns the configuration into what a login is checked against: accounts, access, portals."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fairlead.errors import ConfigError
from fairlead.model.account import SECRET_BYTES_MAX, check_secret
from fairlead.proto.iscsi.chap import ChapAccount, ChapPolicy
from fairlead.proto.iscsi.login_policy import LoginPolicy, TargetPolicy
from fairlead.proto.iscsi.login_policy import Portal as PortalAddress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fairlead.model import account
    from fairlead.model.config import Config, DiscoveryConfig, TargetConfig
    from fairlead.model.portal import Portal
    from fairlead.proto.iscsi.key_offers import KeyOffers

# All portals are one portal group: any of them leads to the same targets and sessions.
PORTAL_GROUP_TAG: Final = 1

Secrets = dict[str, bytes]


def read_secrets(accounts: Iterable[account.ChapAccount]) -> Secrets:
    """Return the secret of every account, from the document or its file.

    Raises:
        ConfigError: a secret file cannot be read, or holds too short or too long a secret.
    """
    secrets: Secrets = {}
    for index, entry in enumerate(accounts):
        where = f"chap_accounts[{index}].secret_file"
        if entry.secret is not None:
            secrets[entry.user] = entry.secret.get_secret_value().encode()
        else:
            secrets[entry.user] = _read_secret(entry.user, Path(entry.secret_file or ""), where)
    return secrets


def _read_secret(user: str, path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            secret = file.read(SECRET_BYTES_MAX + 2).removesuffix(b"\n")
        check_secret(user, secret.decode())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
            where=where,
            remedy="make the file readable to the user who runs fairlead",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text", where=where, remedy="put the secret alone into the file"
        ) from error
    except ValueError as error:
        raise ConfigError(str(error), where=where) from None
    return secret


def check_exposure(
    portals: Iterable[Portal], targets: Sequence[TargetConfig], *, allow_anyone: bool
) -> None:
    """Refuse to show a target without access list or CHAP to other machines by accident.

    Raises:
        ConfigError: a target is open and one of its portals is not loopback.
    """
    if allow_anyone:
        return
    for index, portal in enumerate(portals):
        if portal.is_loopback:
            continue
        for target in targets:
            if target.is_open and (target.portals is None or portal in target.portals):
                raise ConfigError(
                    f"portal {portal} can be reached by other machines, "
                    f"and target {target.name} lets everybody in",
                    where=f"portals[{index}]",
                    remedy="give it initiators or chap, listen on 127.0.0.1, or say --allow-anyone",
                )


class LoginPolicies:
    """The policy for each portal, made once for every address that connections come to."""

    def __init__(self, config: Config, secrets: Mapping[str, bytes], offers: KeyOffers) -> None:
        self._config = config
        self._secrets = secrets
        self._offers = offers
        self._targets: dict[str, TargetConfig] = {}
        self._ports: dict[Portal, int] = {}
        self._made: dict[tuple[Portal, str], LoginPolicy] = {}

    def bind(self, portal: Portal, port: int) -> None:
        """Tell the port that a configured portal got; with port 0 the kernel chose."""
        self._ports[portal] = port
        self._made.clear()

    def add_target(self, target: TargetConfig) -> None:
        """Let initiators log in to a target from now on. Its name must be set."""
        if target.name is not None:
            self._targets[target.name] = target
            self._made.clear()

    def policy(self, portal: Portal, local_address: str) -> LoginPolicy:
        """Return what a connection to this portal is checked against.

        Args:
            portal: as configured.
            local_address: our end of the connection; stands in for a wildcard portal.
        """
        key = (portal, local_address)
        if key not in self._made:
            self._made[key] = LoginPolicy(
                targets={
                    name: self._target_policy(target, local_address)
                    for name, target in self._targets.items()
                    if target.portals is None or portal in target.portals
                },
                discovery_chap=self._chap(self._config.discovery),
                offers=self._offers,
                portal=PortalAddress(
                    address=local_address, port=self._port(portal), tag=PORTAL_GROUP_TAG
                ),
            )
        return self._made[key]

    def _target_policy(self, target: TargetConfig, local_address: str) -> TargetPolicy:
        family = ipaddress.ip_address(local_address).version
        portals = tuple(
            PortalAddress(address=portal.address, port=self._port(portal), tag=PORTAL_GROUP_TAG)
            for portal in (target.portals or self._ports)
            # A wildcard of the other family says nothing to whoever came by this one.
            if not portal.is_wildcard or ipaddress.ip_address(portal.address).version == family
        )
        return TargetPolicy(
            portals=portals,
            chap=self._chap(target),
            initiators=target.initiators or ("*",),
            alias=target.alias,
        )

    def _port(self, portal: Portal) -> int:
        return self._ports.get(portal, portal.port)

    def _chap(self, place: TargetConfig | DiscoveryConfig) -> ChapPolicy | None:
        if not place.chap:
            return None
        mutual = place.mutual_chap
        return ChapPolicy(
            accounts={user: self._secrets[user] for user in place.chap},
            mutual=None
            if mutual is None
            else ChapAccount(user=mutual, secret=self._secrets[mutual]),
        )
