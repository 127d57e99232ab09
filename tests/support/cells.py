"""The table driver x pool: which kind of check passed where, printed at the end of a run.

A test marked ``@pytest.mark.cell("round trip")`` and parametrised with ``driver`` and ``pool``
counts in that cell. A test that stands for several checks says how many of each outcome by
``record_property("count_passed", 12)`` and so on; otherwise it counts as one. The counts are also
written to the file that the environment variable FAIRLEAD_CELLS names, for scripts/run_checks.py.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from scripts.cell_table import DRIVERS, POOLS, Cells, render

__all__ = ["DRIVERS", "POOLS"]

_CELLS = pytest.StashKey[Cells]()
_OUTCOMES = ("passed", "skipped", "failed")


def pytest_configure(config: pytest.Config) -> None:
    """Starts an empty table."""
    cells: Cells = defaultdict(Counter)
    config.stash[_CELLS] = cells


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Counts a marked test's outcome in its cell."""
    report: pytest.TestReport = (yield).get_result()
    marker = item.get_closest_marker("cell")
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if marker is None or not {"driver", "pool"} <= parameters.keys():
        return
    if report.when != "call" and report.outcome == "passed":
        return
    cell = item.config.stash[_CELLS][marker.args[0], parameters["driver"], parameters["pool"]]
    counts = {
        name.removeprefix("count_"): int(str(value))
        for name, value in item.user_properties
        if name.startswith("count_")
    }
    if report.outcome == "failed" and not counts.get("failed"):
        counts["failed"] = 1
    cell.update(counts or {report.outcome: 1})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the table for the program that runs several sessions."""
    if path := os.environ.get("FAIRLEAD_CELLS"):
        cells = session.config.stash[_CELLS]
        rows = [[*key, dict(counts)] for key, counts in cells.items()]
        Path(path).write_text(json.dumps(rows))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints the table when a cell was filled."""
    if cells := config.stash[_CELLS]:
        terminalreporter.section("driver x pool")
        terminalreporter.write(render(cells))
