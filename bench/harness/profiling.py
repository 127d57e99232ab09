"""Where a server's CPU time goes, by perf: the largest symbols, user and kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.harness import image, process
from bench.harness.load import LoadError, LoadGroup
from bench.harness.measure import INITIATOR_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from bench.harness.scenario import Scenario
    from bench.harness.server import Server

_FREQUENCY_HZ = 1999
_ROWS_MAX = 30
_REPORT_S = 120
_ROW = re.compile(
    r"^\s*(?P<share>[\d.]+)%\s+(?P<object>\S+)\s+\[(?P<mode>.)\]\s+(?P<symbol>.+?)\s*$"
)


@dataclass(frozen=True, slots=True)
class Hotspot:
    """One symbol and its share (0..1) of the server's CPU time."""

    share: float
    binary: str
    symbol: str
    is_kernel: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def profile(
    server: Server, scenario: Scenario, *, seconds: float, scratch: Path
) -> list[Hotspot] | str:
    """Return the largest symbols of a server under a workload, or why they cannot be told."""
    if shutil.which("perf") is None:
        return "perf is not installed (Debian: apt-get install linux-perf)"
    data = scratch / "perf.data"
    image.settle(server.image)
    pids = ",".join(str(pid) for pid in process.tree(server.pid))
    record = [
        "perf", "record", "-q", "-F", str(_FREQUENCY_HZ), "-p", pids, "-o", str(data),
        "--", "sleep", str(max(0.5, seconds - 0.5)),
    ]  # fmt: skip
    commands = [
        server.load_command(scenario, initiator=f"{INITIATOR_NAME}-{number}")
        for number in range(1, scenario.initiators + 1)
    ]
    recorder: list[subprocess.Popen[bytes]] = []
    try:
        with LoadGroup(commands, seconds=seconds, seed=3) as group:
            group.connect()
            group.run(
                started=lambda: recorder.append(
                    subprocess.Popen(record, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                )
            )
            group.leave()
    except LoadError as error:
        return str(error)
    finally:
        for started in recorder:
            started.wait(timeout=_REPORT_S)
    report = subprocess.run(
        [
            "perf",
            "report",
            "--stdio",
            "--no-children",
            "-g",
            "none",
            "-s",
            "dso,sym",
            "-i",
            str(data),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_REPORT_S,
    )
    rows = parse(report.stdout)
    return rows or f"perf has no samples: {report.stderr.strip()[-200:]}"


def parse(text: str) -> list[Hotspot]:
    """Return the first rows of ``perf report --stdio -s dso,sym``."""
    rows = [
        Hotspot(
            share=float(match["share"]) / 100.0,
            binary=match["object"],
            symbol=match["symbol"],
            is_kernel=match["mode"] == "k",
        )
        for line in text.splitlines()
        if not line.startswith("#") and (match := _ROW.match(line))
    ]
    return rows[:_ROWS_MAX]
