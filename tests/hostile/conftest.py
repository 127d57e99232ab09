"""One target for each driver; around each test, a well-behaved initiator and a look at memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.hostile.scene import (
    CALM,
    DISCOVERY_TIMEOUT_S,
    LOGIN_TIMEOUT_S,
    MEMORY_LIMIT_BYTES,
    NOP_S,
    PENDING_LOGINS_MAX,
    VICTIM,
    VOLUME_BYTES,
    Scene,
)
from tests.support.bystander import Bystander, BystanderProcess
from tests.support.cells import DRIVERS
from tests.support.target_process import ServedVolume, TargetProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a loaded machine of two cores does to any process; a target that waits for a hostile peer
# is far above it.
P99_MAX_MS: Final = 100.0
# At least: the bystander also reads a thousand times.
WATCHED_S: Final = 0.4
# Everything that is not the data plane's buffers: Python, its connections, its log.
OTHER_MEMORY_BYTES: Final = 160 << 20


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """How I/O is submitted."""
    return str(request.param)


@pytest.fixture(scope="module")
def target(driver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TargetProcess]:
    """A target with short time limits, little memory, and a volume for each side."""
    folder = tmp_path_factory.mktemp(f"hostile-{driver}")
    volumes = []
    for name in (VICTIM, CALM):
        path = folder / f"{name}.img"
        with path.open("wb") as file:
            file.truncate(VOLUME_BYTES)
        volumes.append(ServedVolume(name=name, path=path))
    process = TargetProcess(
        volumes,
        folder,
        driver=driver,
        engine={
            "memory_limit": MEMORY_LIMIT_BYTES,
            "nop_interval_s": NOP_S,
            "nop_timeout_s": NOP_S,
        },
        limits={
            "login_timeout_s": LOGIN_TIMEOUT_S,
            "discovery_timeout_s": DISCOVERY_TIMEOUT_S,
            "pending_logins_max": PENDING_LOGINS_MAX,
        },
    )
    with process:
        yield process


@pytest.fixture(scope="package")
def bystander_process() -> Iterator[BystanderProcess]:
    """The initiator that behaves."""
    process = BystanderProcess()
    yield process
    process.close()


@pytest.fixture
def scene(
    target: TargetProcess, bystander_process: BystanderProcess, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """Run a test while a bystander reads; afterwards look at its p99, memory and what is left."""
    first, calm = target.reading(), target.target_name(CALM)
    with Bystander(bystander_process, target.portal, calm, request.node.name) as bystander:
        stage, began = Scene(target), time.monotonic()
        try:
            yield stage
            # Most attacks are over in milliseconds; the latencies are to tell of the aftermath too.
            time.sleep(max(WATCHED_S - (time.monotonic() - began), 0))
        finally:
            stage.close()
    peak_bytes = target.reading().rss_peak_bytes
    print(f"memory {first.rss_bytes >> 20} MiB before, at most {peak_bytes >> 20} MiB ever")
    assert bystander.summary.p99_ms < P99_MAX_MS
    assert peak_bytes < MEMORY_LIMIT_BYTES + OTHER_MEMORY_BYTES
    stage.wait_until_nothing_is_left()
