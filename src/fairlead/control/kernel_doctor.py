"""What kernel contexts would be here, without serving anything: ``fairlead context doctor``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.control.backing import SystemView, find_backing_device
from fairlead.control.block_stack import find_place
from fairlead.control.kernel_context import NAMES, Wish, elevator_for, resolve, together
from fairlead.control.kernel_devices import asked_for, refuse_experiments, resolution_document
from fairlead.control.kernel_findings import find_kernel
from fairlead.control.pass_through import name_unasked
from fairlead.dataplane.kernel_probe import probe_kernel
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.control.block_stack import Disk
    from fairlead.control.kernel_context import Resolution
    from fairlead.control.kernel_findings import KernelFindings
    from fairlead.dataplane.kernel_probe import ProbeKernel
    from fairlead.model.config import Config
    from fairlead.model.volume import VolumeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSet:
    """An elevator that ``fairlead serve`` sets at the start, and puts back at the end.

    Attributes:
        disk: whose.
        was: which it has.
        wanted: which it gets.
        setting: the file that says so.
        may_be_set: this user may; if not, ``serve`` does not start.
    """

    disk: str
    was: str
    wanted: str
    setting: str
    may_be_set: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A device.

    Attributes:
        resolution: what its contexts would be to the kernel, with those elevators that ``serve``
            would set.
        elevators: which its disks have now.
        to_set: those that ``serve`` changes, where the configuration says so.
        volumes: those on it, as the configuration names them.
        is_supposed: nothing is asked for, and the resolution is that of ``ring``.
    """

    resolution: Resolution
    elevators: dict[str, str | None]
    to_set: tuple[ToSet, ...]
    volumes: tuple[str, ...]
    is_supposed: bool

    @property
    def is_fulfilled(self) -> bool:
        """Whether it would get what is asked for it."""
        found = self.resolution
        works = self.is_supposed or (found.mode == found.asked and found.sees)
        return works and all(each.may_be_set for each in self.to_set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What holds everywhere, and for each device."""

    findings: KernelFindings
    devices: tuple[Examined, ...]

    @property
    def is_fulfilled(self) -> bool:
        """Whether every device would get what is asked for it."""
        return all(device.is_fulfilled for device in self.devices)


def diagnose(
    config: Config, view: SystemView | None = None, probe: ProbeKernel = probe_kernel
) -> Diagnosis:
    """Look at the kernel and at the devices of all volumes. Changes nothing.

    Raises:
        ConfigError: a volume is in no directory that can be looked at, or something experimental
            is asked for without root.
    """
    view = view or SystemView()
    refuse_experiments(config, view)
    wants_cgroups = config.engine.kernel_cgroups
    findings = find_kernel(view, probe, wants_cgroups=wants_cgroups, is_polled=True)
    driver: str = config.engine.driver
    if driver == "auto":
        driver = "threads" if findings.probe.io_uring else "io_uring"
    wishes: dict[str, list[tuple[str, Wish]]] = {}
    for volume in config.volumes:
        wish = _wish(config, volume, driver, view)
        wishes.setdefault(wish.device, []).append((volume.name, wish))
    return Diagnosis(
        findings=findings,
        devices=tuple(
            _examine(found, findings, sets_elevator=asked_for(config, device)[1])
            for device, found in wishes.items()
        ),
    )


def diagnosis_document(found: Diagnosis) -> dict[str, Any]:
    """Return it as JSON types."""
    findings = found.findings
    return {
        "kernel": findings.release,
        "user": findings.user,
        "capabilities": list(findings.capabilities),
        "io_uring_disabled": findings.io_uring_disabled,
        # What works has no reason why not.
        "refused": {field: getattr(findings.probe, field) for field in NAMES},
        "cgroup": asdict(findings.cgroup),
        "is_fulfilled": found.is_fulfilled,
        "devices": [
            {
                "device": device.resolution.device,
                "volumes": list(device.volumes),
                "is_supposed": device.is_supposed,
                **resolution_document(device.resolution),
                "elevators": device.elevators,
                "to_set": [asdict(each) for each in device.to_set],
            }
            for device in found.devices
        ],
    }


def _wish(config: Config, volume: VolumeConfig, driver: str, view: SystemView) -> Wish:
    device, place = volume.device or f"{volume.kind}:{volume.name}", None
    if volume.is_pass_through:
        device = volume.device or name_unasked(volume, view)
    elif volume.path is not None:
        try:
            device = volume.device or find_backing_device(_existing(volume.path), view).name
            place = find_place(volume.path, view)
        except OSError as error:
            raise ConfigError(
                f"{volume.path} cannot be looked at: {os.strerror(error.errno or 0).lower()}",
                remedy="check the path",
            ) from None
    asked, _ = asked_for(config, device)
    return Wish(
        device=device,
        asked=asked,
        kind=volume.kind,
        read_only=volume.read_only,
        place=place,
        driver=driver,
        wants_cgroups=config.engine.kernel_cgroups,
        is_polled=config.engine.kernel_rings_polled,
    )


def _examine(
    wishes: list[tuple[str, Wish]], findings: KernelFindings, *, sets_elevator: bool
) -> Examined:
    is_supposed = wishes[0][1].asked == "off"
    supposed: list[Wish] = []
    to_set: dict[str, ToSet] = {}
    for _, wish in wishes:
        asks = replace(wish, asked="ring") if is_supposed else wish
        if sets_elevator:
            to_set |= {each.disk: each for each in _to_set(wish, findings)}
            asks = _as_if_set(asks, findings)
        supposed.append(asks)
    decided = next((resolve(w, findings).mode for w in supposed if w.place is not None), None)
    return Examined(
        resolution=together([resolve(wish, findings, decided=decided) for wish in supposed]),
        elevators={disk.name: disk.elevator for _, wish in wishes for disk in _disks(wish)},
        to_set=tuple(to_set.values()),
        volumes=tuple(name for name, _ in wishes),
        is_supposed=is_supposed,
    )


def _to_set(wish: Wish, findings: KernelFindings) -> Iterator[ToSet]:
    wanted = elevator_for(wish, findings)
    for disk in _disks(wish):
        if wanted is not None and disk.elevator is not None and disk.elevator != wanted:
            yield ToSet(
                disk=disk.name,
                was=disk.elevator,
                wanted=wanted,
                setting=disk.setting,
                may_be_set=os.access(disk.scheduler, os.W_OK),
            )


def _as_if_set(wish: Wish, findings: KernelFindings) -> Wish:
    given = {each.disk: each.wanted for each in _to_set(wish, findings) if each.may_be_set}
    if wish.place is None:
        return wish
    disks = (replace(d, elevator=given.get(d.name, d.elevator)) for d in wish.place.disks)
    return replace(wish, place=replace(wish.place, disks=tuple(disks)))


def _disks(wish: Wish) -> tuple[Disk, ...]:
    return () if wish.place is None else wish.place.disks


def _existing(path: str) -> str:
    """The path, or of what is not there yet the directory that it would be in."""
    found = Path(os.path.realpath(path))
    while not found.exists() and found != found.parent:
        found = found.parent
    return str(found)
