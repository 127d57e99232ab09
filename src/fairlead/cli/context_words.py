"""Why a client gets what it gets, in words: ``fairlead context show``. Pure: a document in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fairlead.cli.context_table import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEIGHBOURS_SHOWN_MAX: Final = 8
_HELD_BACK: Final = {
    "limit": "Its own limit holds it back.",
    "window": (
        "It waits for its turn: the device has as much at a time as it may, and the others have "
        "theirs. A larger weight gives it more."
    ),
    "nobody": "Nobody holds it back: it gets what it asks for.",
}

_KERNEL: Final = {
    "plain": "To the kernel it is one with all that have no ring",
    "ring": "To the kernel it is a context of its own",
    "parked": (
        "To the kernel it is one with all that have no ring at the moment, because its own gave "
        "way to another's or it has the device to itself"
    ),
    "ending": "To the kernel its context is ending",
}


def context_words(document: dict[str, Any]) -> list[str]:
    """Return the lines for an answer to ``GET /v1/contexts/{name}``."""
    lines: list[str] = []
    for context in document["contexts"]:
        lines += ["", *_context(context, document["interval_s"])]
    return lines[1:]


def _context(context: dict[str, Any], interval_s: float) -> Iterator[str]:
    yield f"{printable(context['key'])} on {printable(context['device'])}"
    yield from (f"  {line}" for line in _settings(context))
    if context["guarantee_refused"] is not None:
        yield f"  It does not have the guarantee it should have: {context['guarantee_refused']}."
    yield f"  {_neighbours(context)}"
    yield from (f"  {line}" for line in _activity(context, interval_s))
    if context["kernel"] is not None:
        yield f"  {_kernel(context['kernel'])}"


def _settings(context: dict[str, Any]) -> Iterator[str]:
    defaults = []
    for field, origin in context["origins"].items():
        name, _, kind = field.partition(".")
        value = context["settings"][name]
        if kind:
            value = value[kind]
        if origin["from"] == "default" and field not in ("weight", "priority"):
            defaults.append(field)
        else:
            yield f"{field} = {_shown(field, value)}: {_origin(origin)}"
    if defaults:
        yield f"at their defaults: {', '.join(defaults)}"


def _shown(field: str, value: Any) -> str:
    if value is None:
        return "none"
    if field.endswith("bytes_per_s"):
        return f"{value:,} ({value / 1e6:,.1f} MB/s)"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _origin(origin: dict[str, Any]) -> str:
    match origin["from"]:
        case "rule":
            pattern = printable(origin["contexts"])
            return f'[[shares]] number {origin["rule"] + 1} of the document, "{pattern}"'
        case "change":
            return f'changed since the start, for "{printable(origin["contexts"])}"'
        case "policy":
            return f"policy {printable(origin['policy'])}"
    return "default"


def _neighbours(context: dict[str, Any]) -> str:
    device, count = printable(context["device"]), context["neighbours_count"]
    if not count:
        return f"It has {device} for itself."
    shown = [
        f"{printable(other['key'])} ({_rank(other)}, got {other['share_got']:.0%})"
        for other in context["neighbours"][:_NEIGHBOURS_SHOWN_MAX]
    ]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f"It shares {device} with {', '.join(shown)}{more}."


def _rank(other: dict[str, Any]) -> str:
    rank = f"weight {other['weight']}"
    return rank if other["priority"] == "normal" else f"{rank}, {other['priority']}"


def _kernel(kernel: dict[str, Any]) -> str:
    ring, plain = kernel["ring_requests"], kernel["plain_requests"]
    has_keeper = kernel["state"] == "ring" and kernel["keeper"] is not None
    keeper = f", with thread {kernel['keeper']} as its keeper" if has_keeper else ""
    why = "" if kernel["reason"] is None else f": {kernel['reason']}"
    return (
        f"{_KERNEL[kernel['state']]}{keeper}{why}. {ring:,} of {ring + plain:,} requests went by a "
        "ring of its own."
    )


def _activity(context: dict[str, Any], interval_s: float) -> Iterator[str]:
    activity = context["activity"]
    if not activity["share_due"]:
        yield f"In the last {interval_s:.1f} s it asked for nothing."
        return
    yield (
        f"In the last {interval_s:.1f} s it was due {activity['share_due']:.0%} of what the device "
        f"did, and got {activity['share_got']:.0%}: {activity['iops']:,.0f} IOPS, "
        f"{activity['bytes_per_s'] / 1e6:,.1f} MB/s."
    )
    queue_us, service_us = activity["queue_time_mean_us"], activity["service_time_mean_us"]
    if queue_us is not None and service_us is not None:
        yield (
            f"A request waited {queue_us:,.0f} us for its turn and {service_us:,.0f} us for the "
            "device, on average."
        )
    yield _HELD_BACK[activity["held_back_by"]]
