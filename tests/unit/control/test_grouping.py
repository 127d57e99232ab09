from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.control.grouping import ContextKeys, Nexus, load_grouping
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

NEXUS = Nexus(
    client="iqn.2020-01.org.example:a",
    initiator_name="iqn.2020-01.org.example:a",
    isid=bytes(6),
    target_name="iqn.2020-01.org.example:t",
    tsih=7,
    lun=0,
    address="192.0.2.1",
    auth_user=None,
)


@pytest.mark.parametrize(
    ("name", "separates"),
    [
        ("initiator", {"client"}),
        ("session", {"client", "tsih"}),
        ("nexus", {"client", "tsih", "lun"}),
        ("none", set()),
    ],
)
def test_what_a_grouping_separates(name: str, separates: set[str]) -> None:
    grouping = load_grouping(name)
    others = {
        "client": replace(NEXUS, client="iqn.2020-01.org.example:b"),
        "tsih": replace(NEXUS, tsih=8),
        "lun": replace(NEXUS, lun=1),
    }
    different = {
        field for field, nexus in others.items() if grouping.key(nexus) != grouping.key(NEXUS)
    }
    assert different == separates


def test_an_unknown_grouping_is_explained() -> None:
    with pytest.raises(
        ConfigError, match=r"no grouping 'nexis' .there are: group, initiator, nexus, none"
    ):
        load_grouping("nexis")


def install(site: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A package with an entry point, as pip would leave it."""
    (site / "by_rack.py").write_text(code)
    info = site / "by_rack-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: by-rack\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[fairlead.groupings]\nrack = by_rack:RackGrouping\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "by_rack", raising=False)


def test_a_package_adds_a_grouping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class RackGrouping:\n    def key(self, nexus):\n        return nexus.address[:9]\n"
    install(tmp_path, monkeypatch, code)
    assert load_grouping("rack").key(NEXUS) == "192.0.2.1"
    with pytest.raises(
        ConfigError, match="there are: group, initiator, nexus, none, rack, session"
    ):
        load_grouping("other")


def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "raise RuntimeError('out of order')\n")
    with pytest.raises(
        ConfigError, match=r"'rack' .by_rack:RackGrouping. cannot be loaded: out of"
    ):
        load_grouping("rack")


def invent(count: int, **fields: Any) -> list[Nexus]:
    return [replace(NEXUS, client=f"iqn.2020-01.org.example:{i}", **fields) for i in range(count)]


def test_invented_names_share_one_context_beyond_the_limit() -> None:
    keys = ContextKeys(load_grouping("initiator"), contexts_per_address=3)
    taken = [keys.acquire(nexus) for nexus in invent(10)]
    assert taken[:3] == [nexus.client for nexus in invent(3)]
    assert set(taken[3:]) == {"address:192.0.2.1"}
    # Another address, and whoever proves its name, are not affected.
    other, proven = invent(1, address="192.0.2.2")[0], invent(20, auth_user="alice")[19]
    assert keys.acquire(other) == other.client
    assert keys.acquire(proven) == proven.client
    # A name that is in already stays in.
    assert keys.acquire(invent(1)[0]) == invent(1)[0].client


def test_a_name_that_left_makes_room() -> None:
    keys = ContextKeys(load_grouping("initiator"), contexts_per_address=1)
    first, second = invent(2)
    key = keys.acquire(first)
    assert keys.acquire(second) == "address:192.0.2.1"
    keys.release(second, "address:192.0.2.1")
    keys.release(first, key)
    assert keys.acquire(second) == second.client


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["192.0.2.1", "192.0.2.2"]))))
def test_nothing_is_held_after_everything_is_given_back(logins: list[tuple[int, str]]) -> None:
    keys = ContextKeys(load_grouping("initiator"), contexts_per_address=2)
    held = []
    for number, address in logins:
        nexus = replace(NEXUS, client=str(number), address=address)
        held.append((nexus, keys.acquire(nexus)))
    for nexus, key in reversed(held):
        keys.release(nexus, key)
    assert not keys._held
