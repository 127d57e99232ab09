"""The I/O contexts of a running target: who is in which, what each is due, what each has done."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from fairlead.control.log import logger
from fairlead.control.measurement import Context, Reading, measure
from fairlead.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from fairlead.control.grouping import ContextKeys, Nexus
    from fairlead.control.measurement import Snapshot
    from fairlead.control.shares import Changed, Shares
    from fairlead.dataplane.api import ContextInfo, DataPlane, VolumeInfo
    from fairlead.model.shares import DeviceConfig, ShareChange
    from fairlead.sched.settings import Settings

# Long enough that a rate says something, short enough to wait for.
INTERVAL_S: Final = 1.0
# Who asks a little too early, once a second, is not to wait for another second.
_INTERVAL_MIN_S: Final = 0.5
# An older reading says how it was long ago, not how it is.
_INTERVAL_MAX_S: Final = 5.0

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldContext:
    """A session's way to one logical unit, and the context that its commands run in.

    Attributes:
        nexus: the way.
        key: the context's key.
        device: and its device.
        settings: what the context is due now.
    """

    nexus: Nexus
    key: str
    device: str
    settings: Settings


def log_unknown_devices(devices: Iterable[DeviceConfig], volumes: Iterable[VolumeInfo]) -> None:
    """Warn of capacities that say nothing, because no volume is on a device of that name."""
    known = sorted({volume.device for volume in volumes})
    for device in devices:
        if device.name not in known:
            log.warning("device.unknown", device=device.name, known=", ".join(known) or "none")


class Contexts:
    """Used on the event loop's thread only.

    Args:
        plane: has the contexts.
        keys: names them.
        shares: says what they are due.
        clock: in seconds, never goes back.
        sleep: for so many seconds.
    """

    def __init__(
        self,
        plane: DataPlane,
        keys: ContextKeys,
        shares: Shares,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._plane = plane
        self._keys = keys
        self.shares: Final = shares
        self._clock = clock
        self._sleep = sleep
        self._reading: Reading | None = None

    # Sessions begin and end.

    def join(self, nexus: Nexus, device: str) -> HeldContext:
        """Give a session's logical unit its context; `leave` gives it back."""
        key = self._keys.acquire(nexus)
        found = self.shares.acquire(key, device)
        self._log_refusals([found])
        return HeldContext(nexus=nexus, key=key, device=device, settings=found.settings)

    def leave(self, held: HeldContext) -> None:
        """Take back one `join`. A guarantee that finds room now goes to who has waited for it."""
        self._keys.release(held.nexus, held.key)
        self._apply(self.shares.release(held.key, held.device))

    # What they are due.

    def set(self, pattern: str, change: ShareChange) -> list[str]:
        """Change what contexts are due, see `fairlead.control.target.Target.set_contexts`."""
        changed = self._apply(self.shares.set(pattern, change))
        said = " ".join(f"{field}={value}" for field, value in change.said().items())
        log.info("contexts.set", contexts=pattern, change=said, changed=len(changed))
        return changed

    def reset(self, pattern: str) -> list[str]:
        """Forget a change, see `fairlead.control.target.Target.reset_contexts`."""
        changed = self._apply(self.shares.reset(pattern))
        log.info("contexts.reset", contexts=pattern, changed=len(changed))
        return changed

    def set_policy(
        self, policy: str, changes: Mapping[str, ShareChange], contexts: Iterable[ContextInfo]
    ) -> None:
        """Let a policy say what it wants now, by context.

        Args:
            policy: its name.
            changes: all that it says; what it said before is forgotten.
            contexts: as read last.
        """
        self._apply(self.shares.set_policy(policy, changes), contexts)

    def drop_policy(self, policy: str) -> None:
        """Take back all that a policy has changed."""
        self._apply(self.shares.drop_policy(policy))

    # What they have done.

    def read(self) -> Reading:
        """Return all contexts with their counters and settings."""
        return Reading(
            at_s=self._clock(),
            contexts=tuple(self._with_settings(info) for info in self._plane.contexts()),
        )

    async def snapshot(self) -> Snapshot:
        """Return all contexts with what they did lately.

        The interval is the time since somebody asked last, if that is half a second to five;
        otherwise it is a second from now on. Nobody pays for rates that nobody asks for.
        """
        before = self._reading
        age_s = None if before is None else self._clock() - before.at_s
        if before is None or age_s is None or not _INTERVAL_MIN_S <= age_s <= _INTERVAL_MAX_S:
            before = self.read()
            await self._sleep(INTERVAL_S)
        after = self.read()
        self._reading = after
        return measure(before, after)

    def _with_settings(self, info: ContextInfo) -> Context:
        due = self.shares.of(info.key, info.device)
        return Context(
            **{field.name: getattr(info, field.name) for field in fields(info)},
            settings=due.settings,
            configured=due.configured,
        )

    def _apply(
        self, changed: Sequence[Changed], contexts: Iterable[ContextInfo] | None = None
    ) -> list[str]:
        """Tell the data plane; return the names, each once."""
        if not changed:
            return []
        wanted = {(change.key, change.device): change.settings for change in changed}
        for info in self._plane.contexts() if contexts is None else contexts:
            settings = wanted.get((info.key, info.device))
            if settings is not None:
                try:
                    self._plane.set_context(info.index, info.generation, settings)
                except DataPlaneError as error:
                    # Its last session has ended since we read; nobody is left to be due anything.
                    log.debug("context.gone", context=info.key, reason=error)
        self._log_refusals(changed)
        return sorted({change.key for change in changed})

    def _log_refusals(self, changed: Iterable[Changed]) -> None:
        for change in changed:
            if change.refusal is not None:
                log.warning(
                    "context.guarantee_refused",
                    context=change.key,
                    device=change.device,
                    reason=change.refusal,
                )
