from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fairlead.errors import ConfigError
from fairlead.sim.result import PolicyResult, evaluate
from fairlead.sim.scenario import Scenario
from fairlead.sim.simulation import Simulation

if TYPE_CHECKING:
    from fairlead.sim.tally import Tally


def scenario(*clients: dict[str, Any], **values: Any) -> Scenario:
    named = [{"name": f"c{index}"} | client for index, client in enumerate(clients)]
    return Scenario.model_validate({"device": "ssd-20k", "seconds": 0.5, "clients": named} | values)


def run(*clients: dict[str, Any], policy: str = "fair", **values: Any) -> PolicyResult:
    wanted = scenario(*clients, **values)
    return evaluate(wanted, policy, Simulation(wanted, policy).run())


def count(tally: Tally) -> list[int]:
    return [len(group.latencies_ns) for group in tally.groups]


def test_one_request_at_a_time_takes_its_service_and_its_turn_around() -> None:
    [client] = run({"depth": 1, "turn_around_us": 100}).clients
    assert client.latency_p50_us == client.latency_max_us == 408, "with the way back"
    assert client.iops == 1968  # one in 508 us


@pytest.mark.parametrize("policy", ["fair", "fifo", "none"])
def test_a_closed_loop_keeps_its_depth(policy: str) -> None:
    """Little's law: outstanding = rate x (latency + turn-around)."""
    [client] = run({"depth": 40, "sessions": 2}, policy=policy, seconds=1).clients
    assert client.latency_p50_us is not None
    outstanding = client.iops * (client.latency_p50_us + 30) / 1e6
    assert outstanding == pytest.approx(80, rel=0.02)


@pytest.mark.parametrize("policy", ["fair", "fifo", "none"])
def test_a_busy_device_is_busy(policy: str) -> None:
    result = run({}, {"depth": 64}, policy=policy)
    assert result.utilisation > 0.985
    assert result.iops == pytest.approx(20_000, rel=0.02)


def test_an_open_loop_does_not_wait_for_answers() -> None:
    [paced] = run({"requests_per_s": 5000}).clients
    assert paced.iops == pytest.approx(5000, rel=0.002)
    [flood] = run({"requests_per_s": 40_000, "queued_max": 100}).clients
    assert flood.iops == pytest.approx(20_000, rel=0.01)
    assert flood.refused == pytest.approx(10_000, rel=0.02)


def test_a_refused_closed_loop_tries_again() -> None:
    [client] = run({"depth": 64, "queued_max": 20}).clients
    assert client.refused > 0
    assert client.iops == pytest.approx(20_000, rel=0.02)


def test_clients_come_and_go() -> None:
    wanted = scenario({"start_s": 0.1, "stop_s": 0.3})
    tally = Simulation(wanted, "fair").run()
    assert sorted(tally.groups[0].clients[0].bins) == [1, 2, 3], "the last answers come later"
    assert tally.groups[0].clients[0].bins[3].requests <= 32


def test_a_context_is_closed_when_its_client_has_gone() -> None:
    simulation = Simulation(
        scenario({"stop_s": 0.1}, {"depth": 0}, {"requests_per_s": 100, "stop_s": 0.2}), "fair"
    )
    simulation.run()
    scheduler = simulation._scheduler
    with pytest.raises(KeyError):
        scheduler.close(0)
    assert scheduler.close(1) == [], "idle, but connected"
    with pytest.raises(KeyError):
        scheduler.close(2)


def test_bursts_pause() -> None:
    wanted = scenario({"burst": {"on_ms": 100, "off_ms": 100}})
    tally = Simulation(wanted, "fair").run()
    requests = [tally.groups[0].clients[0].bin(number).requests for number in range(5)]
    assert all(requests[number] > 1900 for number in (0, 2, 4))
    assert all(requests[number] < 40 for number in (1, 3))


def test_large_requests_go_in_pieces_one_after_the_other() -> None:
    [alone] = run({"depth": 1, "size": "64K"}).clients
    pieces = 4  # of 16 KiB, each with its fixed part of 40 us
    assert alone.latency_p50_us == pieces * (40 + 8) + 16 * 360
    [whole] = run({"depth": 1, "size": "64K"}, policy="fifo").clients
    assert whole.latency_p50_us == (40 + 8) + 16 * 360
    [longer] = run({"depth": 1, "size": "64K"}, split_bytes=32 << 10).clients
    assert longer.latency_p50_us == 2 * (40 + 8) + 16 * 360


def test_pieces_of_a_request_that_has_begun_are_not_refused() -> None:
    result = run({"depth": 30, "size": "64K", "queued_max": 4}, {"depth": 64})
    pressed = result.client("c0")
    assert pressed.refused > 0
    assert pressed.requests > 0
    assert pressed.share_got == pytest.approx(0.5, rel=0.03)


def test_a_stream_is_sequential_only_within_its_context() -> None:
    """One stream over two sessions: one context sees all of it, two contexts see gaps."""
    stream = {"access": "sequential", "size": "128K", "depth": 1, "sessions": 2}
    values = {"device": "hdd-90", "seconds": 2}
    grouped = Simulation(scenario(stream, **values), "fair").run()
    apart = Simulation(scenario(stream, grouping="session", **values), "fair").run()
    costs = [
        sum(counted.cost_ns for counted in tally.groups[0].clients[0].bins.values())
        / count(tally)[0]
        for tally in (grouped, apart)
    ]
    assert costs[0] == pytest.approx(1.556e6, rel=0.02)
    assert costs[1] > 10e6


def test_with_grouping_by_session_each_has_a_share() -> None:
    by_initiator = run({}, {"sessions": 3})
    by_session = run({}, {"sessions": 3}, grouping="session")
    assert by_initiator.client("c1").share_got == pytest.approx(0.5, abs=0.01)
    assert by_session.client("c1").share_got == pytest.approx(0.75, abs=0.01)


def test_the_same_seed_gives_the_same_run() -> None:
    clients: list[dict[str, Any]] = [
        {"size": {"4K": 1, "64K": 1}, "read_percent": 50},
        {"requests_per_s": 900},
    ]
    documents = [run(*clients, seed=seed).document() for seed in (1, 1, 2)]
    assert documents[0] == documents[1]
    assert documents[0] != documents[2]


def test_a_client_asks_for_the_same_beside_whomever_it_is_put() -> None:
    mixed = {"name": "m", "size": {"4K": 1, "64K": 1}, "depth": 1}
    alone = Simulation(scenario(mixed), "fair").run()
    beside = Simulation(scenario({"name": "other", "depth": 1}, mixed), "fair").run()
    lone, accompanied = alone.groups[0].latencies_ns, beside.groups[1].latencies_ns
    assert [ns > 1_000_000 for ns in lone[:100]] == [ns > 1_000_000 for ns in accompanied[:100]]


def test_progress_is_told_once_in_each_bin() -> None:
    times: list[int] = []
    Simulation(scenario({}), "fair").run(times.append)
    assert len(times) == 5
    assert times == sorted(times)


def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no engine 'steam'"):
        Simulation(scenario({}), "fair", "steam")
