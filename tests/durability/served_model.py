"""A served volume and its model: connecting, running commands, reading everything back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from fairlead.testing.client import connect, connect_async
from tests.support.settings import MODEL_COMMANDS

if TYPE_CHECKING:
    from fairlead.testing.client import AsyncClient
    from tests.durability.scenario import Scenario
    from tests.support.target_process import TargetProcess

VOLUME: Final = "model"
INITIATORS: Final = 3
DEPTH: Final = 8
_READ_BLOCKS: Final = 64
# Two of the initiators send more than the immediate data only when asked, one without being asked.
_KEYS: Final[tuple[dict[str, Any], ...]] = (
    {"ImmediateData": "Yes", "InitialR2T": "Yes"},
    {"ImmediateData": "No", "InitialR2T": "No", "FirstBurstLength": "16384"},
    {"ImmediateData": "No", "InitialR2T": "Yes", "MaxBurstLength": "32768"},
)


def run_commands(target: TargetProcess, scenario: Scenario, *, seed: int) -> None:
    """Run random commands of several initiators until done or the volume fails."""
    asyncio.run(_run_commands(target, scenario, seed))


def read_volume(target: TargetProcess, scenario: Scenario) -> bytes:
    """Read every block through an initiator."""
    model = scenario.model
    name = "iqn.2026-01.example.model:reader"
    parts = []
    with connect(target.portal, target.target_name(VOLUME), name) as client:
        client.block_bytes = model.block_bytes
        client.test_unit_ready()
        for lba in range(0, model.blocks, _READ_BLOCKS):
            result = client.read_16(lba, min(_READ_BLOCKS, model.blocks - lba))
            assert result.is_good, f"block {lba}: {result.sense_code}"
            parts.append(result.data)
    return b"".join(parts)


async def _run_commands(target: TargetProcess, scenario: Scenario, seed: int) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await _connect(target, scenario, index))
            for index in range(INITIATORS)
        ]
        await scenario.run(clients, seed=seed, commands=MODEL_COMMANDS, depth=DEPTH)


async def _connect(target: TargetProcess, scenario: Scenario, index: int) -> AsyncClient:
    name = f"iqn.2026-01.example.model:initiator-{index}"
    keys = _KEYS[index % len(_KEYS)]
    client = await connect_async(target.portal, target.target_name(VOLUME), name, **keys)
    client.block_bytes = scenario.model.block_bytes
    await client.test_unit_ready()
    return client
