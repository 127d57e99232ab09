from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fairlead.control.content import fill, recognise, written_part

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.mark.parametrize(
    ("at", "mark", "name"),
    [
        (0, b"XFSB", "an XFS file system"),
        (1080, b"\x53\xef", "an ext file system"),
        (510, b"\x55\xaa", "a partition table"),
        (512, b"EFI PART", "a partition table"),
        (512, b"LABELONE", "an LVM physical volume"),
        (65600, b"_BHRfS_M", "a btrfs file system"),
        (4086, b"SWAPSPACE2", "a swap area"),
        (0, b"QFI\xfb\0\0\0\3", "a qcow2 image"),
    ],
)
def test_what_somebody_may_want_is_recognised(
    tmp_path: Path, at: int, mark: bytes, name: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(at) + mark + bytes(100_000))
    assert recognise(str(image)) == name


@pytest.mark.parametrize("content", [b"", bytes(511), b"\x01" * 200_000])
def test_what_is_not_known_is_nothing(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    assert recognise(str(image)) is None


def test_holes_are_not_written(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(4 * MIB)
        assert written_part(str(image), 4 * MIB) == 0.0
        os.pwrite(file.fileno(), b"x" * MIB, MIB)
        os.pwrite(file.fileno(), b"x" * MIB, 3 * MIB)
    assert written_part(str(image), 4 * MIB) == pytest.approx(0.5, abs=0.05)
    assert written_part(str(image), 2 * MIB) == pytest.approx(0.5, abs=0.05)


def test_filling_leaves_no_hole_and_goes_no_further(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"")
    os.truncate(image, 3 * MIB)
    told: list[int] = []
    fill(str(image), 2 * MIB + 4096, told.append)
    assert told == [MIB, 2 * MIB, 2 * MIB + 4096]
    assert written_part(str(image), 2 * MIB + 4096) == 1.0
    data = image.read_bytes()
    assert len(data) == 3 * MIB
    assert data[2 * MIB + 4096 :] == bytes(MIB - 4096)
    assert len(set(data[:4096])) > 200, "it does not compress"
