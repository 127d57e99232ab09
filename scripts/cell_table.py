"""The table driver x pool of the checks, as text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DRIVERS = ("io_uring", "threads")
POOLS = ("shared", "per_device", "per_context")
CHECKS = ("conformance", "round trip", "teardown")

Cells = dict[tuple[str, str, str], Counter[str]]
"""(check, driver, pool) to how many passed, were skipped, failed."""


def empty_cells(cells: Mapping[tuple[str, str, str], Counter[str]]) -> Iterator[str]:
    """Names the cells of the whole table in which nothing passed."""
    for driver in DRIVERS:
        for pool in POOLS:
            for check in CHECKS:
                if not cells.get((check, driver, pool), Counter())["passed"]:
                    yield f"{check} on {driver}, {pool}"


def render(cells: Mapping[tuple[str, str, str], Counter[str]]) -> str:
    """Draws the table: a row for each driver and pool, a column for each check.

    Each cell holds the counts passed/skipped/failed, or a dash where nothing ran.
    """
    rows: list[tuple[str, ...]] = [("driver", "pool", *CHECKS)]
    for driver in DRIVERS:
        for pool in POOLS:
            found = [cells.get((check, driver, pool)) for check in CHECKS]
            rows.append((driver, pool, *(_cell(counts) for counts in found)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines) + "\n(passed/skipped/failed)\n"


def _cell(counts: Counter[str] | None) -> str:
    if counts is None:
        return "-"
    return f"{counts['passed']}/{counts['skipped']}/{counts['failed']}"
