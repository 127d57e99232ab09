"""After kill -9 nothing that was answered is missing: the kernel still has it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.durability.scenario import Scenario
from tests.durability.served_model import VOLUME, read_volume, run_commands
from tests.support.block_model import BlockModel
from tests.support.loop_device import loop_device, why_no_loop_device
from tests.support.settings import MODEL_ROUNDS, SEED
from tests.support.target_process import ServedVolume, TargetProcess

if TYPE_CHECKING:
    from pathlib import Path

SIZE_BYTES = 1 << 20
BLOCK_BYTES = 4096


@pytest.mark.parametrize("kind", ["file", "direct"])
def test_kill_and_restart_under_load(driver: str, kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    _kill_and_restart(driver, kind, image, tmp_path)


@pytest.mark.root
@pytest.mark.skipif(why_no_loop_device() is not None, reason=str(why_no_loop_device()))
@pytest.mark.parametrize("kind", ["file", "direct"])
def test_kill_and_restart_on_a_loop_device(driver: str, kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    with loop_device(image, logical_block_bytes=BLOCK_BYTES) as device:
        _kill_and_restart(driver, kind, device, tmp_path)


def _kill_and_restart(driver: str, kind: str, path: Path, folder: Path) -> None:
    rng = random.Random(f"{SEED} {driver} {kind} {path.name}")
    model = BlockModel(blocks=SIZE_BYTES // BLOCK_BYTES, block_bytes=BLOCK_BYTES)
    scenario = Scenario(model)
    options = {"logical_block_bytes": BLOCK_BYTES, "thin": True}
    volume = ServedVolume(name=VOLUME, kind=kind, path=path, options=options)
    with TargetProcess([volume], folder, driver=driver) as target:
        for round_ in range(MODEL_ROUNDS):
            seed, commands = rng.getrandbits(32), rng.randint(100, 2000)
            print(f"round {round_}: seed {seed}, kill after command {commands}")
            scenario.interrupt_after = scenario.counts.total() + commands
            scenario.interrupt = lambda: target.kill(waits=False)
            run_commands(target, scenario, seed=seed)
            if scenario.interrupt is not None:
                target.kill(waits=False)
            target.reap()
            target.start()
            found = read_volume(target, scenario)
            model.check_after_kill(0, found)
            model.restart(found, is_durable=False)
    print(dict(scenario.counts), dict(scenario.errors))
    assert scenario.counts.total() > 100
