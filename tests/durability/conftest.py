"""Parameters of the model tests: which driver does the I/O."""

from __future__ import annotations

import pytest

from tests.support.cells import DRIVERS


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """How I/O is submitted."""
    return str(request.param)
