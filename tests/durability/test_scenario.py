"""The model test is itself tested: it passes what is right and catches each broken promise."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.durability.file_initiator import FileInitiator
from tests.durability.scenario import Scenario
from tests.support.block_model import BlockModel, IllegalBlockError
from tests.support.disk_client import FuseDisk, why_no_fuse

BLOCKS = 256
BLOCK_BYTES = 4096
SEEDS = range(6)

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))


@pytest.mark.parametrize("seed", SEEDS)
def test_right_execution_passes(seed: int) -> None:
    _run(seed, broken=frozenset())


@pytest.mark.parametrize("promise", ["flush", "fua", "compare", "stale read"])
def test_broken_promise_is_caught(promise: str) -> None:
    """Deleting one fdatasync, one FUA flag, one comparison: some seed of a few must notice."""
    caught = 0
    for seed in SEEDS:
        try:
            _run(seed, broken=frozenset({promise}))
        except IllegalBlockError as found:
            print(f"seed {seed}: {found}")
            caught += 1
    assert caught, f"{promise}: not caught by seeds {SEEDS}"


def _run(seed: int, *, broken: frozenset[str]) -> None:
    """Three rounds of commands, each ended by a crash in the middle; every block is checked."""
    rng = random.Random(seed)
    scenario = Scenario(BlockModel(blocks=BLOCKS, block_bytes=BLOCK_BYTES))
    with FuseDisk(size_bytes=BLOCKS * BLOCK_BYTES) as disk:
        for round_ in range(3):
            disk.crash_after(rng.randint(100, 300), seed=rng.getrandbits(32))
            initiator = FileInitiator(disk.path, block_bytes=BLOCK_BYTES, broken=broken)
            try:
                run = scenario.run([initiator], seed=seed * 10 + round_, commands=4000, depth=3)
                asyncio.run(run)
            finally:
                initiator.close()
            image = disk.path.read_bytes()
            scenario.model.check_after_crash(0, image)
            scenario.model.restart(image, is_durable=True)
