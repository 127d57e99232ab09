"""Each scenario in examples/sim, and the point that it makes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.sim.result import PolicyResult, evaluate
from fairlead.sim.scenario import Scenario, read_scenario
from fairlead.sim.simulation import Simulation
from tests.tidy.source_tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = ROOT / "examples" / "sim"


def example(name: str) -> Scenario:
    return read_scenario((FOLDER / f"{name}.toml").read_text())


# Where less shows the same.
SECONDS = {
    "equal": 0.5,
    "one-to-four": 0.5,
    "victim-4k": 0.4,
    "victim-64k": 0.4,
    "sessions": 0.5,
    "one-of-thousand": 0.4,
    "bursts": 0.4,
    "two-streams": 4,
}


@cache
def run(name: str, policy: str = "fair", **changes: Any) -> PolicyResult:
    only = changes.pop("only", None)
    scenario = example(name)
    scenario = scenario.changed(seconds=SECONDS.get(name, scenario.seconds), **changes)
    if only:
        scenario = scenario.only([only])
    return evaluate(scenario, policy, Simulation(scenario, policy).run())


def p99_us(result: PolicyResult, client: str) -> float:
    latency_us = result.client(client).latency_p99_us
    assert latency_us is not None
    return latency_us


def equal() -> None:
    fair, fifo = run("equal"), run("equal", "fifo")
    assert fair.min_max is not None
    assert fair.min_max > 0.995
    assert fair.utilisation > 0.99
    assert fifo.client("david").share_got > 5 * fifo.client("anna").share_got


def one_to_four() -> None:
    assert run("one-to-four").client("four").share_got == pytest.approx(0.8, abs=0.004)


def weights() -> None:
    fair = run("weights")
    assert fair.error_1s is not None
    assert fair.error_1s < 0.03
    assert fair.min_max is not None
    assert fair.min_max > 0.97


def victim(name: str, ratio_max: float, ratio_of_none: float) -> None:
    alone = p99_us(run(name, only="victim"), "victim")
    fair = run(name)
    assert p99_us(fair, "victim") < ratio_max * alone
    assert fair.utilisation > 0.99
    assert p99_us(run(name, "none"), "victim") > ratio_of_none * alone


def victim_4k() -> None:
    victim("victim-4k", 1.6, 20)


def victim_64k() -> None:
    victim("victim-64k", 2.5, 300)


def sessions() -> None:
    assert run("sessions").client("single").share_got == pytest.approx(0.5, abs=0.005)
    assert run("sessions", "fifo").client("single").share_got < 0.07
    by_session = run("sessions", grouping="session").client("single")
    assert by_session.share_got == pytest.approx(1 / 17, abs=0.005)


def promises() -> None:
    fair, fifo = run("promises"), run("promises", "fifo")
    assert fair.client("guaranteed").guarantee_met == 1
    limit_reached = fair.client("limited").limit_reached
    assert limit_reached is not None
    assert 0.9 < limit_reached < 1.02
    guarantee_met = fifo.client("guaranteed").guarantee_met
    assert guarantee_met is not None
    assert guarantee_met < 0.8


def come_and_go() -> None:
    """The resident gets all, half and all, at once."""
    iops = run("come-and-go").client("resident").timeline.iops
    assert all(value == pytest.approx(20_000, rel=0.03) for value in iops[1:50])
    assert all(value == pytest.approx(10_000, rel=0.05) for value in iops[51:100])
    assert all(value == pytest.approx(20_000, rel=0.03) for value in iops[101:150])


def one_of_thousand() -> None:
    alone = run("one-of-thousand", only="working")
    assert run("one-of-thousand").iops >= 0.99 * alone.iops


def bursts() -> None:
    alone = run("bursts", only="reader")
    fair, fifo = run("bursts"), run("bursts", "fifo")
    assert p99_us(fair, "reader") < 3 * p99_us(alone, "reader")
    assert p99_us(fifo, "reader") > 20 * p99_us(alone, "reader")
    assert fair.client("reader").iops > 0.9 * alone.client("reader").iops


def two_streams() -> None:
    """Even, and slow: the head goes back and forth."""
    alone = run("two-streams", only="first")
    assert alone.mb_per_s > 80
    fair = run("two-streams")
    assert fair.client("first").share_got == pytest.approx(0.5, abs=0.01)
    assert fair.mb_per_s == pytest.approx(12, rel=0.02)


def priorities() -> None:
    fair = run("priorities")
    work, scrub = (fair.client(name).timeline.iops for name in ("work", "scrub"))
    assert max(work[1:2] + work[6:7]) < 100, "the log writes"
    assert min(work[3:5] + work[8:10]) > 19_000, "it pauses"
    assert max(scrub[:20]) < 100, "work comes first"
    assert min(scrub[23:25] + scrub[28:30]) > 19_000, "there is no work any more"


POINTS: dict[str, Callable[[], None]] = {
    "equal": equal,
    "one-to-four": one_to_four,
    "weights": weights,
    "victim-4k": victim_4k,
    "victim-64k": victim_64k,
    "sessions": sessions,
    "promises": promises,
    "come-and-go": come_and_go,
    "one-of-thousand": one_of_thousand,
    "bursts": bursts,
    "two-streams": two_streams,
    "priorities": priorities,
}


@pytest.mark.parametrize("name", POINTS)
def test_example_makes_its_point(name: str) -> None:
    POINTS[name]()


def test_every_example_has_a_point() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(POINTS)


@pytest.mark.parametrize("name", POINTS)
def test_every_example_says_what_it_shows(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text()
    assert text.startswith("# ")
    assert example(name).title


@pytest.mark.parametrize("name", ["priorities", "weights"])
def test_the_data_planes_scheduler_gives_the_same_result(name: str) -> None:
    scenario = example(name).changed(seconds=0.3)
    by_engine = [
        evaluate(scenario, "fair", Simulation(scenario, "fair", engine).run())
        for engine in ("reference", "rust")
    ]
    assert by_engine[0] == by_engine[1]
