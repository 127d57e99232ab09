"""`Target`: a running storage target. The public way in; the command line uses nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

from fairlead.control import logical_units, pass_through, volumes
from fairlead.control.access import LoginPolicies, check_exposure, read_secrets
from fairlead.control.accounts import AccountBook
from fairlead.control.assembly import Parts, Shown, assemble, engine_options
from fairlead.control.contexts import log_unknown_devices
from fairlead.control.events import EventHub
from fairlead.control.grouping import ContextKeys, load_grouping
from fairlead.control.kernel_devices import KernelDevices
from fairlead.control.log import logger
from fairlead.control.policies import load_policies
from fairlead.dataplane.kernel_probe import probe_kernel
from fairlead.dataplane.pass_through import open_link
from fairlead.errors import ConfigError
from fairlead.model.config import Config, LunConfig, TargetConfig
from fairlead.model.document import read_change
from fairlead.model.portal import Portal, parse_portal
from fairlead.model.volume_word import parse_volume
from fairlead.proto.iscsi.key_offers import KeyOffers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from fairlead.control.backing import SystemView
    from fairlead.control.device_facts import DeviceFacts
    from fairlead.control.events import EventStream
    from fairlead.control.kernel_context import Resolution
    from fairlead.control.measurement import Context, Snapshot
    from fairlead.control.reservations import ReservationInfo
    from fairlead.control.shares import Due
    from fairlead.control.volumes import PreparedVolume
    from fairlead.dataplane.api import (
        DataPlane,
        DeviceInfo,
        EngineOptions,
        SessionInfo,
        VolumeInfo,
        VolumeSpec,
    )
    from fairlead.dataplane.kernel_probe import ProbeKernel
    from fairlead.dataplane.pass_through import OpenLink
    from fairlead.model.shares import ShareChange
    from fairlead.model.volume import VolumeConfig
    from fairlead.scsi.identity import Identity
    from fairlead.scsi.logical_unit import LogicalUnit

# Devices that answer at all do so in milliseconds; a second is left for the rest of the stop.
DRAIN_S: Final = 4.0

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedLun:
    """One volume under one number of one target."""

    target: str
    lun: int
    volume: str
    device: str
    read_only: bool
    logical_unit: int


@dataclass(slots=True)
class _Volume:
    number: int
    config: VolumeConfig
    prepared: PreparedVolume
    identity: Identity | None = None

    @property
    def disk(self) -> str:
        """What initiators take it for: volumes of one serial number are one disk to them."""
        return self.identity.unit_serial if self.identity else f"volume {self.config.name}"


class Target:
    """Serves volumes over iSCSI while its context is entered.

    ::

        async with fairlead.Target(portals=["127.0.0.1:0"]) as target:
            print(await target.serve_volume("disk.img:1G"))
            async for event in target.events():
                print(event)

    All methods are for the event loop that entered it. Configuration mistakes, and volumes that
    cannot be opened, raise `fairlead.errors.ConfigError` or `DataPlaneError` with the way out.

    Args:
        config: what to serve from the start; volumes and targets can be added at any time.
        portals: ``ADDRESS:PORT``, in place of the document's; port 0 lets the kernel choose.
        allow_anyone: targets without access list or CHAP may be shown off loopback.
        open_plane: makes the data plane; the native one by default.
        drain_s: how long leaving waits for devices.
        view: where the kernel's trees are.
        probe: tries what the kernel allows for contexts; the native one by default.
        connect: asks SCSI devices what they are; by the native data plane by default.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        portals: Sequence[str] | None = None,
        allow_anyone: bool = False,
        open_plane: Callable[[EngineOptions], DataPlane] | None = None,
        drain_s: float = DRAIN_S,
        view: SystemView | None = None,
        probe: ProbeKernel = probe_kernel,
        connect: OpenLink = open_link,
    ) -> None:
        self._config = config or Config()
        if portals is not None:
            self._config = self._config.model_copy(
                update={"portals": tuple(parse_portal(text) for text in portals)}
            )
        self._allow_anyone = allow_anyone
        self._open_plane = open_plane or _open_native
        self._drain_s = drain_s
        self._view = view
        self._connect = connect
        self._kernel = KernelDevices(self._config, view, probe)
        self._volumes: dict[str, _Volume] = {}
        self._volume_names: dict[int, str] = {}
        self._targets: dict[str, TargetConfig] = {}
        self._luns: dict[str, dict[int, ServedLun]] = {}
        self._logical_units: dict[int, LogicalUnit] = {}
        self._ports: dict[Portal, int] = {}
        self._hub = EventHub()
        self._book = AccountBook()
        self._final_accounts: dict[str, Any] | None = None
        self._parts: Parts | None = None

    async def __aenter__(self) -> Self:
        """Start: data plane, volumes, targets, then portals."""
        config = self._config
        targets = config.effective_targets()
        check_exposure(config.portals, targets, allow_anyone=self._allow_anyone)
        secrets = read_secrets(config.chap_accounts)
        # A pool for each device is what SCST fell back to: one context for all clients of the pool.
        is_pooled = config.engine.pool == "per_device"
        grouping = load_grouping("none" if is_pooled else config.grouping, config.groups)
        loaded = load_policies(config.policies)
        kernel = await asyncio.to_thread(self._kernel.prepare)
        plane = await asyncio.to_thread(self._open_plane, engine_options(config, kernel))
        parts = assemble(
            config,
            plane,
            ContextKeys(grouping, contexts_per_address=config.limits.contexts_per_address),
            LoginPolicies(config, secrets, KeyOffers()),
            loaded,
            hub=self._hub,
            book=self._book,
            shown=Shown(self._luns, self._logical_units, self._volume_names),
        )
        self._parts = parts
        try:
            parts.pump.start()
            for volume in config.volumes:
                await self.add_volume(volume)
            log_unknown_devices(config.devices, plane.volumes())
            for target in targets:
                await self.add_target(target)
            for portal in config.portals:
                self._ports[portal] = parts.listener.listen(portal)
                parts.policies.bind(portal, self._ports[portal])
            for runner in parts.runners:
                runner.start()
            self._kernel.start()
        except BaseException:
            await self.stop(drain_s=0.0)
            raise
        log.info("target.started", portals=",".join(map(str, self.portals)), **plane.report())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, as by `stop`."""
        await self.stop(drain_s=self._drain_s)

    async def stop(self, *, drain_s: float | None = None) -> None:
        """End all logins and sessions, wait for what is in flight, close the volumes.

        Waits at most ``drain_s`` seconds (as constructed when None) for devices. Leaving the
        context calls it; a second call does nothing.
        """
        parts, self._parts = self._parts, None
        if parts is None:
            return
        await self._kernel.stop()
        for runner in parts.runners:
            await runner.stop()
        await parts.listener.close()
        wait_s = self._drain_s if drain_s is None else drain_s
        await asyncio.to_thread(parts.plane.stop, drain_s=wait_s)
        await asyncio.to_thread(self._kernel.put_back)
        parts.pump.drain()
        parts.pump.stop()
        self._final_accounts = self._book.document(parts.plane.contexts(), parts.plane.sessions())
        self._hub.close()
        if self._ports:  # Otherwise it never got as far as listening.
            log.info("target.stopped")

    async def add_volume(self, volume: VolumeConfig | str) -> VolumeInfo:
        """Open a volume; a target that shows it is added by `add_target`.

        Args:
            volume: a model, or a word as on the command line: ``disk.img:1G``, ``null:10G``.

        Raises:
            ConfigError: the word or the volume is unusable; says the way out.
            DataPlaneError: the data plane cannot open it.
        """
        plane = self._running().plane
        if isinstance(volume, str):
            volume = _parsed(volume)
        if volume.name in self._volumes:
            raise ConfigError(
                f"there is a volume {volume.name!r} already", remedy="give one another name"
            )
        prepared = await asyncio.to_thread(self._prepare, volume, self._served())
        pass_through.check_served_once(prepared, volume, self._served())
        spec, number = await asyncio.to_thread(self._open, plane, prepared.spec)
        await asyncio.to_thread(self._kernel.tell, plane.set_elevator_sees)
        info = next(info for info in plane.volumes() if info.volume == number)
        # Only the open file can tell whether its file system punches holes.
        spec = replace(spec, thin=info.thin)
        self._volumes[volume.name] = _Volume(number, volume, replace(prepared, spec=spec))
        self._volume_names[number] = volume.name
        log.info(
            "volume.created" if prepared.is_created else "volume.opened",
            volume=spec.name,
            kind=spec.kind,
            place=prepared.place,
            size_bytes="-" if prepared.facts and not spec.size_bytes else spec.size_bytes,
            device=spec.device,
            may_block=info.may_block,
        )
        if prepared.facts is not None:
            log.info("volume.device", volume=spec.name, **prepared.facts.log_facts())
        return info

    async def add_target(self, target: TargetConfig) -> str:
        """Show volumes to initiators; return the target's name.

        Raises:
            ConfigError: unknown volume, a name that is taken, or a target that everybody could
                reach.
        """
        parts = self._running()
        if target.name is None:
            name = self._config.target_name(target.luns[0].volume)
            target = target.model_copy(update={"name": name})
        name = str(target.name)
        check_exposure(self._config.portals, [target], allow_anyone=self._allow_anyone)
        if name in self._targets:
            raise ConfigError(f"there is a target {name} already", remedy="give one another name")
        luns = {lun.lun: self._add_logical_unit(name, lun, parts.plane) for lun in target.luns}
        self._targets[name] = target
        self._luns[name] = luns
        parts.policies.add_target(target)
        return name

    async def serve_volume(self, volume: VolumeConfig | str) -> str:
        """Open a volume and show it as LUN 0 of a target of its own; return its iscsi:// URL.

        Raises:
            ConfigError: see `add_volume` and `add_target`.
            DataPlaneError: the data plane cannot open it.
        """
        info = await self.add_volume(volume)
        name = await self.add_target(TargetConfig(luns=(LunConfig(volume=info.name),)))
        return self.url(name, lun=0)

    def url(self, target: str, *, lun: int) -> str:
        """Return how an initiator reaches a LUN: ``iscsi://ADDRESS:PORT/TARGET/LUN``."""
        shown = self._targets[target].portals or self._config.portals
        address = next(iter(shown))
        portal = Portal(_reachable(address), self._ports.get(address, address.port))
        return f"iscsi://{portal}/{target}/{lun}"

    @property
    def portals(self) -> list[Portal]:
        """Where it listens, with the ports that the kernel chose."""
        return [Portal(portal.address, port) for portal, port in self._ports.items()]

    @property
    def luns(self) -> list[ServedLun]:
        """Everything that is shown, target by target."""
        return [lun for luns in self._luns.values() for lun in luns.values()]

    def report(self) -> dict[str, Any]:
        """Return what the data plane runs on: driver, submitters, probed features, limits."""
        return self._running().plane.report()

    def sessions(self) -> list[SessionInfo]:
        """Return the sessions in full-feature phase."""
        return self._running().plane.sessions()

    def contexts(self) -> list[Context]:
        """Return the I/O contexts that are active or closing: accounts, and what each is due."""
        return list(self._running().contexts.read().contexts)

    async def snapshot(self) -> Snapshot:
        """Return the I/O contexts with what each did lately.

        That is since the last call if it was half a second to five ago; otherwise it waits for a
        second and tells of that.
        """
        return await self._running().contexts.snapshot()

    def context_due(self, key: str, device: str) -> Due:
        """Return what a context is due, who has said so, and which guarantee it does not have."""
        return self._running().contexts.shares.of(key, device)

    def set_contexts(self, pattern: str, change: ShareChange | Mapping[str, Any]) -> list[str]:
        """Change what contexts are due, at once and for those to come, until the target stops.

        ::

            target.set_contexts("*:db-*", {"weight": 4, "limit": {"iops": 2000}})

        Args:
            pattern: of context keys, with wildcards; see `fairlead.model.shares.matches`.
            change: what it does not say stays as it is.

        Returns:
            The keys of existing contexts that are due something else now.

        Raises:
            ConfigError: a value is out of range, a guarantee is above its limit or more than a
                device can hold. Nothing is changed then.
        """
        return self._running().contexts.set(pattern, read_change(change))

    def reset_contexts(self, pattern: str) -> list[str]:
        """Forget what `set_contexts` has changed with just this pattern; returns as it does."""
        return self._running().contexts.reset(pattern)

    def volumes(self) -> list[VolumeInfo]:
        """Return the open volumes."""
        return self._running().plane.volumes()

    def device_facts(self) -> dict[str, DeviceFacts]:
        """Return what SCSI devices that are passed through say of themselves, by volume."""
        found = ((name, volume.prepared.facts) for name, volume in self._volumes.items())
        return {name: facts for name, facts in found if facts is not None}

    def reservations(self) -> dict[str, ReservationInfo]:
        """Return who has reserved what, by the names of the volumes that targets show."""
        book = self._running().reservations
        return {
            name: book.info(self._volumes[name].disk) for name in {lun.volume for lun in self.luns}
        }

    def devices(self) -> list[DeviceInfo]:
        """Return the backing devices of the volumes, and what is known of their costs."""
        return self._running().plane.devices()

    def kernel_contexts(self) -> list[Resolution]:
        """Return what the kernel sees of contexts, for each device that is to have it see any."""
        return self._kernel.status()

    def accounts(self) -> dict[str, Any]:
        """Return the whole book as JSON types, also of what has ended; works before and after.

        See `fairlead.control.accounts.AccountBook.document`.
        """
        if self._final_accounts is not None:
            return self._final_accounts
        if self._parts is None:
            return self._book.document([], [])
        plane = self._parts.plane
        return self._book.document(plane.contexts(), plane.sessions())

    def events(self) -> EventStream:
        """Return what happens from now on; the iteration ends when the target has stopped."""
        return self._hub.listen()

    async def end_session(self, session: int, *, timeout_s: float = 10.0) -> bool:
        """End a session; return whether its last I/O was over within the time.

        A session whose device does not answer is closed to its initiator at once, and stays in
        `sessions` as ``ending`` until the device does.
        """
        parts = self._running()
        live = parts.sessions.find(session)
        if live is None:
            return True
        parts.plane.end_session(session)
        try:
            async with asyncio.timeout(timeout_s):
                await live.ended.wait()
        except TimeoutError:
            return False
        return True

    def clear_fault(self, volume: str) -> None:
        """Let a volume take writes again after a failed flush.

        Raises:
            ConfigError: no such volume.
        """
        plane = self._running().plane
        if volume not in self._volumes:
            known = ", ".join(sorted(self._volumes)) or "none"
            raise ConfigError(f"no volume {volume!r}", remedy=f"there are: {known}")
        plane.clear_fault(self._volumes[volume].number)
        log.info("volume.fault_cleared", volume=volume)

    def _running(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the target is not running: use it inside `async with`")
        return self._parts

    def _served(self) -> list[tuple[VolumeConfig, PreparedVolume]]:
        return [(served.config, served.prepared) for served in self._volumes.values()]

    def _prepare(
        self, volume: VolumeConfig, others: list[tuple[VolumeConfig, PreparedVolume]]
    ) -> PreparedVolume:
        if volume.is_pass_through:
            return pass_through.prepare_pass_through(volume, self._view, self._connect, others)
        return volumes.prepare_volume(volume, self._view)

    def _open(self, plane: DataPlane, spec: VolumeSpec) -> tuple[VolumeSpec, int]:
        with self._kernel.admit(spec, driver=plane.report()["driver"]) as admitted:
            return admitted, plane.add_volume(admitted)

    def _add_logical_unit(self, target: str, lun: LunConfig, plane: DataPlane) -> ServedLun:
        volume = self._volumes.get(lun.volume)
        if volume is None:
            known = ", ".join(sorted(self._volumes)) or "none"
            raise ConfigError(f"no volume {lun.volume!r}", remedy=f"there are: {known}")
        if volume.identity is None and volume.config.identity_is_ours:
            volume.identity = logical_units.volume_identity(
                serial=volume.config.serial,
                place=volume.prepared.place,
                target_name=target,
                where=logical_units.installation(),
            )
        unit = logical_units.make_unit(
            volume.prepared,
            identity=volume.identity,
            target_name=target,
            read_only=lun.read_only,
        )
        number = plane.add_logical_unit(volume=volume.number, pages=unit.pages)
        if unit.logical_unit is not None:
            self._logical_units[number] = unit.logical_unit
        self._running().reservations.unit_added(number, disk=volume.disk)
        return ServedLun(
            target=target,
            lun=lun.lun,
            volume=lun.volume,
            device=volume.prepared.spec.device,
            read_only=unit.read_only,
            logical_unit=number,
        )


def _open_native(options: EngineOptions) -> DataPlane:
    # Here and not above: everything but serving works without the extension.
    from fairlead.dataplane.native import open_data_plane  # noqa: PLC0415

    return open_data_plane(options)


def _parsed(text: str) -> VolumeConfig:
    try:
        return parse_volume(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _reachable(portal: Portal) -> str:
    """A wildcard is no address to connect to; loopback always is."""
    if not portal.is_wildcard:
        return portal.address
    return "::1" if ":" in portal.address else "127.0.0.1"
