"""After a crash every block holds what was promised: over a disk that forgets what it may forget.

Several initiators read, write, unmap, compare and flush at random. At a random request of the
target the disk "crashes": it drops or keeps each 4 KiB that no completed sync covers, and fails the
old process's requests. The target is killed and started again on what is left.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.durability.scenario import Scenario
from tests.durability.served_model import VOLUME, read_volume, run_commands
from tests.support.block_model import BlockModel
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.settings import MODEL_ROUNDS, SEED
from tests.support.target_process import ServedVolume, TargetProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))

SIZE_BYTES = 1 << 20


@pytest.mark.parametrize(
    ("kind", "block_bytes", "is_write_through"),
    [
        ("file", 4096, False),
        ("file", 4096, True),
        ("file", 512, False),
        ("direct", 4096, False),
        ("direct", 4096, True),
    ],
)
def test_crash_keeps_what_was_promised(
    driver: str, kind: str, block_bytes: int, is_write_through: bool, tmp_path: Path
) -> None:
    rng = random.Random(f"{SEED} {driver} {kind} {block_bytes} {is_write_through}")
    model = BlockModel(blocks=SIZE_BYTES // block_bytes, block_bytes=block_bytes)
    scenario = Scenario(model, is_write_through=is_write_through)
    options = {"logical_block_bytes": block_bytes, "write_through": is_write_through, "thin": True}
    with FuseDisk(size_bytes=SIZE_BYTES) as disk:
        volume = ServedVolume(name=VOLUME, kind=kind, path=disk.path, options=options)
        with TargetProcess([volume], tmp_path, driver=driver) as target:
            for round_ in range(MODEL_ROUNDS):
                seed, requests = rng.getrandbits(32), rng.randint(100, 1200)
                print(f"round {round_}: seed {seed}, crash at request {requests}")
                disk.crash_after(requests, seed=seed)
                run_commands(target, scenario, seed=seed)
                if disk.stats()["crashes"] <= round_:
                    disk.forget(seed)
                target.kill()
                target.start()
                image = read_volume(target, scenario)
                model.check_after_crash(0, image)
                assert image == disk.path.read_bytes(), "the target reads what is not there"
                model.restart(image, is_durable=True)
    print(dict(scenario.counts), dict(scenario.errors))
    assert scenario.counts.total() > 100
