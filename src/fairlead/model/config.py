"""The root of the configuration: volumes, targets, portals, accounts, engine, limits.

A document is read by `Config.model_validate`; each model checks itself, and `Config` checks what
one part says about another. `fairlead.control.config_file` reads files and places mistakes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from fairlead.model.account import AccountUser, ChapAccount
from fairlead.model.frozen import Model
from fairlead.model.group import GroupConfig, InitiatorPattern
from fairlead.model.iscsi_url import IscsiName
from fairlead.model.policy import PolicyConfig
from fairlead.model.portal import Portal, PortalField
from fairlead.model.share_checks import Mistake, check_groups, check_shares, explain_unknown
from fairlead.model.shares import DeviceConfig, KernelContextWord, ShareRule
from fairlead.model.size import SizeBytes
from fairlead.model.volume import VolumeConfig, VolumeName
from fairlead.names import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fairlead.model.source_lines import KeyPath

LUN_MAX: Final = 255  # Peripheral device addressing. Spec: SAM-5, LUN structures.
DEFAULT_PORTAL: Final = Portal("127.0.0.1")
# We own no domain; ".example" is reserved for nobody. Spec: RFC 2606.
DEFAULT_AUTHORITY: Final = "iqn.2008-12.example.fairlead"


class NamingConfig(Model):
    """How targets without a name of their own are called: ``AUTHORITY:VOLUME``."""

    authority: IscsiName = DEFAULT_AUTHORITY


class LunConfig(Model):
    """Shows one volume under one number."""

    lun: Annotated[int, Field(ge=0, le=LUN_MAX)] = 0
    volume: VolumeName
    read_only: bool = False


class TargetConfig(Model):
    """One iSCSI target.

    Attributes:
        name: iqn., eui. or naa. name; without it, the authority and the first volume's name.
        alias: text shown to initiators.
        luns: what initiators see; at least one.
        portals: those of the document's portals that show this target; all when left out.
        chap: users of the accounts that may log in; empty asks for no authentication.
        mutual_chap: the account with which the target proves itself to the initiator.
        initiators: names that may log in, with wildcards; empty lets every name in.
    """

    name: IscsiName | None = None
    alias: Annotated[str, Field(pattern=r"^[ -~]{1,255}$")] | None = None
    luns: Annotated[tuple[LunConfig, ...], Field(min_length=1, max_length=LUN_MAX + 1)]
    portals: tuple[PortalField, ...] | None = None
    chap: tuple[AccountUser, ...] = ()
    mutual_chap: AccountUser | None = None
    initiators: tuple[InitiatorPattern, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether anybody who can reach a portal can log in."""
        return not self.chap and not self.initiators


class DiscoveryConfig(Model):
    """Who may ask for the list of targets."""

    chap: tuple[AccountUser, ...] = ()
    mutual_chap: AccountUser | None = None


class EngineConfig(Model):
    """The data plane. See `fairlead.dataplane.api.EngineOptions`.

    Attributes:
        kernel_context: what the kernel sees of contexts, see docs/kernel-contexts.md; a device can
            have another.
        kernel_rings_max: rings that are open at a time, 1..4096; the least recently used gives way.
        kernel_rings_polled: a kernel thread polls each ring.
        kernel_cgroups: each context gets a cgroup with its weight, where there is cgroup v1.
    """

    driver: Literal["auto", "io_uring", "threads"] = "auto"
    submitters: Annotated[int, Field(ge=1, le=64)] | None = None
    pool: Literal["shared", "per_device", "per_context"] = "shared"
    scheduler: Literal["fair", "fifo"] = "fair"
    memory_limit: SizeBytes = 512 << 20
    queue_depth: Annotated[int, Field(ge=1, le=1024)] = 128
    nop_interval_s: Annotated[float, Field(ge=0, le=3600)] = 15.0
    nop_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    stall_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    kernel_context: KernelContextWord = "off"
    kernel_rings_max: Annotated[int, Field(ge=1, le=4096)] = 64
    kernel_rings_polled: bool = False
    kernel_cgroups: bool = True


class LimitsConfig(Model):
    """What peers can make us hold.

    Attributes:
        login_timeout_s: for a whole login, from the first byte of TCP to full-feature phase.
        discovery_timeout_s: for a discovery session that asks nothing.
        pending_logins_max: connections that have not logged in.
        sessions_max: sessions in full-feature phase, all targets together.
        contexts_per_address: I/O contexts one address can have by inventing names; names beyond
            share one.
        reinstatement_timeout_s: how long a login waits for the last I/O of the session it
            replaces.
    """

    login_timeout_s: Annotated[float, Field(gt=0, le=600)] = 15.0
    discovery_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    pending_logins_max: Annotated[int, Field(ge=1, le=65536)] = 1024
    # A TSIH has 16 bits and 0 is taken. Spec: RFC 7143 §11.12.6.
    sessions_max: Annotated[int, Field(ge=1, le=65535)] = 16384
    contexts_per_address: Annotated[int, Field(ge=1, le=65535)] = 256
    reinstatement_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0


