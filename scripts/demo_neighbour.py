"""A polite client beside a greedy one, without I/O contexts and with: a table and a picture.

The polite client has one request at a time, the greedy one 256, on a simulated flash device with
20,000 reads a second, so that everybody sees the same. All figures are what the initiators say
(bench/load, over libiscsi).
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from tests.support.server import serving

if TYPE_CHECKING:
    from rich.console import Console

ROOT: Final = Path(__file__).resolve().parent.parent
PROGRAM: Final = ROOT / "target/bench/fairlead-load"
PICTURE: Final = ROOT / "target/demo/neighbour.svg"
POLITE, GREEDY = "polite", "greedy"
DEPTHS: Final = {POLITE: 1, GREEDY: 256}
ALONE_S, BESIDE_S = 2, 3
# In the picture: the greedy client comes, and leaves.
COMES_S, LEAVES_S, ENDS_S = 1.5, 4.5, 6
INTERVAL_S: Final = 0.1
_PATIENCE_S: Final = 60
WAYS: Final = {
    "without contexts": 'grouping = "none"\n[engine]\nscheduler = "fifo"',
    "with contexts": '[engine]\nscheduler = "fair"',
}
_DOCUMENT: Final = """
{way}
queue_depth = 256

[[volumes]]
name = "flash"
kind = "sim"
model = "ssd-20k,spread_percent=20"
size = "1G"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What both said of themselves, in one way of serving them.

    ``alone`` and ``beside`` are the polite client's, ``greedy`` the other's beside it; ``timeline``
    has reads per second of each client, one number for each `INTERVAL_S`.
    """

    alone: dict[str, Any]
    beside: dict[str, Any]
    greedy: dict[str, Any]
    timeline: dict[str, list[float]]


def measure(way: str, folder: Path) -> Neighbours:
    """Serve both in one way; takes about `ALONE_S` + `BESIDE_S` + `ENDS_S`.

    Raises:
        RuntimeError: an initiator failed.
    """
    folder.mkdir()
    document = folder / "fairlead.toml"
    document.write_text(_DOCUMENT.format(way=WAYS[way]))
    with serving((), folder, options=("--config", str(document))) as server:
        url = server.urls[0]
        (alone,) = _run(url, {POLITE: ["--seconds", str(ALONE_S)]})
        both = ["--seconds", str(BESIDE_S)]
        beside, greedy = _run(url, {POLITE: both, GREEDY: both})
        greedy_s = str(LEAVES_S - COMES_S)
        drawn = {
            POLITE: ["--seconds", str(ENDS_S)],
            GREEDY: ["--delay", str(COMES_S), "--seconds", greedy_s],
        }
        timeline = _timeline(dict(zip(drawn, _run(url, drawn), strict=True)))
    return Neighbours(alone=alone, beside=beside, greedy=greedy, timeline=timeline)


def _run(url: str, clients: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Run clients at once; return what each printed."""
    running = {}
    for name, options in clients.items():
        command = [str(PROGRAM), "--url", url, "--json", "--interval", str(INTERVAL_S)]
        command += ["--initiator", f"iqn.2026-01.example.clients:{name}"]
        command += ["--depth", str(DEPTHS[name]), *options]
        running[name] = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        said = {name: process.communicate(timeout=_PATIENCE_S) for name, process in running.items()}
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"a client was not done after {_PATIENCE_S} s") from None
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()
    for name, process in running.items():
        if process.returncode:
            raise RuntimeError(f"the {name} client failed:\n{said[name][1]}")
    return [json.loads(out) for out, _ in said.values()]


def _timeline(runs: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """Reads per second by interval; all programs count the same stretches of time."""
    first = runs[POLITE]["intervals"]["first"]
    length = round(ENDS_S / INTERVAL_S)
    lines = {}
    for name, run in runs.items():
        counts = run["intervals"]
        by_number = dict(enumerate(counts["reads"], counts["first"]))
        numbers = range(first + 1, first + length)  # The first one is not whole.
        lines[name] = [by_number.get(number, 0) / INTERVAL_S for number in numbers]
    return lines


def show(console: Console, found: dict[str, Neighbours]) -> None:
    """Print the table: a column for each way."""
    table = Table(title="one read at a time beside 256, on flash with 20,000 a second")
    table.add_column("the initiators say", min_width=34)
    for way in found:
        table.add_column(way, justify="right")

    def row(heading: str, cells: list[str], *, ends: bool = False) -> None:
        table.add_row(heading, *cells, end_section=ends)

    all_ = list(found.values())
    row("polite client alone, IOPS", [f"{one.alone['iops']:,.0f}" for one in all_])
    row("  beside the greedy one", [f"{one.beside['iops']:,.0f}" for one in all_])
    kept = [100 * one.beside["iops"] / one.alone["iops"] for one in all_]
    row("  it keeps", [f"{percent:.0f} %" for percent in kept], ends=True)
    p99 = [(one.alone["latency_us"]["p99"], one.beside["latency_us"]["p99"]) for one in all_]
    row("its p99 alone, us", [f"{alone:,.0f}" for alone, _ in p99])
    row("  beside the greedy one", [f"{beside:,.0f}" for _, beside in p99])
    row("  it waits", [f"{beside / alone:.1f} times" for alone, beside in p99], ends=True)
    row("greedy client, IOPS", [f"{one.greedy['iops']:,.0f}" for one in all_])
    console.print(table)


def draw(found: dict[str, Neighbours], path: Path) -> None:
    """Draw who gets what over time, a panel for each way."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow to load

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (way, one) in zip(panels, found.items(), strict=True):
        for name, rates in one.timeline.items():
            times_s = [(number + 1) * INTERVAL_S for number in range(len(rates))]
            shown = [rate or float("nan") for rate in rates]
            panel.plot(times_s, shown, label=f"{name}, {DEPTHS[name]} at a time")
        panel.set_title(way)
        panel.set_yscale("log")
        panel.set_xlabel("s")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("reads of 4 KiB a second")
    panels[0].legend(fontsize="small")
    figure.savefig(path)


def demonstrate(console: Console, folder: Path) -> bool:
    """Measure, show and draw; return whether contexts helped the polite client.

    Raises:
        RuntimeError: the initiator cannot be built, or failed.
    """
    built = subprocess.run(
        ["make", "-s", "-C", str(ROOT / "bench")], capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise RuntimeError(f"bench/load cannot be built:\n{built.stderr}")
    found = {}
    for way in WAYS:
        console.print(f"a polite client beside a greedy one, {way} ...")
        found[way] = measure(way, folder / way.replace(" ", "-"))
    show(console, found)
    draw(found, PICTURE)
    console.print(f"over time: {PICTURE.relative_to(ROOT)}")
    without, with_ = (one.beside["iops"] for one in found.values())
    return bool(with_ > without)
