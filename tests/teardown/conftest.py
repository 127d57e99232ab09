"""Parameters of the teardown tests: every driver with every pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bystander import BystanderProcess
from tests.support.cells import DRIVERS, POOLS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """How I/O is submitted."""
    return str(request.param)


@pytest.fixture(scope="package", params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    """Who shares submitters and contexts."""
    return str(request.param)


@pytest.fixture(scope="package")
def bystander_process() -> Iterator[BystanderProcess]:
    """An initiator whose latency is measured."""
    process = BystanderProcess()
    yield process
    process.close()
