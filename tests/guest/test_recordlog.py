"""The program that the power tests believe notices what is missing or wrong. No guest is needed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.guest.image.build import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = ROOT / "tests/guest/inside/recordlog.py"
RECORDS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of at least RECORDS records, as somebody leaves it who was killed."""
    write(tmp_path, RECORDS)
    return tmp_path


def write(folder: Path, last: int) -> None:
    command = [sys.executable, str(PROGRAM), "write", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writing:
        assert writing.stdout is not None
        for line in writing.stdout:
            if line == f"ack {last}\n":
                break
        writing.kill()


def intact(folder: Path) -> int:
    command = [sys.executable, str(PROGRAM), "check", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_every_acknowledged_record_is_found(folder: Path) -> None:
    assert intact(folder) > RECORDS


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.unlink(),
    ],
    ids=["a bit", "the last byte", "zeros", "the file"],
)
def test_damage_is_noticed(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder / "records-00000001")
    assert 16 <= intact(folder) < 32


def test_it_goes_on_behind_what_is_intact(folder: Path) -> None:
    """A torn record is written again, in its own place."""
    path = folder / "records-00000001"
    path.write_bytes(path.read_bytes()[:-1])
    (folder / "records-00000002").unlink()
    write(folder, RECORDS)
    assert intact(folder) > RECORDS
