"""The documentation's table of what is passed through."""

from __future__ import annotations

from pathlib import Path

from fairlead.scsi import pass_through_page
from fairlead.scsi.pass_through import DANGEROUS, POLICIES

DOCUMENT = Path(__file__).parents[3] / "docs" / "pass-through.md"


def test_the_committed_table_is_current() -> None:
    """``python -m fairlead.scsi.pass_through_page`` prints what belongs there."""
    assert pass_through_page.render() in DOCUMENT.read_text(encoding="utf-8")


def test_the_document_names_all_that_can_be_allowed() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert not [name for name in DANGEROUS if f"`{name}`" not in text]


def test_every_policy_has_one_row_of_five_cells() -> None:
    rows = [line for line in pass_through_page.render().splitlines() if line.startswith("|")][2:]
    assert [row.split(" | ")[1] for row in rows[:-1]] == [policy.name for policy in POLICIES]
    assert {row.count("|") for row in rows} == {6}
