from __future__ import annotations

from typing import Any

import pytest

from fairlead.sim.result import PolicyResult, evaluate
from fairlead.sim.scenario import Scenario
from fairlead.sim.tally import Bin, ClientTally, GroupTally, Tally

S, BIN = 1_000_000_000, 100_000_000


def judge(
    costs: dict[str, list[list[float]]], clients: list[dict[str, Any]], seconds: float = 2
) -> PolicyResult:
    """Judge what was given: servers on average, for each client of a kind, bin by bin."""
    scenario = Scenario.model_validate(
        {"device": "ssd-20k", "seconds": seconds, "clients": clients}
    )
    groups = []
    for client in clients:
        members = []
        for servers in costs[client["name"]]:
            bins = {
                number: Bin(int(part * BIN), 4096 * round(part * 250), round(part * 250))
                for number, part in enumerate(servers)
                if part
            }
            members.append(ClientTally(bins))
        groups.append(GroupTally(members))
    tally = Tally(BIN, scenario.end_ns, groups, busy_ns=7 * scenario.end_ns)
    return evaluate(scenario, "fair", tally)


A, B = {"name": "a"}, {"name": "b", "weight": 3}


def test_what_was_due_is_a_part_of_what_was_done() -> None:
    result = judge({"a": [[1.9] * 20], "b": [[5.7] * 20]}, [A, B])
    assert [client.share_due for client in result.clients] == [0.25, 0.75]
    assert [client.error for client in result.clients] == pytest.approx([0, 0], abs=1e-6)
    assert result.jain == result.min_max == pytest.approx(1)
    assert result.error_1s == pytest.approx(0, abs=1e-6)
    assert result.utilisation == pytest.approx(7 / 8)
    assert result.client("a").iops == pytest.approx(4750)


def test_errors_are_relative_to_what_was_due() -> None:
    result = judge({"a": [[3.0] * 20], "b": [[5.0] * 20]}, [A, B])
    assert result.client("a").error == pytest.approx(0.5)
    assert result.client("b").error == pytest.approx(-1 / 6, rel=1e-4)
    assert result.min_max == pytest.approx((5 / 6) / 1.5, rel=1e-4)


def test_the_worst_second_is_found_wherever_it_begins() -> None:
    a = [2.0] * 20
    a[5:15] = [2.2] * 10
    b = [8 - part for part in a]
    result = judge({"a": [a], "b": [b]}, [A, B])
    assert result.error_1s == pytest.approx(0.1, rel=1e-3)


def test_who_asks_for_less_is_marked_and_not_counted_in_the_evenness() -> None:
    modest = {"name": "a", "depth": 1}
    result = judge({"a": [[0.5] * 20], "b": [[7.0] * 20]}, [modest, B])
    assert result.client("a").asks_less
    assert not result.client("b").asks_less
    assert result.min_max == 1


def test_each_of_many_alike_counts_in_the_evenness() -> None:
    many = {"name": "a", "count": 2}
    result = judge({"a": [[1.0] * 20, [2.0] * 20]}, [many])
    assert result.client("a").error == pytest.approx(0)
    assert result.min_max == pytest.approx(0.5)
    assert result.error_1s == pytest.approx(1 / 3, rel=1e-4)


def test_only_time_in_which_a_client_contends_counts() -> None:
    late = {"name": "b", "start_s": 1}
    result = judge({"a": [[7.9] * 10 + [4.0] * 10], "b": [[0] * 10 + [4.0] * 10]}, [A, late])
    assert result.client("b").share_due == pytest.approx(40 / 159, rel=1e-4)
    assert result.min_max == pytest.approx(1, rel=1e-4)


def test_nothing_done_is_told_as_nothing() -> None:
    result = judge({"a": [[0] * 20]}, [{"name": "a", "depth": 0}])
    [client] = result.clients
    assert (client.error, client.latency_p50_us, client.share_due) == (None, None, 0)
    assert result.jain is result.min_max is result.error_1s is None


def test_the_timeline_has_latencies_of_each_bin() -> None:
    scenario = Scenario.model_validate({"device": "ssd-20k", "seconds": 0.3, "clients": [A]})
    group = GroupTally([ClientTally({0: Bin(1, 4096, 2), 2: Bin(1, 8192, 1)})])
    for number, latency_ns in ((0, 5_000), (0, 7_000), (2, 9_500)):
        group.latencies_ns.append(latency_ns)
        group.done[number] = len(group.latencies_ns)
    timeline = evaluate(scenario, "fair", Tally(BIN, 3 * BIN, [group])).clients[0].timeline
    assert timeline.iops == [20, 0, 10]
    assert timeline.latency_p50_us == [5, None, 9.5]
    assert timeline.latency_p99_us == [7, None, 9.5]
