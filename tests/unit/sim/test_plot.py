from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from fairlead.errors import ConfigError
from fairlead.sim.plot import check_plot, save_plot
from fairlead.sim.result import PolicyResult, evaluate
from fairlead.sim.scenario import Scenario
from fairlead.sim.simulation import Simulation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def results() -> list[PolicyResult]:
    clients = [{"name": "anna"}, {"name": "late", "start_s": 0.15}]
    scenario = Scenario.model_validate({"device": "ssd-20k", "seconds": 0.3, "clients": clients})
    return [
        evaluate(scenario, policy, Simulation(scenario, policy).run())
        for policy in ("fair", "fifo")
    ]


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_is_made_the_same_each_time(
    tmp_path: Path, results: list[PolicyResult], suffix: str, start: bytes
) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        save_plot(path, "a title", results, bin_ms=100)
    assert paths[0].read_bytes().startswith(start)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_picture_names_policies_and_clients(
    tmp_path: Path, results: list[PolicyResult]
) -> None:
    path = tmp_path / "plot.svg"
    save_plot(path, "a title", results, bin_ms=100)
    # Text is drawn as outlines; what it says is in comments.
    text = path.read_text()
    for word in ("a title", "fair", "fifo", "anna", "late", "MB/s"):
        assert f"<!-- {word} -->" in text


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"end it in \.png or \.svg"):
        check_plot(tmp_path / "plot.gif")


def test_without_matplotlib_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'fairlead\[plot\]'"):
        check_plot(tmp_path / "plot.svg")


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, results: list[PolicyResult]
) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        save_plot(tmp_path / "missing" / "plot.svg", "", results, bin_ms=100)
