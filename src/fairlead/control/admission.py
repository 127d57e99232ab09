"""Admission: on no device is more guaranteed than it can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.errors import ConfigError
from fairlead.sched.settings import Rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fairlead.model.shares import DeviceConfig

GUARANTEED_PERCENT_MAX: Final = 80
"""The rest is for what a capacity leaves out: other sizes, wear, whoever has no guarantee."""
NOTHING: Final = Rate()

_NAMES_SHOWN_MAX: Final = 5
_KINDS: Final = (("iops", "IOPS"), ("bytes_per_s", "bytes/s"))


class Admission:
    """Which guarantees of which contexts a device has taken on, and who waits for one."""

    def __init__(self, devices: Iterable[DeviceConfig] = ()) -> None:
        self._capacities: dict[str, Rate] = {
            device.name: Rate(iops=device.iops, bytes_per_s=device.bytes_per_s)
            for device in devices
        }
        self._granted: dict[str, dict[str, Rate]] = {}
        self._waiting: dict[str, dict[str, None]] = {}

    def ask(self, key: str, device: str, guarantee: Rate) -> str | None:
        """Take on a context's guarantee in place of the one it has; None: it is granted.

        Returns:
            Why not, with the sums. The context then has no guarantee and waits for one.
        """
        self.give_back(key, device)
        if guarantee == NOTHING:
            return None
        granted = self._granted.setdefault(device, {})
        refusal = self._beyond(device, {**granted, key: guarantee})
        if refusal is None:
            granted[key] = guarantee
        else:
            self._waiting.setdefault(device, {})[key] = None
        return refusal

    def give_back(self, key: str, device: str) -> None:
        """Forget a context's guarantee, granted or waited for."""
        for book in (self._granted, self._waiting):
            contexts = book.get(device, {})
            contexts.pop(key, None)
            if not contexts:
                book.pop(device, None)

    def has(self, key: str, device: str) -> bool:
        """Tell whether a guarantee is granted."""
        return key in self._granted.get(device, {})

    def waiting(self, device: str) -> list[str]:
        """Return the contexts whose guarantee was refused, longest first."""
        return list(self._waiting.get(device, {}))

    def check(self, device: str, guarantees: Mapping[str, Rate]) -> None:
        """Check that these contexts could have these guarantees, beside those of the others.

        Raises:
            ConfigError: they would go beyond what the device can hold; has the sums.
        """
        refusal = self._beyond(device, {**self._granted.get(device, {}), **guarantees})
        if refusal is not None:
            raise ConfigError(
                refusal, remedy="lower a guarantee, or correct the device's capacity in [[devices]]"
            )

    def _beyond(self, device: str, guarantees: Mapping[str, Rate]) -> str | None:
        capacity = self._capacities.get(device, NOTHING)
        for kind, unit in _KINDS:
            holds = getattr(capacity, kind)
            parts = {key: getattr(rate, kind) for key, rate in guarantees.items()}
            parts = {key: part for key, part in parts.items() if part is not None}
            if holds is None or sum(parts.values()) * 100 <= holds * GUARANTEED_PERCENT_MAX:
                continue
            shown = [f"{key} {part}" for key, part in list(parts.items())[-_NAMES_SHOWN_MAX:]]
            more = len(parts) - len(shown)
            return (
                f"guarantees on {device} would be {sum(parts.values())} {unit}, and "
                f"{holds * GUARANTEED_PERCENT_MAX // 100} can be guaranteed "
                f"({GUARANTEED_PERCENT_MAX} % of {holds}): {', '.join(shown)}"
                + (f" and {more} more" if more else "")
            )
        return None
