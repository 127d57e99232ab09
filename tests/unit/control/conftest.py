"""A target over the data plane that only keeps books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.dataplane.fake import FakeDataPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.dataplane.api import EngineOptions


class Planes:
    """Opens fake data planes, and remembers the newest as ``plane``."""

    def __init__(self) -> None:
        self.all: list[FakeDataPlane] = []

    def __call__(self, options: EngineOptions) -> FakeDataPlane:
        self.all.append(FakeDataPlane(options))
        return self.all[-1]

    @property
    def plane(self) -> FakeDataPlane:
        return self.all[-1]


@pytest.fixture
def planes() -> Iterator[Planes]:
    planes = Planes()
    yield planes
    for plane in planes.all:
        plane.stop(drain_s=0)
        plane.close()
