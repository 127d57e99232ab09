"""CRC32C against the standard's examples."""

from __future__ import annotations

from operator import attrgetter

import pytest

from fairlead.proto.iscsi.digest import crc32c
from tests.support.vectors import Vector, vectors


@pytest.mark.parametrize("case", vectors("iscsi/crc32c"), ids=attrgetter("name"))
def test_vector(case: Vector) -> None:
    assert crc32c(bytes.fromhex(case.extra["data"])).hex() == case.extra["digest"]
