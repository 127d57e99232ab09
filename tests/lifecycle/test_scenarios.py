"""Every scenario goes wrong where it did, and does not where it was set right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lifecycle.linux_2_6_27 import faults
from tests.lifecycle.linux_2_6_27.scene import SURVIVES, outcome
from tests.lifecycle.scenarios.table import NOT_IN_THE_MODEL, SCENARIOS

if TYPE_CHECKING:
    from tests.lifecycle.scenarios.scenario import Scenario

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
HARMLESS = {"the elevator goes before the session", "a session without I/O"}


@every_scenario
def test_it_goes_wrong(scenario: Scenario) -> None:
    assert outcome(scenario.steps, scenario.kernel, checking=False) == scenario.with_bug
    assert (scenario.with_bug == SURVIVES) == (scenario.name in HARMLESS)


@every_scenario
def test_the_checks_see_it_at_the_latest_when_the_kernel_does(scenario: Scenario) -> None:
    ending = outcome(scenario.steps, scenario.kernel, checking=True)
    if scenario.seen_by_checks:
        assert hasattr(faults, ending.partition(":")[0]), ending
    else:
        assert ending == scenario.with_bug


@every_scenario
def test_it_goes_right(scenario: Scenario) -> None:
    steps = scenario.right_steps or scenario.steps
    assert outcome(steps, scenario.right_kernel or scenario.kernel, checking=True) == SURVIVES


def test_every_scenario_is_there_once_and_says_where_it_is_from() -> None:
    names = [scenario.name for scenario in SCENARIOS] + list(NOT_IN_THE_MODEL)
    assert len(names) == len(set(names))
    assert all(scenario.origin and scenario.shows for scenario in SCENARIOS)
