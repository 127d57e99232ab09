"""The kernel contexts of a running target's devices: found out, decided, told, looked at again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from fairlead.control import blkio_group
from fairlead.control.backing import SystemView
from fairlead.control.block_stack import find_place, look_again
from fairlead.control.elevators import Elevators
from fairlead.control.kernel_context import (
    EXPERIMENTAL,
    PASSED_BY,
    Wish,
    elevator_for,
    goes_past,
    resolve,
    together,
)
from fairlead.control.kernel_findings import effective_user, find_kernel
from fairlead.control.log import logger
from fairlead.dataplane.kernel import KernelOptions
from fairlead.dataplane.kernel_probe import probe_kernel
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from fairlead.control.block_stack import Place
    from fairlead.control.kernel_context import Note, Resolution
    from fairlead.control.kernel_findings import KernelFindings
    from fairlead.dataplane.api import VolumeSpec
    from fairlead.dataplane.kernel import KernelContext
    from fairlead.dataplane.kernel_probe import ProbeKernel
    from fairlead.model.config import Config

# Elevators change when somebody is at work; who looks at the report then can wait for this.
LOOK_INTERVAL_S: Final = 5.0

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Device:
    """A device with at least one volume. Never changed, only replaced: `status` takes no lock.

    Attributes:
        mode: what its first volume with a place has decided; None before.
        wishes: of all its volumes, by a key that stands for the volume.
    """

    mode: KernelContext | None
    wishes: Mapping[object, Wish]

    @property
    def asked(self) -> KernelContext:
        """What the configuration says, which is by device."""
        return next(iter(self.wishes.values())).asked


class KernelDevices:
    """What each device's contexts are to the kernel.

    `prepare` comes first, then `admit` around the opening of each volume; both, and `look` and
    `put_back`, touch the kernel's trees: call them in a thread.

    Args:
        config: what is asked for.
        view: where to look.
        probe: tries what can only be tried.
        sleep: for so many seconds, between looks.
    """

    def __init__(
        self,
        config: Config,
        view: SystemView | None = None,
        probe: ProbeKernel = probe_kernel,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._engine = config.engine
        self._view = view or SystemView()
        self._probe = probe
        self._sleep = sleep
        self._findings: KernelFindings | None = None
        self._decided: dict[str, _Device] = {}
        self._elevators = Elevators()
        self._job: asyncio.Task[None] | None = None
        self._tell: Callable[[str, bool], None] | None = None
        self._lock = threading.Lock()  # Volumes come in one thread, looks happen in another.

    def prepare(self) -> KernelOptions:
        """Find out what the kernel allows, and return what the data plane is told.

        Raises:
            ConfigError: something experimental is asked for without root.
        """
        engine = self._engine
        options = KernelOptions(rings_max=engine.kernel_rings_max)
        if all(word == "off" for _, word in _all_asked(self._config)):
            return options
        refuse_experiments(self._config, self._view)
        findings = self._find()
        directory = findings.cgroup.usable if engine.kernel_cgroups else None
        if directory is not None:
            removed = blkio_group.remove_leftovers(directory, self._view)
            if removed:
                log.info("kernel_context.leftovers_removed", groups=",".join(removed))
        return replace(
            options,
            is_polled=engine.kernel_rings_polled and findings.probe.polled is None,
            cgroup=directory,
        )

    @contextlib.contextmanager
    def admit(self, spec: VolumeSpec, *, driver: str) -> Iterator[VolumeSpec]:
        """Yield a volume with the kernel context that its device has or gets, to be opened inside.

        Where that fails the volume has decided nothing. An elevator that was set for it stays.

        Args:
            spec: the volume.
            driver: the data plane's.

        Raises:
            ConfigError: the device's elevator is to be set, and may not be; or something is asked
                by name for a device that no elevator sees.
        """
        _refuse_unseen(self._config, spec)
        asked, sets_elevator = asked_for(self._config, spec.device)
        if asked == "off" and not sets_elevator:
            yield spec
            return
        key = object()
        with self._lock:
            admitted = self._admit(key, spec, driver, asked, sets_elevator=sets_elevator)
        try:
            yield admitted
        except BaseException:
            with self._lock:
                self._withdraw(key, spec.device)
            raise

    def _admit(
        self,
        key: object,
        spec: VolumeSpec,
        driver: str,
        asked: KernelContext,
        *,
        sets_elevator: bool,
    ) -> VolumeSpec:
        findings = self._find()
        wish = Wish(
            device=spec.device,
            asked=asked,
            kind=spec.kind,
            read_only=spec.read_only,
            place=_place(spec, self._view),
            driver=driver,
            wants_cgroups=self._engine.kernel_cgroups,
            is_polled=self._engine.kernel_rings_polled,
        )
        if sets_elevator:
            wish = self._with_elevator(wish, findings)
        before = self._decided.get(spec.device) or _Device(None, {})
        mode = before.mode
        if mode is None and wish.place is not None:
            mode = resolve(wish, findings).mode
        device = self._decided[spec.device] = _Device(mode, {**before.wishes, key: wish})
        after = self._resolution(device)
        if asked != "off" and (not before.wishes or after != self._resolution(before)):
            _log_resolution(after)
        # What asks nothing of the kernel has nothing to be told of.
        return replace(spec, kernel_context="off" if wish.place is None else device.mode or "off")

    def _withdraw(self, key: object, name: str) -> None:
        device = self._decided[name]
        wishes = {other: wish for other, wish in device.wishes.items() if other is not key}
        if not wishes:
            del self._decided[name]
            return
        is_decided = any(wish.place is not None for wish in wishes.values())
        self._decided[name] = _Device(device.mode if is_decided else None, wishes)

    def status(self) -> list[Resolution]:
        """Return how it is on each device that is asked to have something other than ``off``."""
        return [
            self._resolution(device)
            for device in list(self._decided.values())
            if device.asked != "off"
        ]

    def tell(self, tell: Callable[[str, bool], None]) -> None:
        """Tell, now and whenever that changes, which devices have an elevator that sees contexts.

        Args:
            tell: is given a device's name and whether it has.
        """
        with self._lock:
            self._tell = tell
            self._tell_all()

    def _tell_all(self) -> None:
        for name, device in self._decided.items():
            if self._tell is not None and device.mode not in (None, "off"):
                self._tell(name, self._resolution(device).sees)

    def look(self) -> None:
        """Look whether an elevator has changed; log what that means."""
        with self._lock:
            self._look()
            self._tell_all()

    def _look(self) -> None:
        for name, before in list(self._decided.items()):
            seen = {
                key: wish if wish.place is None else replace(wish, place=look_again(wish.place))
                for key, wish in before.wishes.items()
            }
            device = self._decided[name] = replace(before, wishes=seen)
            changes = dict(_changes(before.wishes.values(), seen.values()))
            if not changes or device.asked == "off":
                continue
            missing = self._resolution(device).missing
            for disk, (was, now) in changes.items():
                log.warning(
                    "kernel_context.elevator_changed",
                    device=name,
                    disk=disk,
                    was=was,
                    now=now,
                    reason="; ".join(note.text for note in missing) or "nothing is missing",
                )

    def start(self) -> None:
        """Begin to look every few seconds."""
        self._job = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await job

    def put_back(self) -> None:
        """Give disks the elevators back that they had."""
        self._elevators.put_back()

    async def _watch(self) -> None:
        while True:
            await self._sleep(LOOK_INTERVAL_S)
            if self._decided:
                await asyncio.to_thread(self.look)

    def _find(self) -> KernelFindings:
        if self._findings is None:
            self._findings = find_kernel(
                self._view,
                self._probe,
                wants_cgroups=self._engine.kernel_cgroups,
                is_polled=self._engine.kernel_rings_polled,
            )
        return self._findings

    def _with_elevator(self, wish: Wish, findings: KernelFindings) -> Wish:
        wanted = elevator_for(wish, findings)
        if wanted is None or wish.place is None:
            return wish
        for disk in wish.place.disks:
            self._elevators.give(disk, wanted)
        return replace(wish, place=look_again(wish.place))

    def _resolution(self, device: _Device) -> Resolution:
        findings, wishes = self._find(), device.wishes.values()
        return together([resolve(wish, findings, decided=device.mode) for wish in wishes])


def asked_for(config: Config, device: str) -> tuple[KernelContext, bool]:
    """Return a device's kernel context as configured, and whether its elevator is to be set."""
    word: KernelContext = config.engine.kernel_context
    for own in config.devices:
        if own.name == device:
            return own.kernel_context or word, own.set_elevator
    return word, False


