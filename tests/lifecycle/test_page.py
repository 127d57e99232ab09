"""The page about the patch of 2008 says what the model does."""

from __future__ import annotations

import re

from scripts import draw_lifecycle
from tests.lifecycle import page
from tests.lifecycle.linux_2_6_27 import patch


def test_the_tables_are_what_the_model_says() -> None:
    text = page.PAGE.read_text()
    assert sorted(page.places(text)) == sorted(page.TABLES)
    assert page.filled(text) == text, "run python -m tests.lifecycle.page"


def test_a_table_that_is_wrong_is_noticed() -> None:
    text = page.PAGE.read_text()
    wrong = text.replace("| 3 | 1 | 1 alive |", "| 2 | 1 | 1 alive |", 1)
    assert wrong != text
    assert page.filled(wrong) == text


def test_the_picture_is_what_the_model_says() -> None:
    assert draw_lifecycle.PICTURE.read_text() == draw_lifecycle.draw(), (
        "run python -m scripts.draw_lifecycle"
    )


def test_the_pages_corrected_patch_replaces_the_line_that_crashes() -> None:
    """Its hunks take the mail's put away, and put the exit path there."""
    hunks = "".join(
        re.findall(r"^```diff\n(.*?)^```", page.PAGE.read_text(), re.MULTILINE | re.DOTALL)
    )
    removed = [line for line in hunks.splitlines() if line.startswith("-")]
    assert "-\tput_io_context(tgt_dev->tgt_dev_ioc);" in removed
    assert "-\ttsk->io_context = NULL;" in removed
    corrected = patch.replaced(patch.PATCH, patch.PUT.name, patch.EXIT)
    assert patch.outcome(corrected) == "survives"
