"""A file system says which requests may block; whichever way they go, the blocks are right."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.durability.scenario import Scenario
from tests.durability.served_model import VOLUME, read_volume, run_commands
from tests.support.block_model import BlockModel
from tests.support.loop_device import loop_device, why_no_loop_device
from tests.support.settings import SEED
from tests.support.target_process import ServedVolume, TargetProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(why_no_loop_device() is not None, reason=str(why_no_loop_device())),
]

BLOCK_BYTES = 4096
BLOCKS = 512
# The smallest that mkfs.xfs makes.
FILE_SYSTEM_BYTES = 300 << 20
SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("make", "may_block"),
    [
        # Linux 6.18: ext4 refuses buffered writes that must not wait, XFS takes them.
        (("mkfs.ext4", "-q", "-F"), "writes"),
        (("mkfs.xfs", "-q", "-f"), "stable writes"),
    ],
    ids=["ext4", "xfs"],
)
def test_writes_go_as_the_file_system_allows(
    driver: str, make: tuple[str, ...], may_block: str, tmp_path: Path
) -> None:
    model = BlockModel(blocks=BLOCKS, block_bytes=BLOCK_BYTES)
    scenario = Scenario(model, is_write_through=False)
    with _mounted(make, tmp_path) as folder:
        image = folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(BLOCKS * BLOCK_BYTES)
        options = {"logical_block_bytes": BLOCK_BYTES, "thin": True}
        volume = ServedVolume(name=VOLUME, kind="file", path=image, options=options)
        with TargetProcess([volume], tmp_path, driver=driver) as target:
            assert [info["may_block"] for info in target.volumes()] == [may_block]
            for round_ in range(2):
                run_commands(target, scenario, seed=SEED + round_)
                model.check_after_kill(0, read_volume(target, scenario))
        model.check_after_kill(0, image.read_bytes())


@contextlib.contextmanager
def _mounted(make: tuple[str, ...], folder: Path) -> Iterator[Path]:
    """A file system of its own, mounted while the block is entered."""
    program = shutil.which(make[0], path=SBIN)
    assert program is not None, f"{make[0]} is missing: ./test installs it"
    backing, mount = folder / "backing", folder / "mount"
    mount.mkdir()
    with backing.open("wb") as file:
        file.truncate(FILE_SYSTEM_BYTES)
    subprocess.run([program, *make[1:], str(backing)], check=True, capture_output=True)
    with loop_device(backing) as device:
        subprocess.run(["mount", str(device), str(mount)], check=True)
        try:
            yield mount
        finally:
            subprocess.run(["umount", str(mount)], check=True)