def refuse_experiments(config: Config, view: SystemView) -> None:
    """Check that whoever asks for something experimental is root.

    Raises:
        ConfigError: somebody else asks.
    """
    for where, word in _all_asked(config):
        if word.startswith(EXPERIMENTAL) and (user := effective_user(view)):
            raise ConfigError(
                f"kernel_context {word!r} is an experiment for root, and this is user {user}",
                where=where,
                remedy='run as root, or take "ring" or "priority"',
            )


def _refuse_unseen(config: Config, spec: VolumeSpec) -> None:
    """What is asked of all devices just does not hold for this one; by its name it is a mistake."""
    for index, own in enumerate(config.devices):
        if spec.kind not in PASSED_BY or own.name != spec.device:
            continue
        for field, is_set in (
            ("kernel_context", own.kernel_context not in (None, "off")),
            ("set_elevator", own.set_elevator),
        ):
            if is_set:
                raise ConfigError(
                    f"{own.name} is passed through, and {goes_past(spec.kind)}",
                    where=f"devices[{index}].{field}",
                    remedy=f"remove {field}",
                )


def _place(spec: VolumeSpec, view: SystemView) -> Place | None:
    if spec.path is None or not spec.meets_elevators:
        return None
    return find_place(spec.path, view)


def resolution_document(resolution: Resolution) -> dict[str, Any]:
    """Return it as JSON types, with the elevators of its disks by name."""
    return {
        "asked": resolution.asked,
        "mode": resolution.mode,
        "sees": resolution.sees,
        "elevators": {disk.name: disk.elevator for disk in resolution.disks},
        "weights": resolution.weights,
        "missing": [asdict(note) for note in resolution.missing],
        "not_covered": [asdict(note) for note in resolution.not_covered],
    }