class Config(Model):
    """The whole document.

    Attributes:
        volumes: what is served.
        targets: how; when left out, every volume is LUN 0 of a target of its own.
        portals: addresses to listen on.
        chap_accounts: referred to by user.
        naming: names of targets that have none.
        discovery: access to the list of targets.
        engine: the data plane.
        limits: bounds against peers.
        grouping: which commands share an I/O context: ``initiator``, ``group``, ``session``,
            ``nexus``, ``none``, or one that an installed package offers.
        groups: clients that share a context with ``grouping = "group"``; the first that matches.
        identity: what names a client: its initiator name, or its ``address``.
        shares: what contexts are due; every rule that matches applies, in order.
        devices: what backing devices can hold, and what requests cost them.
        policies: what changes shares while the target runs.
    """

    volumes: tuple[VolumeConfig, ...] = ()
    targets: tuple[TargetConfig, ...] | None = None
    portals: Annotated[tuple[PortalField, ...], Field(min_length=1)] = (DEFAULT_PORTAL,)
    chap_accounts: tuple[ChapAccount, ...] = ()
    naming: NamingConfig = NamingConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    engine: EngineConfig = EngineConfig()
    limits: LimitsConfig = LimitsConfig()
    grouping: str = "initiator"
    groups: tuple[GroupConfig, ...] = ()
    identity: Literal["name", "address"] = "name"
    shares: tuple[ShareRule, ...] = ()
    devices: tuple[DeviceConfig, ...] = ()
    policies: tuple[PolicyConfig, ...] = ()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        mistakes = [
            *_check_unique(self),
            *_check_targets(self),
            *_check_accounts(self),
            *_check_kernel_context(self),
            *check_groups(self),
            *check_shares(self),
        ]
        if mistakes:
            raise ValidationError.from_exception_data(
                "Config",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("reference", "{reason}", {"reason": reason}),
                        loc=path,
                        input=value,
                    )
                    for path, value, reason in mistakes
                ],
            )
        return self

    def effective_targets(self) -> tuple[TargetConfig, ...]:
        """Return the targets, every one with a name; without any, one for each volume."""
        targets = self.targets
        if targets is None:
            targets = tuple(
                TargetConfig(luns=(LunConfig(volume=volume.name),)) for volume in self.volumes
            )
        return tuple(
            target
            if target.name is not None
            else target.model_copy(update={"name": self.target_name(target.luns[0].volume)})
            for target in targets
        )

    def target_name(self, volume: str) -> str:
        """Return the name of a target called after a volume."""
        return normalise(f"{self.naming.authority}:{volume}")


def _check_kernel_context(config: Config) -> Iterator[Mistake]:
    """Beside other volumes it just does not hold for SCSI devices; with these alone for nothing."""
    asked = config.engine.kernel_context
    if asked != "off" and config.volumes and all(v.is_pass_through for v in config.volumes):
        yield (
            ("engine", "kernel_context"),
            asked,
            "all volumes are SCSI devices, and their commands go past elevators and the block "
            "layer's accounts: fairlead's own scheduler alone shares them; leave it off",
        )


def _check_unique(config: Config) -> Iterator[Mistake]:
    yield from _repeated("volumes", "name", [v.name.lower() for v in config.volumes], "volume")
    users = [account.user for account in config.chap_accounts]
    yield from _repeated("chap_accounts", "user", users, "CHAP account")
    yield from _repeated("devices", "name", [device.name for device in config.devices], "device")
    if config.targets is not None:
        names = [target.name for target in config.effective_targets()]
        yield from _repeated("targets", "name", names, "target")
    # Port 0 is a new port each time.
    portals = [portal if portal.port else None for portal in config.portals]
    for index, portal in enumerate(portals):
        if portal is not None and portal in portals[:index]:
            yield (("portals", index), str(portal), f"portal {portal} is there twice; remove one")


def _repeated(table: str, field: str, names: Sequence[str | None], what: str) -> Iterator[Mistake]:
    counts = Counter(names)
    seen: set[str | None] = set()
    for index, name in enumerate(names):
        if counts[name] > 1 and name in seen:
            first = names.index(name)
            yield (
                (table, index, field),
                name,
                f"{what} {name!r} is there twice (first as {table}[{first}]); rename one",
            )
        seen.add(name)


def _check_targets(config: Config) -> Iterator[Mistake]:
    volumes = {volume.name: volume for volume in config.volumes}
    for index, target in enumerate(config.targets or ()):
        numbers = [lun.lun for lun in target.luns]
        for position, lun in enumerate(target.luns):
            path = ("targets", index, "luns", position)
            if lun.volume not in volumes:
                yield (*path, "volume"), lun.volume, explain_unknown("volume", lun.volume, volumes)
            if lun.lun in numbers[:position]:
                yield (*path, "lun"), lun.lun, f"LUN {lun.lun} is there twice; renumber one"
        for position, portal in enumerate(target.portals or ()):
            if portal not in config.portals:
                yield (
                    ("targets", index, "portals", position),
                    str(portal),
                    explain_unknown("portal", str(portal), map(str, config.portals)),
                )


def _check_accounts(config: Config) -> Iterator[Mistake]:
    users = {account.user for account in config.chap_accounts}
    places: list[tuple[KeyPath, TargetConfig | DiscoveryConfig]]
    places = [(("discovery",), config.discovery)]
    places += [(("targets", index), target) for index, target in enumerate(config.targets or ())]
    for path, place in places:
        for position, user in enumerate(place.chap):
            if user not in users:
                yield (*path, "chap", position), user, explain_unknown("CHAP account", user, users)
        mutual = place.mutual_chap
        if mutual is None:
            continue
        where = (*path, "mutual_chap")
        if mutual not in users:
            yield where, mutual, explain_unknown("CHAP account", mutual, users)
        elif not place.chap:
            yield where, mutual, "mutual CHAP needs CHAP; name the initiators' accounts in chap"
        elif mutual in place.chap:
            # Spec: RFC 7143 §12.1.3: one secret for both directions can be reflected.
            yield where, mutual, f"account {mutual!r} is also in chap; take two accounts"
