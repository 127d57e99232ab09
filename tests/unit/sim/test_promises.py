from __future__ import annotations

from typing import Any

import pytest

from fairlead.devices.presets import parse_device
from fairlead.sim.client import ClientConfig
from fairlead.sim.demand import mean_cost
from fairlead.sim.due import GroupDue
from fairlead.sim.promises import guarantee_met, limit_reached
from fairlead.sim.tally import Bin, ClientTally, GroupTally, Tally

S = 1_000_000_000


def told(counts: list[int], **values: Any) -> tuple[float | None, float | None]:
    """What is said of a client that got these requests of 4 KiB in bins of 100 ms."""
    config = ClientConfig.model_validate({"name": "c"} | values)
    bins = {
        number: Bin(cost_ns=0, length_bytes=4096 * count, requests=count)
        for number, count in enumerate(counts)
        if count
    }
    group = GroupTally([ClientTally(bins)])
    tally = Tally(S // 10, len(counts) * S // 10, [group])
    mean = mean_cost(config, parse_device("ssd-20k").cost_model())
    due = GroupDue([0.0] * len(counts), [False] * len(counts), [True] * len(counts), mean)
    if config.start_s:
        due.is_active[0] = False
    return guarantee_met(config, group, due, tally), limit_reached(config, group, tally)


def test_who_has_neither_is_told_nothing() -> None:
    assert told([5, 5]) == (None, None)


def test_a_guarantee_is_looked_at_bin_by_bin() -> None:
    guarantee = {"iops": 1000}
    assert told([100, 100, 100, 100], guarantee=guarantee)[0] == 1
    assert told([100, 98, 0, 500], guarantee=guarantee)[0] == 0.5
    assert told([99, 100], guarantee=guarantee)[0] == 1, "one is on its way across the border"
    assert told([0, 100], guarantee=guarantee, start_s=0.01)[0] == 1, "not yet at work"


def test_a_guarantee_of_bytes_as_well() -> None:
    guarantee = {"bytes_per_s": 4_096_000}
    assert told([100, 99, 98, 97], guarantee=guarantee)[0] == 0.5


def test_who_asks_for_less_than_its_guarantee_is_not_let_down() -> None:
    assert told([10], guarantee={"iops": 1000}, requests_per_s=100)[0] is None


def test_a_limit_is_looked_at_over_every_second() -> None:
    counts = [100] * 5 + [120] * 10 + [50] * 5
    assert told(counts, limit={"iops": 1000})[1] == pytest.approx(1.2)
    assert told([110, 90], limit={"iops": 1000})[1] == pytest.approx(1.0)
    both = {"iops": 2000, "bytes_per_s": 2_048_000}
    assert told(counts, limit=both)[1] == pytest.approx(2.4)
