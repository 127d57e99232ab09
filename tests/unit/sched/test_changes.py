"""Settings that change while requests are queued or held: they count from the next request on."""

from __future__ import annotations

from fairlead.sched.reference import Device
from fairlead.sched.settings import Rate, Settings
from tests.support.sched_device import MS, US, Load, Simulation, work_ns

DEVICE = Device(window_ns=100 * US, cost_max_ns=100 * US)


def of_two(first: Settings, second: Settings) -> Simulation:
    """Two contexts that want more than they get, on a device that serves one request at a time."""
    simulation = Simulation(DEVICE, servers=1)
    for context, settings in enumerate((first, second)):
        simulation.set(context, settings)
        simulation.start(context, Load(costs_ns=[100 * US]))
    return simulation


def test_a_limit_that_is_lifted_gives_no_more_than_the_share_from_then_on() -> None:
    """A context that was held comes back at the clock."""
    simulation = of_two(Settings(), Settings(limit=Rate(iops=1), burst_s=0))
    simulation.run(500 * MS)
    simulation.set(1, Settings())
    sent = simulation.run(510 * MS)
    assert 4.7 * MS <= work_ns(sent, 1, since_ns=500 * MS) <= 5.3 * MS
