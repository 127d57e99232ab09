"""The table of docs/compatibility.md says what the figures say. No guest is needed."""

from __future__ import annotations

from typing import Any

from tests.guest.report import table

FIGURES: dict[str, dict[str, Any]] = {
    "tests/a.py::test_one[x]": {"bytes_verified": 1000, "faults": 2, "failures": 0},
    "tests/a.py::test_one[y]": {"bytes_verified": 500, "faults": 1, "failures": 1},
    "tests/a.py::test_two": {"bytes_verified": 7, "faults": 0, "failures": 0},
    "tests/a.py::test_without_figures": {"failures": 0},
    "environment": {"linux": "6.1", "boots_s": [7.4, 5.2]},
}


def test_parameters_are_taken_together() -> None:
    assert "| `tests/a.py::test_one` | 2 | 1,500 | 3 | 1 |" in table(FIGURES)


def test_all_is_the_sum() -> None:
    assert "| all | 3 | 1,507 | 3 | 1 |" in table(FIGURES)


def test_it_says_what_the_figures_were_made_with() -> None:
    assert "With linux 6.1; 2 boots of 5 to 7 s." in table(FIGURES)
