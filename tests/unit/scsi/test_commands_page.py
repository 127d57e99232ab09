"""The documentation's page of commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fairlead.scsi import commands_page
from fairlead.scsi.commands import COMMANDS

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "scsi-commands.md"


def test_committed_page_is_current() -> None:
    """``python -m fairlead.scsi.commands_page > docs/scsi-commands.md`` repairs it."""
    assert COMMITTED.read_text(encoding="utf-8") == commands_page.render()


def test_every_command_has_one_row_of_eleven_cells() -> None:
    rows = [line for line in commands_page.render().splitlines() if line.startswith("|")][2:]
    assert [row.split(" | ")[1] for row in rows] == [command.name for command in COMMANDS]
    assert {row.count("|") for row in rows} == {12}


def test_module_prints_the_page() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fairlead.scsi.commands_page"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.stdout == commands_page.render()
