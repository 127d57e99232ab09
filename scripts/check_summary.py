"""What the stages found, and how it is told."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scripts.cell_table import Cells, empty_cells, render

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Summary:
    """What one stage found, or all together."""

    counts: Counter[str] = field(default_factory=Counter)
    skips: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cells: Cells = field(default_factory=lambda: defaultdict(Counter))
    suite_notes: set[str] = field(default_factory=set)
    """Tests of libiscsi's suite that did not plainly pass, as recorded, with its words."""
    failed_stages: list[str] = field(default_factory=list)
    stages_without_tests: list[str] = field(default_factory=list)

    def add(self, stage: str, found: Summary, *, has_passed: bool) -> None:
        """Adds what a stage found."""
        self.counts += found.counts
        self.skips += found.skips
        self.failures += [f"{stage}: {failure}" for failure in found.failures]
        self.suite_notes |= found.suite_notes
        self.stages_without_tests += found.stages_without_tests
        for cell, counts in found.cells.items():
            self.cells[cell].update(counts)
        if not has_passed:
            self.failed_stages.append(stage)
            # A stage without tests of its own (lint) must show in the counts as well.
            self.counts["failed"] += not found.counts["failed"]

    def add_pytest(self, report: Path, cells: Path) -> None:
        """Adds the counts, skips and cells of a pytest session."""
        # The report was written by our own pytest just now.
        for case in ET.parse(report).iter("testcase"):  # noqa: S314
            test = f"{case.get('classname')}::{case.get('name')}"
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.counts["failed"] += 1
                self.failures.append(test)
            elif skipped is not None:
                self.counts["skipped"] += 1
                self.skips.append((test, skipped.get("message") or "no reason given"))
            else:
                self.counts["passed"] += 1
            self.suite_notes |= {
                str(entry.get("value"))
                for entry in case.iter("property")
                if entry.get("name") == "recorded"
            }
        for check, driver, pool, counts in json.loads(cells.read_text()):
            self.cells[check, driver, pool].update(counts)


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
    if summary.failures:
        print(f"\n== {len(summary.failures)} failed tests", *summary.failures, sep="\n")
    if summary.failed_stages:
        print("\nfailed:", ", ".join(summary.failed_stages))
    counts = summary.counts
    print(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
