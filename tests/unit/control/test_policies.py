from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.latency_goal import LatencyGoal
from fairlead.control.policies import load_policies
from fairlead.model.document import DocumentError
from fairlead.model.policy import PolicyConfig
from tests.support.contexts import snapshot

if TYPE_CHECKING:
    from pathlib import Path

NIGHTLY = """
from fairlead.model.frozen import Model
from fairlead.model.shares import ShareChange

class Nightly:
    class Options(Model):
        contexts: str
        weight: int = 1

    def __init__(self, options):
        self.options = options

    def step(self, snapshot):
        return {self.options.contexts: ShareChange(weight=self.options.weight)}
"""


def configs(*tables: dict[str, Any]) -> list[PolicyConfig]:
    return [PolicyConfig.model_validate(table) for table in tables]


def mistakes(*tables: dict[str, Any]) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load_policies(configs(*tables))
    return [str(mistake) for mistake in caught.value.mistakes]


def install(site: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A package with an entry point, as pip would leave it."""
    (site / "nightly.py").write_text(code)
    info = site / "nightly-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nightly\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[fairlead.policies]\nnightly = nightly:Nightly\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "nightly", raising=False)


def test_ours_is_loaded_with_its_options() -> None:
    table = {"kind": "latency-goal", "contexts": "db*", "goal_ms": 2}
    first, second = load_policies(configs(table, {**table, "interval_s": 0.5}))
    assert (first.name, first.interval_s) == ("latency-goal", 0.1)
    assert (second.name, second.interval_s) == ("latency-goal-2", 0.5)
    assert isinstance(first.policy, LatencyGoal)


def test_a_package_adds_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, NIGHTLY)
    [loaded] = load_policies(configs({"kind": "nightly", "contexts": "a", "weight": 7}))
    assert loaded.policy.step(snapshot())["a"].weight == 7
    assert mistakes({"kind": "nightly"}) == ["policies[0].contexts: missing (add contexts = ...)"]


def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "raise RuntimeError('out of order')\n")
    assert mistakes({"kind": "nightly"}) == [
        'policies[0].kind = "nightly": nightly:Nightly cannot be loaded: out of order '
        "(repair or remove the package that offers it)"
    ]


def test_all_mistakes_are_found_at_once() -> None:
    assert mistakes(
        {"kind": "latency-gaol"},
        {"kind": "latency-goal", "contexts": "*", "goal": 1},
        {"kind": "latency-goal", "contexts": "*", "goal_ms": 0},
    ) == [
        'policies[0].kind = "latency-gaol": no such policy (there are: latency-goal)',
        "policies[1].goal_ms: missing (add goal_ms = ...)",
        "policies[1].goal: no such field (did you mean goal_ms? there are: contexts, goal_ms)",
        "policies[2].goal_ms = 0: out of range (take more than 0)",
    ]
