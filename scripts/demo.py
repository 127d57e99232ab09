"""Shows what fairlead does, in a minute, and checks it.

A volume is served by `fairlead serve`. QEMU's initiator writes an image to it and reads it back;
then two of libiscsi's initiators with different names read at once. What each of them says of
itself must agree with what fairlead booked for its I/O context. At last a client with one request
at a time works beside one with 256, without I/O contexts and with them.

Usage: python -m scripts.demo [--seconds 6]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts import demo_neighbour
from tests.support.server import serving

MIB = 1 << 20
BLOCK_BYTES = 512
VOLUME = "disk.img:256M"
AGREEMENT_PERCENT = 5.0

console = Console(width=110, highlight=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of iscsi-perf: who it is and what it asks for."""

    initiator_name: str
    text: str
    depth: int
    blocks: int
    random: bool

    def command(self, url: str, seconds: int) -> list[str]:
        """Writes the command line."""
        options = ["-m", str(self.depth), "-b", str(self.blocks), "-t", str(seconds)]
        order = ["-r"] if self.random else []
        return ["iscsi-perf", "-i", self.initiator_name, *options, *order, url]


LOADS = (
    Load(
        initiator_name="iqn.2026-01.example.clients:anna",
        text="4 KiB random, 16 at a time",
        depth=16,
        blocks=8,
        random=True,
    ),
    Load(
        initiator_name="iqn.2026-01.example.clients:ben",
        text="64 KiB in sequence, 4 at a time",
        depth=4,
        blocks=128,
        random=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an initiator said when it had finished, and how long it ran."""

    load: Load
    iops: float
    elapsed_s: float


def qemu_img(*arguments: str) -> None:
    """Runs qemu-img, quietly where it succeeds.

    Raises:
        RuntimeError: it failed, with what it said.
    """
    done = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"qemu-img {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def round_trip(url: str, folder: Path) -> float:
    """Writes an image through the target, reads it back, compares; returns MB/s both ways.

    Raises:
        RuntimeError: the bytes differ.
    """
    source, back = folder / "source.img", folder / "back.img"
    source.write_bytes(random.Random(2008).randbytes(64 * MIB))  # noqa: S311 -- test data
    started = time.monotonic()
    qemu_img("convert", "-n", "-f", "raw", "-O", "raw", str(source), url)
    qemu_img("convert", "-f", "raw", "-O", "raw", url, str(back))
    elapsed_s = time.monotonic() - started
    with back.open("rb") as file:
        if file.read(64 * MIB) != source.read_bytes():
            raise RuntimeError("the image came back changed")
    return (64 * MIB + back.stat().st_size) / elapsed_s / 1e6


def run_loads(url: str, seconds: int) -> list[Report]:
    """Runs all loads at once, and returns what each reported.

    Raises:
        RuntimeError: an initiator failed.
    """
    started = time.monotonic()
    running = [
        (
            load,
            subprocess.Popen(
                load.command(url, seconds),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ),
        )
        for load in LOADS
    ]
    reports = []
    try:
        for load, process in running:
            output, _ = process.communicate(timeout=seconds + 20)
            averages = re.findall(r"iops average (\d+)", output)
            if process.returncode or not averages:
                raise RuntimeError(f"{load.initiator_name} failed:\n{output}")
            elapsed_s = time.monotonic() - started
            reports.append(Report(load=load, iops=float(averages[-1]), elapsed_s=elapsed_s))
    finally:
        for _, process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return reports


def account_of(initiator_name: str, contexts: list[dict[str, Any]]) -> dict[str, Any]:
    """Finds the one I/O context of an initiator.

    Raises:
        RuntimeError: there is none, or more than one.
    """
    found = [context for context in contexts if initiator_name in context["key"]]
    if len(found) != 1:
        keys = [context["key"] for context in contexts]
        raise RuntimeError(f"{len(found)} contexts of {initiator_name} among {keys}")
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What fairlead booked for an initiator beside what the initiator says."""

    report: Report
    account: dict[str, Any]

    @property
    def iops(self) -> tuple[float, float]:
        """Reads a second: ours, its own."""
        return self.account["commands_read"] / self.report.elapsed_s, self.report.iops

    @property
    def megabytes_per_s(self) -> tuple[float, float]:
        """10**6 bytes a second: ours, its own."""
        own = self.report.iops * self.report.load.blocks * BLOCK_BYTES / 1e6
        return self.account["bytes_read"] / self.report.elapsed_s / 1e6, own

    @property
    def percent(self) -> float:
        """The larger of the two differences."""
        pairs = (self.iops, self.megabytes_per_s)
        return max(abs(100 * (ours / own - 1)) for ours, own in pairs)


def show(comparisons: list[Comparison]) -> None:
    """Prints the table: a column for each initiator."""
    table = Table(title="two initiators at once, each in its own I/O context")
    table.add_column("I/O context")
    for one in comparisons:
        table.add_column(one.account["key"], justify="right")

    def row(heading: str, *cells: str) -> None:
        table.add_row(
            heading, *cells, end_section=heading in {"load", "IOPS, iscsi-perf says", "differs by"}
        )

    row("device", *(one.account["device"] for one in comparisons))
    row("load", *(one.report.load.text for one in comparisons))
    row("IOPS, fairlead's account", *(f"{one.iops[0]:,.0f}" for one in comparisons))
    row("IOPS, iscsi-perf says", *(f"{one.iops[1]:,.0f}" for one in comparisons))
    row("MB/s, fairlead's account", *(f"{one.megabytes_per_s[0]:,.1f}" for one in comparisons))
    row("MB/s, iscsi-perf says", *(f"{one.megabytes_per_s[1]:,.1f}" for one in comparisons))
    row("differs by", *(f"{one.percent:.1f} %" for one in comparisons))
    latencies = [one.account["service_time_us"] for one in comparisons]
    row("service time p50, us", *(f"{latency['p50']:,.0f}" for latency in latencies))
    row("service time p99, us", *(f"{latency['p99']:,.0f}" for latency in latencies))
    console.print(table)


def main() -> int:
    """Runs the demonstration; returns 0 when everything was as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=6, help="how long the initiators run")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="fairlead-demo-") as name:
        folder = Path(name)
        accounts = folder / "accounts.json"
        with serving((VOLUME,), folder, options=("--accounts", str(accounts))) as server:
            url = server.urls[0]
            console.print(f"serving {url}")
            speed = round_trip(url, folder)
            console.print(f"qemu-img: wrote 64 MiB, read it back, identical ({speed:,.0f} MB/s)")
            console.print(f"iscsi-perf: two initiators for {seconds} s ...")
            reports = run_loads(url, seconds)
        contexts = json.loads(accounts.read_text())["contexts"]
        comparisons = [
            Comparison(report=report, account=account_of(report.load.initiator_name, contexts))
            for report in reports
        ]
    show(comparisons)
    if any(one.percent > AGREEMENT_PERCENT for one in comparisons):
        console.print(f"the two sides differ by more than {AGREEMENT_PERCENT:g} %", style="red")
        return 1
    console.print(f"both sides agree within {AGREEMENT_PERCENT:g} %\n", style="green")
    with tempfile.TemporaryDirectory(prefix="fairlead-demo-") as name:
        if not demo_neighbour.demonstrate(console, Path(name)):
            console.print("contexts did not help the polite client", style="red")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
