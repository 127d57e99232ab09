"""Parameters of the teardown tests: every driver with every pool."""

from __future__ import annotations

import pytest

from tests.support.cells import DRIVERS, POOLS


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """How I/O is submitted."""
    return str(request.param)


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    """Who shares submitters and contexts."""
    return str(request.param)
