"""The policy ``latency-goal``: some contexts' commands are to be answered in a given time.

While they are not, the others on the same device are limited to less and less of what they do;
when they are again, the limits are given back, more slowly, and go when they limit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from fairlead.model.frozen import Model
from fairlead.model.shares import ContextPattern, RateChange, ShareChange, matches
from fairlead.sched.settings import BYTES_PER_S_MAX, BYTES_PER_S_MIN, IOPS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.control.measurement import MeasuredContext, Snapshot

# As congestion control does: back fast enough to be felt within half a second at ten steps a
# second, forward so slowly that the goal is not missed again at once.
_BACK: Final = 0.8
_FORWARD: Final = 1.02
# Between this part of the goal and the goal nothing is changed, or it would swing.
_GIVE_BACK_BELOW: Final = 0.8
# A limit of more than this many times what is used limits nothing.
_UNUSED: Final = 2.0
_IOPS_MIN: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Cap:
    iops: float
    bytes_per_s: float

    def times(self, factor: float) -> _Cap:
        return _Cap(
            min(max(self.iops * factor, _IOPS_MIN), IOPS_MAX),
            min(max(self.bytes_per_s * factor, BYTES_PER_S_MIN), BYTES_PER_S_MAX),
        )


class LatencyGoal:
    """Keeps the mean response time of some contexts at a goal by limiting the others."""

    class Options(Model):
        """What stands in its table.

        Attributes:
            contexts: whose commands are to be answered in time; names with wildcards.
            goal_ms: mean time from arrival to answer, over one interval.
        """

        contexts: ContextPattern
        goal_ms: Annotated[float, Field(gt=0, le=60_000)]

    def __init__(self, options: Options) -> None:
        self._options = options
        self._caps: dict[tuple[str, str], _Cap] = {}

    def step(self, snapshot: Snapshot) -> Mapping[str, ShareChange]:
        """Return the limits of the others from now on."""
        slowest_us: dict[str, float] = {}
        for context in snapshot.contexts:
            if self._is_mine(context):
                time_us = context.activity.response_time_mean_us or 0.0
                slowest_us[context.device] = max(slowest_us.get(context.device, 0.0), time_us)
        caps = {}
        for context in snapshot.contexts:
            if not self._is_mine(context):
                cap = self._cap(context, slowest_us.get(context.device, 0.0))
                if cap is not None:
                    caps[context.key, context.device] = cap
        self._caps = caps
        return _changes(caps)

    def _is_mine(self, context: MeasuredContext) -> bool:
        return matches(context.key, self._options.contexts)

    def _cap(self, context: MeasuredContext, slowest_us: float) -> _Cap | None:
        cap = self._caps.get((context.key, context.device))
        used = _Cap(context.activity.requests_per_s, context.activity.bytes_per_s)
        goal_us = self._options.goal_ms * 1000
        if slowest_us > goal_us:
            if cap is None:
                return used.times(_BACK) if used.iops else None
            return _Cap(min(cap.iops, used.iops), min(cap.bytes_per_s, used.bytes_per_s)).times(
                _BACK
            )
        if cap is None or slowest_us > _GIVE_BACK_BELOW * goal_us:
            return cap
        is_unused = cap.iops > _UNUSED * used.iops and cap.bytes_per_s > _UNUSED * used.bytes_per_s
        return None if is_unused else cap.times(_FORWARD)


def _changes(caps: Mapping[tuple[str, str], _Cap]) -> dict[str, ShareChange]:
    """A change is of a name on all its devices: the smallest cap of each."""
    smallest: dict[str, _Cap] = {}
    for (key, _), cap in caps.items():
        other = smallest.get(key, cap)
        smallest[key] = _Cap(min(cap.iops, other.iops), min(cap.bytes_per_s, other.bytes_per_s))
    return {
        key: ShareChange(limit=RateChange(iops=int(cap.iops), bytes_per_s=int(cap.bytes_per_s)))
        for key, cap in smallest.items()
    }
