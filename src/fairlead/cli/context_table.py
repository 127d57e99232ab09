"""The table of contexts: what ``fairlead contexts`` shows. Pure: a document in, a table out."""

from __future__ import annotations

from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

_FIGURES: Final = (
    "weight",
    "due",
    "got",
    "IOPS",
    "MB/s",
    "queue us\np50/p99",
    "service us\np50/p99",
    "in\nflight",
    "held\nback by",
)
_NAME_COLUMNS_MIN: Final = 12
# From here on thousands are exact enough.
_LONG_US: Final = 10_000


def context_table(document: dict[str, Any], *, columns: int) -> Table:
    """Return the table of an answer to ``GET /v1/contexts`` for a terminal of so many columns.

    Where there is little room names lose their beginning: clients differ in the end of theirs.
    """
    contexts = sorted(document["contexts"], key=lambda context: (context["device"], context["key"]))
    devices = {context["device"] for context in contexts}
    place = f" on {printable(*devices)}" if len(devices) == 1 else ""
    table = Table(
        title=f"{len(contexts)} I/O contexts{place}; rates of the last "
        f"{document['interval_s']:.1f} s, times since each began",
        title_style="",
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    headings = ("device", *_FIGURES) if len(devices) > 1 else _FIGURES
    rows = [_figures(context) for context in contexts]
    if any(context["kernel"] is not None for context in contexts):
        headings = (*headings, "kernel")
        rows = [
            [*row, kernel_word(context["kernel"])]
            for context, row in zip(contexts, rows, strict=True)
        ]
    if len(devices) > 1:
        rows = [
            [printable(context["device"]), *row]
            for context, row in zip(contexts, rows, strict=True)
        ]
    room = columns - sum(map(_width, zip(headings, *rows, strict=True)))
    table.add_column("context", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "device" else "right", no_wrap=True)
    for context, row in zip(contexts, rows, strict=True):
        # Text, because a name may look like markup.
        name = _shortened(printable(context["key"]), max(room, _NAME_COLUMNS_MIN))
        table.add_row(Text(name), *map(Text, row))
    return table


def kernel_word(kernel: dict[str, Any] | None) -> str:
    """Return how a context's requests go: its ring's state, and the part of all that went by it."""
    if kernel is None:
        return "-"
    requests = kernel["ring_requests"] + kernel["plain_requests"]
    part = f" {kernel['ring_requests'] / requests:.0%}" if requests else ""
    return f"{kernel['state']}{part}"


def printable(text: str) -> str:
    """Return a name as a terminal may have it: what is not printable, as an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _figures(context: dict[str, Any]) -> list[str]:
    activity, settings = context["activity"], context["settings"]
    priority = "" if settings["priority"] == "normal" else f" {settings['priority']}"
    wanted = activity["share_due"] > 0
    return [
        f"{settings['weight']}{priority}",
        f"{activity['share_due']:.0%}" if wanted else "-",
        f"{activity['share_got']:.0%}" if wanted else "-",
        f"{activity['iops']:,.0f}",
        f"{activity['bytes_per_s'] / 1e6:,.1f}",
        _times(context["queue_time_us"]),
        _times(context["service_time_us"]),
        str(context["in_flight"]),
        activity["held_back_by"] if wanted else "-",
    ]


def _width(cells: tuple[str, ...]) -> int:
    """Of a column with the blank before it."""
    return 1 + max(len(line) for cell in cells for line in cell.split("\n"))


def _shortened(name: str, columns: int) -> str:
    return name if len(name) <= columns else "…" + name[1 - columns :]


def _times(times: dict[str, float]) -> str:
    return f"{_time(times['p50'])}/{_time(times['p99'])}"


def _time(time_us: float) -> str:
    return f"{time_us:.0f}" if time_us < _LONG_US else f"{time_us / 1000:.0f}k"
