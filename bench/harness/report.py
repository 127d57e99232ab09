"""Renders a run as Markdown, for the terminal and for README.md between its markers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.harness import bars
from bench.harness.bars import BARELOOP, FAIRLEAD, TGT
from bench.harness.results import Results, median, ratio, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from bench.harness.measure import Measurement

BEGIN = "<!-- figures: written by run.py --report; do not edit -->"
END = "<!-- end of figures -->"

_PROFILE_ROWS = 15
_NONE = "-"


class MarkerError(Exception):
    """The page lacks the markers between which figures go."""


def render(results: Results) -> str:
    """Return every table of a run; sections without measurements are left out."""
    sections = [
        _machine(results),
        _bars(results),
        _comparison(results),
        _latency(results),
        _ratios(results),
        _syscalls(results),
        _variants(results.engine, "One fairlead against another: submitters and driver"),
        _variants(results.null, "Without a medium: what protocol and client allow"),
        _iscsi_perf(results),
        _sessions(results),
        _profiles(results),
        _failures(results),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def insert(page: Path, figures: str) -> None:
    """Replace what stands between the markers of ``page``.

    Raises:
        MarkerError: a marker is missing, or they are in the wrong order.
    """
    text = page.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise MarkerError(f"{page}: needs a line {BEGIN!r} and, after it, a line {END!r}")
    page.write_text(f"{head}{BEGIN}\n\n{figures.strip()}\n\n{END}{tail}")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an aligned Markdown table: the first column to the left, the rest to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = row
        padded = [first.ljust(widths[0])]
        padded += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(cells[0]), line(rule), *(line(row) for row in cells[1:])])


def number(value: float | None, *, digits: int | None = None) -> str:
    """Format a figure with about three significant digits; a dash where there is none."""
    if value is None:
        return _NONE
    if digits is None:
        digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"


def _machine(results: Results) -> str:
    settings = results.settings
    lines = [f"- {name}: {value}" for name, value in results.machine.items()]
    lines += [
        f"- run: {settings.get('rounds')} rounds of {settings.get('seconds')} s for each cell"
        + (", the quick form: expect noise" if settings.get("quick") else "")
    ]
    if settings.get("engine"):
        lines += [f"- fairlead's engine: `{json.dumps(settings['engine'], sort_keys=True)}`"]
    lines += [f"- absent: {reason}" for reason in results.absent.values()]
    return "### Machine and run\n\n" + "\n".join(lines)


def _bars(results: Results) -> str:
    if not results.comparison:
        return ""

    def verdict(bar: bars.Bar) -> str:
        if bar.measured is None:
            return "not measured"
        return (
            "met" if bar.is_met else f"**not met** ({bar.remark})" if bar.remark else "**not met**"
        )

    rows = [
        (bar.name, bar.wanted, number(bar.measured), verdict(bar)) for bar in bars.compute(results)
    ]
    return "### Bars\n\n" + table(("bar", "wanted", "measured", "verdict"), rows)


def _comparison(results: Results) -> str:
    rows = results.comparison
    if not rows:
        return ""
    header = ["scenario", "server", "CPU us/command", "of rounds", "IOPS", "MB/s", "server cores"]
    header += ["client us/command", "busiest client", "others", "steal"]
    cells = [
        (
            scenario,
            server,
            number(median(rows, server, scenario, lambda row: row.server_cpu_us)),
            _range(spread(rows, server, scenario, lambda row: row.server_cpu_us)),
            number(median(rows, server, scenario, lambda row: row.iops), digits=0),
            number(median(rows, server, scenario, lambda row: row.mb_per_s), digits=0),
            number(median(rows, server, scenario, lambda row: row.server_cores)),
            number(median(rows, server, scenario, lambda row: row.client_cpu_us)),
            number(median(rows, server, scenario, lambda row: row.busiest_client_cores)),
            number(median(rows, server, scenario, lambda row: row.other_cores)),
            number(median(rows, server, scenario, lambda row: row.steal_cores)),
        )
        for scenario in _scenarios(rows)
        for server in _servers(rows)
    ]
    return "### CPU and throughput (medians)\n\n" + table(header, cells)


def _latency(results: Results) -> str:
    rows = results.comparison
    if not rows:
        return ""
    values: tuple[Callable[[Measurement], float], ...] = (
        lambda row: row.mean_us,
        lambda row: row.p50_us,
        lambda row: row.p90_us,
        lambda row: row.p99_us,
        lambda row: row.p99_9_us,
        lambda row: row.max_us,
    )
    cells = [
        (scenario, server, *(number(median(rows, server, scenario, value)) for value in values))
        for scenario in _scenarios(rows)
        for server in _servers(rows)
    ]
    header = ("scenario", "server", "mean", "p50", "p90", "p99", "p99.9", "max")
    return "### Latency, microseconds (medians)\n\n" + table(header, cells)


def _ratios(results: Results) -> str:
    rows = results.comparison
    pairs = [
        (FAIRLEAD, other) for other in (BARELOOP, TGT) if {FAIRLEAD, other} <= set(_servers(rows))
    ]
    if not pairs:
        return ""
    header = ["scenario"]
    for first, second in pairs:
        header += [f"CPU, {first}/{second}", f"IOPS, {first}/{second}", f"p99, {first}/{second}"]
    cells = []
    for scenario in _scenarios(rows):
        line = [scenario]
        for pair in pairs:
            line += [
                number(ratio(rows, pair, scenario, lambda row: row.server_cpu_us)),
                number(ratio(rows, pair, scenario, lambda row: row.iops)),
                number(ratio(rows, pair, scenario, lambda row: row.p99_us)),
            ]
        line.append(bars.client_limit(results, FAIRLEAD, scenario) or _NONE)
        cells.append(line)
    return "### Ratios (medians of the rounds' ratios)\n\n" + table(
        [*header, "what limited fairlead's IOPS"], cells
    )


def _syscalls(results: Results) -> str:
    if not results.syscalls:
        return ""
    servers = list(dict.fromkeys(name for row in results.syscalls.values() for name in row))
    cells = [
        (
            scenario,
            *(
                number(value) if isinstance(value := row.get(server), float) else value or _NONE
                for server in servers
            ),
        )
        for scenario, row in results.syscalls.items()
    ]
    method = results.settings.get("syscall_method", "")
    return f"### System calls per command ({method})\n\n" + table(("scenario", *servers), cells)


def _variants(rows: Sequence[Measurement], title: str) -> str:
    if not rows:
        return ""
    cells = [
        (
            scenario,
            server,
            number(median(rows, server, scenario, lambda row: row.server_cpu_us)),
            number(median(rows, server, scenario, lambda row: row.iops), digits=0),
            number(median(rows, server, scenario, lambda row: row.mb_per_s), digits=0),
            number(median(rows, server, scenario, lambda row: row.p50_us)),
            number(median(rows, server, scenario, lambda row: row.p99_us)),
            number(median(rows, server, scenario, lambda row: row.busiest_client_cores)),
        )
        for scenario in _scenarios(rows)
        for server in _servers(rows)
    ]
    header = ("scenario", "server", "CPU us/command", "IOPS", "MB/s", "p50 us", "p99 us")
    return f"### {title}\n\n{table((*header, 'busiest client'), cells)}"


def _iscsi_perf(results: Results) -> str:
    if not results.iscsi_perf:
        return ""
    cells = []
    for row in results.iscsi_perf:
        theirs, ours = row["iscsi_perf_iops"], row["load_iops"]
        comparable = isinstance(theirs, int | float) and theirs and ours
        cells.append(
            (
                row["scenario"],
                row["server"],
                number(ours, digits=0),
                number(theirs, digits=0) if isinstance(theirs, int | float) else str(theirs),
                number(ours / theirs) if comparable else _NONE,
            )
        )
    header = ("scenario", "server", "fairlead-load IOPS", "iscsi-perf IOPS", "ratio")
    return "### Cross-check with iscsi-perf\n\n" + table(header, cells)


def _sessions(results: Results) -> str:
    parts = []
    if results.logins:
        header = ("server", "logins", "at once", "per second", "p50 ms", "p99 ms", "max ms")
        cells = [
            (
                row["server"],
                str(row["count"]),
                str(row["at_once"]),
                number(row["logins_per_s"], digits=0),
                number(row["p50_ms"]),
                number(row["p99_ms"]),
                number(row["max_ms"]),
                number(row["server_cpu_ms"]),
                _failed(row["failures"], row["first_failure"]),
            )
            for row in results.logins
        ]
        parts.append("### Logins\n\n" + table((*header, "server CPU ms each", "failures"), cells))
    if results.idle:
        idle_header = ("server", "idle sessions", "resident KiB each", "machine KiB each")
        idle_cells = [
            (
                row["server"],
                f"{row['sessions']} of {row['wanted']}",
                number(row["resident_bytes_each"] / 1024),
                number(row["machine_bytes_each"] / 1024),
                number(row["server_cores"], digits=3),
                str(row["threads"]),
                row["first_failure"] or _NONE,
            )
            for row in results.idle
        ]
        parts.append(
            "### Idle sessions\n\n"
            + table(
                (*idle_header, "server cores while idle", "threads", "first failure"), idle_cells
            )
        )
    return "\n\n".join(parts)


def _profiles(results: Results) -> str:
    parts = []
    for name, rows in results.profiles.items():
        if isinstance(rows, str):
            parts.append(f"### Profile of {name}\n\nNone: {rows}")
            continue
        kernel = sum(row["share"] for row in rows if row["is_kernel"])
        cells = [
            (f"`{row['symbol']}`", row["binary"], number(row["share"] * 100.0))
            for row in rows[:_PROFILE_ROWS]
        ]
        parts.append(
            f"### Profile of {name}\n\nOf the {len(rows)} largest symbols, "
            f"{kernel * 100:.0f} % of all CPU time is kernel code.\n\n"
            + table(("symbol", "in", "% of its CPU time"), cells)
        )
    return "\n\n".join(parts)


def _failures(results: Results) -> str:
    rows = [*results.comparison, *results.engine, *results.null]
    failed = [row for row in rows if row.failure is not None]
    if not failed:
        return ""
    lines = [
        f"- {row.scenario}, {row.server}, round {row.round_number}: {row.failure}" for row in failed
    ]
    return "### Failed measurements\n\n" + "\n".join(lines)


def _failed(count: int, first: str | None) -> str:
    return f"{count} ({first})" if count else "0"


def _range(limits: tuple[float, float] | None) -> str:
    return _NONE if limits is None else f"{number(limits[0])}..{number(limits[1])}"


def _scenarios(rows: Iterable[Measurement]) -> list[str]:
    return list(dict.fromkeys(row.scenario for row in rows))


def _servers(rows: Iterable[Measurement]) -> list[str]:
    """Return the servers in the order of their first turn; those that never succeeded as well."""
    return list(dict.fromkeys(row.server for row in rows))
