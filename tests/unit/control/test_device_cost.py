from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairlead.control import device_cost

RUST = Path(__file__).resolve().parents[3] / "crates" / "sched" / "src" / "cost.rs"


@pytest.mark.parametrize("name", ["CPU", "FLASH"])
def test_the_data_plane_counts_the_same_costs(name: str) -> None:
    """Shares are shown by these figures and given by those."""
    [text] = re.findall(
        rf"pub const {name}: Self = Self \{{(.*?)\n    \}};", RUST.read_text(), re.DOTALL
    )
    lines = re.findall(r"(\w+): Line \{ base_ns: ([\d_]+), per_kib_ns: ([\d_]+) \}", text)
    theirs = {direction: (int(base), int(per_kib)) for direction, base, per_kib in lines}
    ours = getattr(device_cost, name)
    assert theirs == {
        "read": (ours.read.base_ns, ours.read.per_kib_ns),
        "write": (ours.write.base_ns, ours.write.per_kib_ns),
    }


def test_many_requests_cost_what_each_costs() -> None:
    assert device_cost.CPU.read.of(1, 4096) == 3_360
    assert device_cost.CPU.read.of(10, 40_960) == 33_600
    assert device_cost.CPU.read.of(0, 0) == 0
