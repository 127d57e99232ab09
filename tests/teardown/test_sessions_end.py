"""Sessions end with hundreds of commands in flight, again and again, and leave nothing behind."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import pytest

from fairlead.testing.client import connect, connect_async
from tests.support.block_model import BlockModel
from tests.support.settings import SEED, TEARDOWNS
from tests.support.target_process import ServedVolume, TargetProcess
from tests.support.waiting import wait_until, wait_until_async
from tests.teardown.endings import ENDINGS
from tests.teardown.flight import Flight

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.process_reading import ProcessReading

SIZE_BYTES: Final = 8 << 20
BLOCK_BYTES: Final = 4096
COMMANDS: Final = 256
KINDS: Final = ("file", "direct")
# Memory that may stay with the allocators after thousands of buffers; a leak of one buffer a
# session would be ten times this in the long run of 1,000.
RSS_GROWTH_BYTES: Final = 48 << 20
# io_uring's workers end after five idle seconds.
WORKERS_END_S: Final = 30.0
STOP_S: Final = 5.0


@pytest.mark.cell("teardown")
@pytest.mark.timeout(120 + TEARDOWNS * 3)
def test_sessions_end_and_leave_nothing(
    driver: str, pool: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(f"{SEED} {driver} {pool}")
    models = {
        kind: BlockModel(blocks=SIZE_BYTES // BLOCK_BYTES, block_bytes=BLOCK_BYTES)
        for kind in KINDS
    }
    unanswered = 0
    with _target(driver, pool, tmp_path) as target:
        # The first session of a device or context starts its submitter, which stays.
        for kind in KINDS:
            _end_one(target, models[kind], kind, rng, 0)
        before = _settled_reading(target)
        for number in range(TEARDOWNS):
            kind = KINDS[number // len(ENDINGS) % len(KINDS)]
            unanswered += _end_one(target, models[kind], kind, rng, number)
            if number % len(ENDINGS) == len(ENDINGS) - 1:
                _check_content(target, models[kind], kind)
        for kind, model in models.items():
            _check_content(target, model, kind)
        _check_nothing_left(target, before)
    print(f"{TEARDOWNS} sessions ended, {unanswered} of {TEARDOWNS * COMMANDS} commands unanswered")
    assert unanswered > TEARDOWNS, "hardly a command was in flight when its session ended"
    record_property("count_passed", TEARDOWNS)


@pytest.mark.quiet
def test_stop_under_load_ends_in_time(driver: str, tmp_path: Path) -> None:
    """SIGTERM drains and stops within 5 s where the devices answer."""
    rng = random.Random(SEED)
    with _target(driver, "shared", tmp_path) as target:
        elapsed_s, status = asyncio.run(_stop_under_load(target, rng))
    print(f"stopped after {elapsed_s:.2f} s")
    assert status == 0
    assert elapsed_s < STOP_S


def _target(driver: str, pool: str, folder: Path) -> TargetProcess:
    volumes = []
    for kind in KINDS:
        path = folder / f"{kind}.img"
        with path.open("wb") as file:
            file.truncate(SIZE_BYTES)
        options = {"logical_block_bytes": BLOCK_BYTES}
        volumes.append(ServedVolume(name=kind, kind=kind, path=path, options=options))
    engine = {"queue_depth": 2 * COMMANDS}
    return TargetProcess(volumes, folder, driver=driver, pool=pool, engine=engine)


def _end_one(
    target: TargetProcess, model: BlockModel, kind: str, rng: random.Random, number: int
) -> int:
    """Run one session to its end; return how many of its commands were not answered."""
    return asyncio.run(_fly(target, model, kind, rng, number))


async def _fly(
    target: TargetProcess, model: BlockModel, kind: str, rng: random.Random, number: int
) -> int:
    ending = ENDINGS[number % len(ENDINGS)]
    name = f"iqn.2026-01.example.teardown:host-{number % 5}"
    client = await connect_async(target.portal, target.target_name(kind), name)
    await client.test_unit_ready()
    flight = Flight(model, client)
    flight.launch(rng, COMMANDS)
    await flight.wait_for_answers(rng.randint(0, 24))
    try:
        await ending(client, target)
    finally:
        await client.close()
    what = f"the session ended by {ending.__name__} is over"
    await wait_until_async(lambda: not target.sessions(), what)
    return await flight.account()


async def _stop_under_load(target: TargetProcess, rng: random.Random) -> tuple[float, int]:
    model = BlockModel(blocks=SIZE_BYTES // BLOCK_BYTES, block_bytes=BLOCK_BYTES)
    flights = []
    for number in range(3):
        name = f"iqn.2026-01.example.stop:host-{number}"
        client = await connect_async(target.portal, target.target_name("file"), name)
        await client.test_unit_ready()
        flights.append(Flight(model, client))
        flights[-1].launch(rng, COMMANDS)
    await flights[-1].wait_for_answers(1)
    began = time.monotonic()
    status = await asyncio.to_thread(target.stop)
    elapsed_s = time.monotonic() - began
    for flight in flights:
        await flight.client.close()
        await flight.account()
    return elapsed_s, status


def _check_content(target: TargetProcess, model: BlockModel, kind: str) -> None:
    """Read everything; from now on only what was found is legal, so a late write shows."""
    name = "iqn.2026-01.example.teardown:reader"
    blocks = 64
    parts = []
    with connect(target.portal, target.target_name(kind), name) as client:
        client.block_bytes = BLOCK_BYTES
        client.test_unit_ready()
        for lba in range(0, model.blocks, blocks):
            result = client.read_16(lba, blocks)
            assert result.is_good, f"block {lba}: {result.sense_code}"
            parts.append(result.data)
        client.logout()
    image = b"".join(parts)
    model.check_after_kill(0, image)
    model.restart(image, is_durable=True)
    wait_until(lambda: not target.sessions(), "the reader's session is over")


def _settled_reading(target: TargetProcess) -> ProcessReading:
    wait_until(lambda: not target.contexts(), "every context is released")
    wait_until(
        lambda: target.reading().has_spare_workers_only,
        "io_uring's idle workers have ended",
        limit_s=WORKERS_END_S,
    )
    return target.reading()


def _check_nothing_left(target: TargetProcess, before: ProcessReading) -> None:
    """Contexts, buffers, descriptors, threads: as before the first session."""
    after = _settled_reading(target)
    assert target.sessions() == []
    events = [event for event in target.events() if event["event"] == "ContextReleased"]
    assert events
    for context in (event["context"] for event in events):
        assert context["entered"] == context["left"], context
        assert context["in_flight"] == 0, context
    assert after.descriptors == before.descriptors
    assert after.threads.total() == before.threads.total()
    growth_bytes = after.rss_bytes - before.rss_bytes
    print(f"memory grew by {growth_bytes / 2**20:.1f} MiB, peak {after.rss_peak_bytes / 2**20:.0f}")
    assert growth_bytes < RSS_GROWTH_BYTES
