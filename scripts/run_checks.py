"""Runs every check of this repository, one stage after the other, and sums them up.

A stage that fails does not stop the next one: one run tells everything that is wrong. The last
lines are the table of drivers and pools, the skipped tests with their reasons, and the counts.

Usage: python -m scripts.run_checks [--only STAGE]... [--pytest MARKERS]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cell_table import Cells, empty_cells, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".results"
PYTHON = sys.executable
BIN = Path(PYTHON).parent


@dataclass
class Summary:
    """What all stages together found."""

    counts: Counter[str] = field(default_factory=Counter)
    skips: list[tuple[str, str]] = field(default_factory=list)
    cells: Cells = field(default_factory=lambda: defaultdict(Counter))
    suite_notes: set[str] = field(default_factory=set)
    """Tests of libiscsi's suite that did not plainly pass, as recorded, with its words."""
    failed_stages: list[str] = field(default_factory=list)


def run(command: Sequence[str], **environment: str) -> tuple[int, str]:
    """Runs a command, showing its output as it comes, and returns its status and output."""
    print("$", " ".join(command), flush=True)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        lines = []
        assert process.stdout is not None  # noqa: S101 -- for the type checker: PIPE was asked for
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return process.returncode, "".join(lines)


def lint(_summary: Summary, _markers: str | None) -> bool:
    """Runs the linters of both languages: each must be silent."""
    commands = [
        [str(BIN / "ruff"), "check"],
        [str(BIN / "ruff"), "format", "--check"],
        [str(BIN / "mypy")],
        [str(BIN / "lint-imports")],
        ["cargo", "fmt", "--all", "--check"],
        ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ]
    statuses = [run(command)[0] for command in commands]  # all of them, not only to the first bad
    return not any(statuses)


# What two threads do to each other needs another build: every lock and atomic is shuttle's.
INTERLEAVINGS = "cargo test --locked -p fairlead-handoff"
INTERLEAVED = {"RUSTFLAGS": "--cfg shuttle", "CARGO_TARGET_DIR": "target/shuttle"}


def rust(summary: Summary, _markers: str | None) -> bool:
    """Runs the tests of the Rust workspace, and of interleavings."""
    status, output = run(["cargo", "test", "--workspace", "--locked"])
    interleavings, more = run(INTERLEAVINGS.split(), **INTERLEAVED)
    status, output = status or interleavings, output + more
    for passed, failed, ignored in re.findall(
        r"^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", output, re.MULTILINE
    ):
        summary.counts.update(passed=int(passed), failed=int(failed), skipped=int(ignored))
    summary.skips += [
        (name, reason or "ignored")
        for name, reason in re.findall(
            r"^test (\S+) (?:- .*?)?\.\.\. ignored(?:, (.*))?$", output, re.MULTILINE
        )
    ]
    return status == 0


def fuzz(_summary: Summary, _markers: str | None) -> bool:
    """Runs every fuzz target, briefly; `make fuzz` takes longer."""
    return run(["fuzz/run", "3"])[0] == 0


def python(summary: Summary, markers: str | None) -> bool:
    """Runs the Python tests without those of other stages, and prints line and branch coverage."""
    run([PYTHON, "-m", "coverage", "erase"])
    command = [PYTHON, "-m", "coverage", "run", "-m", "pytest", "--ignore=tests/conformance"]
    command.append("--ignore=tests/guest")
    passed = run_pytest(command + (["-m", markers] if markers else []), "python", summary)
    run([PYTHON, "-m", "coverage", "combine", "-q"])
    run([PYTHON, "-m", "coverage", "report"])
    return passed


def conformance(summary: Summary, _markers: str | None) -> bool:
    """Runs libiscsi's conformance suite on every driver and pool."""
    return run_pytest([PYTHON, "-m", "pytest", "tests/conformance"], "conformance", summary)


def guest(summary: Summary, _markers: str | None) -> bool:
    """Runs Linux's initiator in an emulated machine, briefly; `make guest` takes longer."""
    return run_pytest([PYTHON, "-m", "pytest", "tests/guest", "-m", "not slow"], "guest", summary)


def run_pytest(command: Sequence[str], name: str, summary: Summary) -> bool:
    """Runs one pytest session and adds its counts, skips and cells to the summary."""
    report, cells = RESULTS / f"{name}.xml", RESULTS / f"{name}-cells.json"
    for old in (report, cells):
        old.unlink(missing_ok=True)
    status, _ = run([*command, f"--junitxml={report}"], FAIRLEAD_CELLS=str(cells))
    if not report.exists() or not cells.exists():
        summary.counts["failed"] += 1
        return False
    # The report was written by our own pytest just now.
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        test = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            summary.counts["failed"] += 1
        elif skipped is not None:
            summary.counts["skipped"] += 1
            summary.skips.append((test, skipped.get("message") or "no reason given"))
        else:
            summary.counts["passed"] += 1
        summary.suite_notes |= {
            str(entry.get("value"))
            for entry in case.iter("property")
            if entry.get("name") == "recorded"
        }
    for check, driver, pool, counts in json.loads(cells.read_text()):
        summary.cells[check, driver, pool].update(counts)
    return status == 0


STAGES: dict[str, Callable[[Summary, str | None], bool]] = {
    "lint": lint,
    "rust": rust,
    "fuzz": fuzz,
    "python": python,
    "conformance": conformance,
    "guest": guest,
}


def print_summary(summary: Summary, *, whole: bool) -> None:
    """Prints what all stages found; an empty cell of a whole run is a failure."""
    if summary.cells:
        print("\n== driver x pool", render(summary.cells), sep="\n")
    if whole:
        for cell in empty_cells(summary.cells):
            print(f"empty cell: {cell}")
            summary.counts["failed"] += 1
    if summary.skips:
        print(f"\n== {len(summary.skips)} skipped")
        for test, reason in summary.skips:
            print(f"{test}: {reason}")
    if summary.suite_notes:
        print(f"\n== {len(summary.suite_notes)} recorded exceptions in libiscsi's suite")
        print(*sorted(summary.suite_notes), sep="\n")
    if summary.failed_stages:
        print("\nfailed:", ", ".join(summary.failed_stages))


def main() -> int:
    """Runs the stages asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=tuple(STAGES), metavar="STAGE")
    parser.add_argument("--pytest", metavar="MARKERS", help="expression for the Python tests")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    summary = Summary()
    for name in arguments.only or STAGES:
        started = time.monotonic()
        print(f"\n== {name}", flush=True)
        if not STAGES[name](summary, arguments.pytest):
            summary.failed_stages.append(name)
            # A stage without tests of its own (lint) must show in the counts as well.
            summary.counts["failed"] += not summary.counts["failed"]
        print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    print_summary(summary, whole=arguments.only is None)
    counts = summary.counts
    print(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return int(bool(summary.failed_stages or counts["failed"]))


if __name__ == "__main__":
    sys.exit(main())
