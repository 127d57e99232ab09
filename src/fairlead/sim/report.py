"""Results for people: a table for each policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from fairlead.devices.interface import MB, SECOND
from fairlead.devices.presets import PRESETS
from fairlead.model.size import format_size
from fairlead.sched.cost import PAGE_BYTES, Operation
from fairlead.sim.window import small_read_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.sim.result import ClientResult, PolicyResult

_WHAT_POLICIES_ARE: Final = {
    "fair": "shares by weight",
    "fifo": "one queue for the whole device",
    "none": "everything to the device at once",
}
TABLE_WIDTH: Final = 160
"""Room for every column. On a narrower terminal lines are broken, but no number is cut off."""
_MS_US: Final = 1000
_S_US: Final = 1_000_000


def policy_table(result: PolicyResult) -> Table:
    """Return the table of one policy's result."""
    table = Table(
        title=f"{result.policy}: {_WHAT_POLICIES_ARE[result.policy]}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    names = [
        client.name if client.count == 1 else f"{client.name} x {client.count:,}"
        for client in result.clients
    ]
    rare = [
        (heading, fill)
        for heading, fill in _RARE_COLUMNS
        if any(fill(client) for client in result.clients)
    ]
    columns = (*_COLUMNS, *rare)
    table.add_column("client", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, client in zip(names, result.clients, strict=True):
        table.add_row(name, *(fill(client) for _, fill in columns))
    return table


def summary(result: PolicyResult) -> str:
    """Return what is to be said of all clients together."""
    evenness = ""
    if result.jain is not None and result.min_max is not None:
        evenness = f"  Jain {result.jain:.4f}  min/max {result.min_max:.4f}"
    if result.error_1s is not None:
        evenness += f"  worst second {_percent(result.error_1s)} off"
    asks_less = any(client.asks_less for client in result.clients)
    note = "\n(due): asks for less than its weight's share" if asks_less else ""
    return (
        f"device {_percent(result.utilisation)} busy, {result.iops:,.0f} IOPS, "
        f"{result.mb_per_s:,.1f} MB/s{evenness}{note}"
    )


def presets_table() -> Table:
    """Return the table of devices by name."""
    table = Table(title="devices", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("preset", no_wrap=True)
    for heading in ("size", "at a time", "4K reads/s", "4K writes/s", "stream MB/s"):
        table.add_column(heading, justify="right")
    table.add_column("what")
    for name, preset in PRESETS.items():
        parameters = preset.parameters
        costs = parameters.cost_model()
        per_s = parameters.servers * SECOND
        long_bytes = 1 << 20
        table.add_row(
            name,
            format_size(parameters.size),
            str(parameters.servers),
            f"{per_s / small_read_ns(costs):,.0f}",
            f"{per_s / costs.estimate(Operation.WRITE, PAGE_BYTES, False):,.0f}",
            f"{per_s / costs.estimate(Operation.READ, long_bytes, True) * long_bytes / MB:,.0f}",
            preset.what,
        )
    return table


def preset_lines() -> list[str]:
    """Return each preset as a word in which every value can be changed."""
    return [
        ",".join(
            [name, *(f"{key}={value}" for key, value in preset.parameters.model_dump().items())]
        )
        for name, preset in PRESETS.items()
    ]


def format_us(time_us: float | None) -> str:
    """Return a time with the unit that fits: ``80 us``, ``1.25 ms``, ``2.1 s``."""
    if time_us is None:
        return "-"
    if time_us < _MS_US:
        return f"{time_us:.0f} us"
    if time_us < _S_US:
        return f"{time_us / _MS_US:.2f} ms"
    return f"{time_us / _S_US:.2f} s"


def _due(client: ClientResult) -> str:
    if client.error is None and not client.share_due:
        return "-"
    text = _percent(client.share_due)
    return f"({text})" if client.asks_less else text


def _percent(part: float) -> str:
    return f"{part:.1%}"


def _signed_percent(part: float | None) -> str:
    return "-" if part is None else f"{part:+.1%}"


# Heading, and how a client fills it.
_COLUMNS: Final[tuple[tuple[str, Callable[[ClientResult], str]], ...]] = (
    ("weight", lambda client: str(client.weight)),
    ("due", _due),
    ("got", lambda client: _percent(client.share_got)),
    ("error", lambda client: _signed_percent(client.error)),
    ("IOPS", lambda client: f"{client.iops:,.0f}"),
    ("MB/s", lambda client: f"{client.mb_per_s:,.1f}"),
    ("p50", lambda client: format_us(client.latency_p50_us)),
    ("p99", lambda client: format_us(client.latency_p99_us)),
    ("max", lambda client: format_us(client.latency_max_us)),
)
# Columns that are there if any client has something for them.
_RARE_COLUMNS: Final[tuple[tuple[str, Callable[[ClientResult], str]], ...]] = (
    (
        "guarantee\nmet",
        lambda client: "" if client.guarantee_met is None else _percent(client.guarantee_met),
    ),
    (
        "of\nlimit",
        lambda client: "" if client.limit_reached is None else _percent(client.limit_reached),
    ),
    ("refused", lambda client: f"{client.refused:,}" if client.refused else ""),
)
