"""SEND DIAGNOSTIC."""

from __future__ import annotations

import pytest

from fairlead.scsi import pages
from tests.support.logical_unit import logical_unit


@pytest.mark.parametrize("byte_1", [0x00, 0x04, 0x10])
def test_default_self_test_passes_and_returns_nothing(byte_1: int) -> None:
    assert pages.upcall(logical_unit(), bytes((0x1D, byte_1, 0, 0, 0, 0)), b"") == b""
