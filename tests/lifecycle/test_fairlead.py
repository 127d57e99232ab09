"""The same scenarios against fairlead's own life cycle, in which none goes wrong."""

from __future__ import annotations

import pytest

from tests.lifecycle.counterparts import COUNTERPARTS, WITHOUT_COUNTERPART
from tests.lifecycle.scenarios.table import NOT_IN_THE_MODEL, SCENARIOS
from tests.support.lifecycle_pair import Pair


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_it_does_not_go_wrong_here(name: str) -> None:
    """In the specification and in the engine alike, with nothing left at the end."""
    pair = Pair()
    COUNTERPARTS[name].play(pair)
    assert pair.named
    pair.nothing_left()


def test_every_scenario_has_its_counterpart_or_a_reason() -> None:
    names = {scenario.name for scenario in SCENARIOS} | set(NOT_IN_THE_MODEL)
    assert set(COUNTERPARTS) | set(WITHOUT_COUNTERPART) == names
    assert not set(COUNTERPARTS) & set(WITHOUT_COUNTERPART)
