"""Classes: a lower one has what higher ones leave, and keeps its own shares."""

from __future__ import annotations

import pytest

from fairlead.sched.reference import Device
from fairlead.sched.settings import Priority, Rate, Settings
from tests.support.sched_device import MS, US, Load, Simulation, work_ns

COST_NS = 100 * US
DEVICE = Device(window_ns=200 * US, cost_max_ns=COST_NS)
URGENT, NORMAL, IDLE = Priority


def busy(*contexts: Settings) -> Simulation:
    simulation = Simulation(DEVICE, servers=1)
    for context, settings in enumerate(contexts):
        simulation.set(context, settings)
        simulation.start(context, Load(costs_ns=[COST_NS]))
    return simulation


@pytest.mark.parametrize(("higher", "lower"), [(URGENT, NORMAL), (NORMAL, IDLE), (URGENT, IDLE)])
def test_a_lower_class_waits_while_a_higher_one_has_something_that_may_go(
    higher: Priority, lower: Priority
) -> None:
    simulation = busy(Settings(priority=higher), Settings(priority=lower, weight=1000))
    assert work_ns(simulation.run(50 * MS), 1) == 0
    simulation.stop(0)
    assert work_ns(simulation.run(60 * MS), 1) >= 9.7 * MS


def test_the_idle_class_has_everything_when_it_is_alone() -> None:
    simulation = busy(Settings(priority=IDLE), Settings(priority=IDLE, weight=3))
    sent = simulation.run(100 * MS)
    assert [work_ns(sent, context) / (100 * MS) for context in (0, 1)] == pytest.approx(
        [0.25, 0.75], abs=0.01
    )


def test_a_lower_class_has_what_a_held_context_leaves() -> None:
    simulation = busy(Settings(priority=URGENT, limit=Rate(iops=4_000)), Settings(priority=IDLE))
    sent = simulation.run(100 * MS)
    assert work_ns(sent, 0) == pytest.approx(40 * MS, abs=COST_NS)
    assert work_ns(sent, 1) == pytest.approx(60 * MS, abs=4 * COST_NS)


def test_shares_within_a_class_do_not_depend_on_what_other_classes_take() -> None:
    """The clock of a class stands while it gets nothing; nothing is lost or gained by that."""
    simulation = busy(Settings(), Settings(weight=4))
    simulation.set(2, Settings(priority=URGENT))
    for at_ns in range(0, 500 * MS, 20 * MS):
        simulation.run(at_ns)
        simulation.start(2, Load(costs_ns=[COST_NS]))
        simulation.run(at_ns + 13 * MS)
        simulation.stop(2)
    sent = simulation.run(500 * MS)
    first, second = (work_ns(sent, context) for context in (0, 1))
    assert first + second == pytest.approx(175 * MS, abs=15 * MS)
    assert abs(second - 4 * first) <= 2 * (COST_NS + 4 * COST_NS)


def test_a_context_that_changes_its_class_is_one_of_the_new_one_from_the_next_request_on() -> None:
    simulation = busy(Settings(), Settings(), Settings(priority=IDLE))
    simulation.run(10 * MS)
    simulation.set(2, Settings(priority=NORMAL))
    simulation.run(40 * MS)
    simulation.set(2, Settings(priority=URGENT))
    sent = simulation.run(50 * MS)
    assert work_ns(sent, 2, until_ns=10 * MS) == 0
    assert work_ns(sent, 2, 10 * MS, 40 * MS) == pytest.approx(10 * MS, abs=2 * COST_NS)
    assert work_ns(sent, 2, 40 * MS + 1, 50 * MS) >= 9.8 * MS


def test_a_held_context_may_change_its_class() -> None:
    """It is held as before, and comes back in the new class."""
    simulation = busy(Settings(), Settings(priority=IDLE, limit=Rate(iops=100), burst_s=0))
    assert work_ns(simulation.run(5 * MS), 1) == 0
    limited = Settings(priority=URGENT, limit=Rate(iops=100), burst_s=0)
    simulation.set(1, limited)
    sent = simulation.run(55 * MS)
    assert work_ns(sent, 1) == 5 * COST_NS or work_ns(sent, 1) == 6 * COST_NS
