"""Guarantees: met whatever the weights and however many others there are, and not saved up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.sched.reference import Device, Request, Scheduler
from fairlead.sched.settings import Priority, Rate, Settings
from tests.support.sched_device import MS, US, Load, S, Simulation, counts, work_ns

COST_NS = 100 * US
DEVICE = Device(window_ns=400 * US, cost_max_ns=COST_NS)
WINDOW_NS = 100 * MS


def busy(device: Device, *contexts: tuple[Settings, int], servers: int = 1) -> Simulation:
    """Contexts that want more than they get, each with the cost of its requests."""
    simulation = Simulation(device, servers)
    for context, (its_settings, cost_ns) in enumerate(contexts):
        simulation.set(context, its_settings)
        simulation.start(context, Load(costs_ns=[cost_ns]))
    return simulation


@given(
    parts=st.lists(
        st.tuples(st.integers(1, 100), st.integers(50 * US, COST_NS)), max_size=5, min_size=1
    ),
    burst_s=st.sampled_from((0, 0.01)),
    others=st.lists(st.integers(1, 1000), min_size=1, max_size=20),
    more_ns=st.integers(0, 6 * COST_NS),
    servers=st.integers(1, 4),
)
@settings(max_examples=12)
def test_every_guarantee_is_met_in_every_tenth_of_a_second(
    parts: list[tuple[int, int]],
    burst_s: float,
    others: list[int],
    more_ns: int,
    servers: int,
) -> None:
    """To one request, and what the device and the others' guarantees make it wait for once."""
    window_ns = (servers + 1) * COST_NS + more_ns
    device = Device(window_ns=window_ns, cost_max_ns=COST_NS)
    # Nine tenths of the device, in these parts.
    whole = max(100, sum(part for part, _ in parts))
    rates = [max(1, 9 * S * part // (10 * whole * cost_ns)) for part, cost_ns in parts]
    guaranteed = [
        (Settings(guarantee=Rate(iops=rate), burst_s=burst_s), cost_ns)
        for rate, (_, cost_ns) in zip(rates, parts, strict=True)
    ]
    unguaranteed = [(Settings(weight=weight), COST_NS) for weight in others]
    simulation = busy(device, *guaranteed, *unguaranteed, servers=servers)
    sent = simulation.run(3 * WINDOW_NS)
    late_ns = window_ns + COST_NS * (len(parts) + 1)
    for context, rate in enumerate(rates):
        least = rate * (WINDOW_NS - late_ns) // S - 1
        assert min(counts(sent, context, WINDOW_NS, 3 * WINDOW_NS)) >= least


def test_what_is_left_is_shared_by_weight() -> None:
    """A guarantee below the share changes nothing; one above leaves the rest to the others."""
    simulation = busy(
        DEVICE,
        (Settings(weight=1, guarantee=Rate(iops=6_000)), COST_NS),
        (Settings(weight=2, guarantee=Rate(iops=100)), COST_NS),
        (Settings(weight=6), COST_NS),
    )
    sent = simulation.run(S)
    shares = [work_ns(sent, context) / S for context in range(3)]
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.005)


@pytest.mark.parametrize("iops", [500, 2_000, 4_500, 6_000])
@pytest.mark.parametrize("burst_s", [0, 0.01])
def test_a_guarantee_counts_towards_the_share(iops: int, burst_s: float) -> None:
    """Of 10,000 requests a second: the guarantee or the share, whichever is more."""
    guaranteed = Settings(guarantee=Rate(iops=iops), burst_s=burst_s)
    simulation = busy(DEVICE, (guaranteed, COST_NS), (Settings(), COST_NS))
    served = work_ns(simulation.run(S), 0)
    assert served / S == pytest.approx(max(0.5, iops / 10_000), abs=0.002)


def test_what_was_guaranteed_is_not_paid_for_later() -> None:
    """By one request at most, however far beyond its share the context came."""
    simulation = busy(
        DEVICE, (Settings(guarantee=Rate(iops=9_000)), COST_NS), (Settings(), COST_NS)
    )
    simulation.run(S)
    simulation.set(0, Settings())
    sent = simulation.run(S + 10 * MS)
    assert work_ns(sent, 0, since_ns=S) >= 4.7 * MS


def test_a_guarantee_goes_before_higher_classes() -> None:
    idle = Settings(priority=Priority.IDLE, guarantee=Rate(iops=1_000))
    simulation = busy(DEVICE, (idle, COST_NS), (Settings(priority=Priority.URGENT), COST_NS))
    assert 999 <= len([one for one in simulation.run(S) if one.context == 0]) <= 1011


def test_a_pause_saves_up_no_more_than_the_burst() -> None:
    """A thousand in a second; ten milliseconds of it at once, and no more."""
    simulation = busy(DEVICE, (Settings(weight=1000), COST_NS))
    simulation.set(1, Settings(guarantee=Rate(iops=1_000)))
    simulation.run(S)
    simulation.start(1, Load(costs_ns=[COST_NS]))
    sent = simulation.run(S + 10 * MS)
    assert 19 <= len([one for one in sent if one.context == 1]) <= 22


def test_what_a_stalled_device_could_not_keep_is_made_up_for_a_while_only() -> None:
    """A second's guarantees are lost; what is made up for is what a tenth of a second holds."""
    it = Scheduler(Device(window_ns=COST_NS, cost_max_ns=COST_NS))
    it.set(0, Settings(guarantee=Rate(iops=1_000)), 0)
    it.set(1, Settings(weight=1000), 0)
    for token in range(2_000):
        for context in (0, 1):
            it.push(Request(context=context, token=token, cost_ns=COST_NS, length_bytes=512), 0)
    taken: list[int] = []
    while (request := it.next(S)) and len(taken) < 1_000:
        it.complete(COST_NS)
        taken.append(request.context)
    assert 100 <= taken.count(0) <= 103


def test_a_guarantee_without_a_burst_is_met_on_a_slow_device() -> None:
    """Requests of ten milliseconds are always late; the next are due none the later for that."""
    device = Device(window_ns=10 * MS, cost_max_ns=10 * MS)
    steady = Settings(guarantee=Rate(iops=40), burst_s=0)
    simulation = busy(device, (steady, 10 * MS), *[(Settings(weight=1000), 10 * MS)] * 5)
    assert counts(simulation.run(2 * S), 0, S, 2 * S) in ([40, 40], [40, 41], [41, 40])


def test_one_kind_of_guarantee_uses_up_nothing_of_the_other() -> None:
    """Many small requests for the bytes' sake; then large ones, of which a hundred are due."""
    simulation = busy(DEVICE, *[(Settings(weight=1000), COST_NS)] * 3)
    simulation.set(3, Settings(guarantee=Rate(iops=400, bytes_per_s=16 << 20)))
    simulation.start(3, Load(costs_ns=[10 * US], length_bytes=4096))
    assert len([one for one in simulation.run(S) if one.context == 3]) >= 4095
    simulation.start(3, Load(costs_ns=[COST_NS], length_bytes=1 << 20))
    sent = simulation.run(2 * S)
    assert len([one for one in sent if one.context == 3 and one.at_ns >= S]) >= 399


@pytest.mark.parametrize("length_bytes", [0, 512])
def test_requests_of_few_bytes_are_not_guaranteed_for_ever(length_bytes: int) -> None:
    """What moves nothing does not bring a guarantee in bytes any nearer."""
    simulation = busy(DEVICE, (Settings(), COST_NS))
    simulation.set(1, Settings(guarantee=Rate(bytes_per_s=1 << 20)))
    simulation.start(1, Load(costs_ns=[COST_NS], length_bytes=length_bytes))
    sent = simulation.run(100 * MS)
    assert work_ns(sent, 0) >= 49 * MS


def test_a_guarantee_that_is_raised_counts_at_once() -> None:
    simulation = busy(
        DEVICE,
        (Settings(guarantee=Rate(iops=1)), COST_NS),
        *[(Settings(weight=1000), COST_NS)] * 2,
    )
    simulation.run(100 * MS)
    simulation.set(0, Settings(guarantee=Rate(iops=1_000)))
    sent = simulation.run(200 * MS)
    assert len([one for one in sent if one.context == 0 and one.at_ns >= 100 * MS]) >= 99


def test_a_guarantee_may_be_its_own_limit() -> None:
    same = Settings(guarantee=Rate(iops=1_000), limit=Rate(iops=1_000))
    simulation = busy(DEVICE, (same, COST_NS), *[(Settings(weight=1000), COST_NS)] * 5)
    for count in counts(simulation.run(S), 0, WINDOW_NS, S):
        assert 98 <= count <= 110
