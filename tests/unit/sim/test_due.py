from __future__ import annotations

from typing import Any

import pytest

from fairlead.sim.due import compute_due
from fairlead.sim.scenario import Scenario

S = 1_000_000_000


def scenario(*clients: dict[str, Any], seconds: float = 1, bin_ms: int = 100) -> Scenario:
    named = [{"name": f"c{index}"} | client for index, client in enumerate(clients)]
    return Scenario.model_validate(
        {"device": "ssd-20k", "seconds": seconds, "bin_ms": bin_ms, "clients": named}
    )


def test_what_is_due_follows_who_is_there() -> None:
    first, second = compute_due(scenario({}, {"weight": 3, "start_s": 0.25, "stop_s": 0.7}))
    whole = 0.8 * S
    assert first.servers_ns[0] == pytest.approx(whole)
    assert second.servers_ns[0] == 0
    # Half of the third bin.
    assert first.servers_ns[2] == pytest.approx((whole + whole / 4) / 2)
    assert second.servers_ns[2] == pytest.approx(whole * 3 / 4 / 2)
    assert first.servers_ns[5] == pytest.approx(whole / 4)
    assert first.servers_ns[9] == pytest.approx(whole)
    assert [n for n in range(10) if second.is_active[n]] == [3, 4, 5, 6]


def test_contending_is_who_gets_less_than_it_asks_for() -> None:
    modest, greedy, limited = compute_due(
        scenario({"depth": 1}, {"depth": 64}, {"limit": {"iops": 1000}})
    )
    assert not any(modest.contends)
    assert all(greedy.contends)
    assert not any(limited.contends)
    assert limited.servers_ns[0] == pytest.approx(0.1 * 0.4 * S)


def test_who_stops_as_another_starts_is_not_beside_it() -> None:
    first, second = compute_due(scenario({"stop_s": 0.5}, {"start_s": 0.5}))
    assert first.servers_ns == pytest.approx([0.8 * S] * 5 + [0] * 5)
    assert second.servers_ns == pytest.approx([0] * 5 + [0.8 * S] * 5)


def test_bursts_are_due_while_they_last() -> None:
    [burst] = compute_due(scenario({"burst": {"on_ms": 50, "off_ms": 150}}))
    assert burst.servers_ns == pytest.approx([0.4 * S, 0] * 5)
    assert not any(burst.is_active)


def test_many_alike_share_what_is_due_to_them_together() -> None:
    many, one = compute_due(scenario({"count": 3}, {"weight": 1}))
    assert many.servers_ns[0] == pytest.approx(0.2 * S)
    assert one.servers_ns[0] == pytest.approx(0.2 * S)


def test_the_last_bin_may_be_short() -> None:
    [only] = compute_due(scenario({}, seconds=0.25))
    assert only.servers_ns == pytest.approx([0.8 * S, 0.8 * S, 0.4 * S])


def test_the_idle_are_due_nothing() -> None:
    [idle, _] = compute_due(scenario({"depth": 0}, {}))
    assert not any(idle.servers_ns)
    assert not any(idle.contends)