def _all_asked(config: Config) -> Iterator[tuple[str, KernelContext]]:
    yield "engine.kernel_context", config.engine.kernel_context
    for index, device in enumerate(config.devices):
        if device.kernel_context is not None:
            yield f"devices[{index}].kernel_context", device.kernel_context


def _changes(
    before: Iterable[Wish], after: Iterable[Wish]
) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    for old, new in zip(before, after, strict=True):
        if old.place is not None and new.place is not None:
            for was, now in zip(old.place.disks, new.place.disks, strict=True):
                if was.elevator != now.elevator:
                    yield was.name, (was.elevator, now.elevator)


def _log_resolution(found: Resolution) -> None:
    log.info(
        "kernel_context.resolved",
        device=found.device,
        asked=found.asked,
        mode=found.mode,
        elevators=",".join(f"{disk.name}:{disk.elevator}" for disk in found.disks) or "none",
        weights=found.weights,
    )
    has_fallen = bool(found.disks) and found.mode != found.asked
    for note in found.missing:
        # That a volume in memory asks nothing of the kernel is no reason to warn.
        tell = log.warning if has_fallen or note.remedy is not None else log.info
        tell("kernel_context.missing", device=found.device, **_facts(note))
    for note in found.not_covered:
        log.info("kernel_context.not_covered", device=found.device, **_facts(note))


def _facts(note: Note) -> dict[str, str]:
    return {"reason": note.text} | ({} if note.remedy is None else {"remedy": note.remedy})
