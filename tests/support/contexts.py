"""Contexts as the data plane tells of them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from fairlead.control.measurement import Context, MeasuredContext, Reading, Snapshot, measure
from fairlead.dataplane.api import LatencyUs
from fairlead.sched.settings import Settings

_NO_TIME = LatencyUs(p50=0.0, p99=0.0, mean=0.0)


def context(key: str, **fields: Any) -> Context:
    """Return a context on ``vda`` that has done nothing but what is said.

    ``ops`` counts as many reads, submitted and completed, of 1 us each; ``queue``,
    ``service`` and ``response`` are mean times in microseconds.
    """
    ops = fields.pop("ops", 0)
    times = {name: fields.pop(name, 0.0) for name in ("queue", "service", "response")}
    settings = fields.pop("settings", Settings())
    plain: dict[str, Any] = {
        "index": sum(key.encode()),
        "generation": 0,
        "device": "vda",
        "state": "active",
        "sessions": 1,
        "commands_read": ops,
        "commands_write": 0,
        "commands_other": 0,
        "bytes_read": ops * 4096,
        "bytes_written": 0,
        "in_flight": 0,
        "submitted": ops,
        "completed": ops,
        "cost_ns": ops * 1000,
        "entered": ops,
        "left": ops,
        **{f"{name}_time_us": LatencyUs(p50=t, p99=t, mean=t) for name, t in times.items()},
    }
    return Context(key=key, settings=settings, configured=settings, **{**plain, **fields})


def snapshot(*contexts: Context, interval_s: float = 1.0) -> Snapshot:
    """Return what is measured if all of it was done in the interval."""
    before = Reading(at_s=0.0, contexts=())
    return measure(before, Reading(at_s=interval_s, contexts=contexts))


def measured(*contexts: Context, interval_s: float = 1.0) -> dict[str, MeasuredContext]:
    """Return the same by key."""
    return {found.key: found for found in snapshot(*contexts, interval_s=interval_s).contexts}
