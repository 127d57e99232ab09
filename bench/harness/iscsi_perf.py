"""Cross-check: the same workload by libiscsi's own iscsi-perf, which we did not write."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.harness import image
from bench.harness.measure import INITIATOR_NAME

if TYPE_CHECKING:
    from bench.harness.scenario import Scenario
    from bench.harness.server import IscsiServer

_BLOCK_BYTES = 512
_GRACE_S = 30.0


def run(server: IscsiServer, scenario: Scenario, *, seconds: float) -> float | str:
    """Return the IOPS iscsi-perf reports for a reading workload, or why it reports none.

    iscsi-perf only reads, counts whole seconds, and has one initiator; 512-byte blocks are assumed.
    """
    if shutil.which("iscsi-perf") is None:
        return "iscsi-perf is not installed (Debian: apt-get install libiscsi-bin)"
    image.settle(server.image)
    command = [
        "iscsi-perf",
        "-i",
        f"{INITIATOR_NAME}-perf",
        "-m",
        str(scenario.depth),
        "-b",
        str(scenario.request_bytes // _BLOCK_BYTES),
        "-t",
        str(max(2, round(seconds))),
        *([] if scenario.sequential else ["--random"]),
        server.target.url,
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_S
        )
    except subprocess.TimeoutExpired:
        return "iscsi-perf did not end"
    average = parse(done.stdout)
    if done.returncode != 0 or average is None:
        return f"iscsi-perf ended with status {done.returncode}: {done.stderr.strip()[-200:]}"
    return average


def parse(text: str) -> float | None:
    """Return the last ``iops average`` that iscsi-perf printed."""
    averages = re.findall(r"iops average (\d+)", text)
    return float(averages[-1]) if averages else None
