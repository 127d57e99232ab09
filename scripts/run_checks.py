"""Runs every check of this repository, and sums them up.

Stages run in lanes side by side (scripts/lanes.py), and one that fails does not stop the others:
one run tells everything that is wrong. The last lines are the table of drivers and pools, the
skipped tests with their reasons, and the counts.

Usage: python -m scripts.run_checks [--only STAGE]... [--pytest MARKERS]
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.check_summary import Summary, print_summary
from scripts.lanes import RESULTS, ROOT, Lane, Lanes, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PYTHON = sys.executable
BIN = Path(PYTHON).parent


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


# What mostly waits, for devices, time limits, other processes to start and to end.
PEERS = ("tests/hostile", "tests/teardown")
DISKS = ("tests/durability", "tests/e2e")
# What computes. The rest does as well, but some of it asks cargo, as other stages do.
UNITS = ("tests/unit",)
CONFORMANCE = ("tests/conformance",)
GUEST = ("tests/guest",)


def python(summary: Summary, markers: str | None) -> bool:
    """Runs the Python tests that no other stage takes."""
    others = [f"--ignore={path}" for path in (*PEERS, *DISKS, *UNITS, *CONFORMANCE, *GUEST)]
    return run_pytest("python", others, summary, markers, own="not quiet")


def python_units(summary: Summary, markers: str | None) -> bool:
    """Runs the tests of modules."""
    return run_pytest("python-units", UNITS, summary, markers, own="not quiet")


def python_peers(summary: Summary, markers: str | None) -> bool:
    """Runs the Python tests of what peers do to sessions."""
    return run_pytest("python-peers", PEERS, summary, markers, own="not quiet")


def python_disks(summary: Summary, markers: str | None) -> bool:
    """Runs the Python tests of what disks keep, and those with real initiators."""
    return run_pytest("python-disks", DISKS, summary, markers, own="not quiet")


def python_quiet(summary: Summary, markers: str | None) -> bool:
    """Runs the Python tests whose verdict depends on a quiet machine."""
    others = [f"--ignore={path}" for path in (*CONFORMANCE, *GUEST)]
    return run_pytest("python-quiet", others, summary, markers, own="quiet")


def conformance(summary: Summary, _markers: str | None) -> bool:
    """Runs libiscsi's conformance suite on every driver and pool."""
    return run_pytest("conformance", CONFORMANCE, summary, None, has_coverage=False)


def guest(summary: Summary, _markers: str | None) -> bool:
    """Runs Linux in an emulated machine, as initiator and as host; `make guest` takes longer."""
    return run_pytest("guest", GUEST, summary, None, own="not slow", has_coverage=False)


def run_pytest(
    name: str,
    words: Sequence[str],
    summary: Summary,
    markers: str | None,
    *,
    own: str | None = None,
    has_coverage: bool = True,
) -> bool:
    """Runs one pytest session and adds its counts, skips and cells to the summary.

    Args:
        name: the stage's.
        words: arguments of pytest: what to run.
        summary: takes what was found.
        markers: the user's expression.
        own: the stage's expression.
        has_coverage: adds to the coverage data.
    """
    report, cells = RESULTS / f"{name}.xml", RESULTS / f"{name}-cells.json"
    for old in (report, cells):
        old.unlink(missing_ok=True)
    expression = " and ".join(f"({expression})" for expression in (own, markers) if expression)
    status, _ = run(
        [
            *(PYTHON, "-m", *(["coverage", "run", "-m"] if has_coverage else []), "pytest"),
            *(*words, f"--junitxml={report}", *(["-m", expression] if expression else [])),
        ],
        FAIRLEAD_CELLS=str(cells),
    )
    if not report.exists() or not cells.exists():
        summary.counts["failed"] += 1
        return False
    summary.add_pytest(report, cells)
    # The user's expression may leave a stage without tests, but not every stage.
    if status == NO_TESTS and markers:
        summary.stages_without_tests.append(name)
        return True
    return status == 0


# pytest's own: nothing was collected.
NO_TESTS = 5

STAGES: dict[str, Callable[[Summary, str | None], bool]] = {
    "lint": lint,
    "rust": rust,
    "fuzz": fuzz,
    "python": python,
    "python-units": python_units,
    "python-peers": python_peers,
    "python-disks": python_disks,
    "conformance": conformance,
    "guest": guest,
    "python-quiet": python_quiet,
}

# Lanes go side by side. A stage that is in none is run by itself when all of them have ended.
LANES = {
    # Looks at what well-behaved initiators notice of others: first with the processor.
    "peers": Lane(["python-peers", "guest"]),
    "disks": Lane(["python-disks", "conformance"], niceness=2),
    "units": Lane(["python-units"], niceness=5),
    "cargo": Lane(["lint", "rust", "fuzz", "python"], niceness=10),
}


def chosen(only: Sequence[str] | None) -> list[str]:
    """Names the stages asked for; "python" stands for all whose names begin so."""
    return [
        name for name in STAGES if only is None or name in only or name.partition("-")[0] in only
    ]


def run_stages(names: Sequence[str], markers: str | None) -> Summary:
    """Runs the stages, as far as possible side by side."""
    summary, lock = Summary(), threading.Lock()

    def perform(name: str) -> None:
        found = Summary()
        has_passed = STAGES[name](found, markers)
        with lock:
            summary.add(name, found, has_passed=has_passed)

    lanes = Lanes(perform)
    lanes.run(
        {
            lane: Lane([stage for stage in stages if stage in names], niceness)
            for lane, (stages, niceness) in LANES.items()
        }
    )
    in_lanes = {stage for lane in LANES.values() for stage in lane.stages}
    lanes.run({"alone": Lane([name for name in names if name not in in_lanes])})
    pythons = {name for name in names if name.startswith("python")}
    if pythons and pythons == set(summary.stages_without_tests):
        nothing = Summary(failures=[f"no test matches {markers}"])
        summary.add("python", nothing, has_passed=False)
    return summary


def main() -> int:
    """Runs the stages asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=tuple(STAGES), metavar="STAGE")
    parser.add_argument("--pytest", metavar="MARKERS", help="expression for the Python tests")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = chosen(arguments.only)
    has_python = any(name.startswith("python") for name in names)
    if has_python:
        subprocess.run([PYTHON, "-m", "coverage", "erase"], cwd=ROOT, check=True)
    try:
        summary = run_stages(names, arguments.pytest)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    if has_python:
        for command in (["combine", "-q"], ["report"]):
            subprocess.run([PYTHON, "-m", "coverage", *command], cwd=ROOT, check=False)
    print_summary(summary, whole=arguments.only is None)
    return int(bool(summary.failed_stages or summary.counts["failed"]))


if __name__ == "__main__":
    sys.exit(main())
