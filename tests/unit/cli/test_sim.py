from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fairlead.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

run = CliRunner().invoke
ENVIRONMENT = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}

SCENARIO = """\
title = "two of them"
device = "ssd-20k"
seconds = 0.2
policies = ["fair", "fifo"]
[[clients]]
name = "anna"
[[clients]]
name = "ben"
weight = 3
read_percent = 50
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO)
    return path


def test_help_teaches() -> None:
    result = run(app, ["sim", "--help"], env=ENVIRONMENT)
    assert result.exit_code == 0
    for word in ("examples/sim", "--only", "--presets", "fifo", "fairlead[plot]", "brackets"):
        assert word in result.output


def test_a_table_for_each_policy(file: Path) -> None:
    result = run(app, ["sim", str(file)], env=ENVIRONMENT)
    assert result.exit_code == 0, result.output
    for word in ("two of them", "fair: shares by weight", "fifo: one queue", "anna", "75.0%"):
        assert word in result.output
    assert result.stderr == "", "no bar where there is no terminal"


def test_where_it_is_narrow_nothing_is_cut_off(file: Path) -> None:
    wide, narrow = (
        run(app, ["sim", str(file)], env=ENVIRONMENT | {"COLUMNS": columns}).output
        for columns in ("160", "30")
    )
    assert [line.split() for line in narrow.splitlines() if " ben " in line] == [
        line.split() for line in wide.splitlines() if " ben " in line
    ]


def test_json_is_the_same_to_the_byte_for_the_same_seed(file: Path) -> None:
    first, second = (run(app, ["sim", str(file), "--json"]) for _ in range(2))
    other = run(app, ["sim", str(file), "--json", "--seed", "9"])
    assert first.stdout == second.stdout
    assert first.stdout != other.stdout
    document = json.loads(first.stdout)
    assert document["scenario"]["device"] == "ssd-20k"
    assert [policy["policy"] for policy in document["policies"]] == ["fair", "fifo"]
    ben = document["policies"][0]["clients"][1]
    assert ben["share_due"] == 0.75
    assert len(ben["timeline"]["iops"]) == 2


def test_the_command_line_goes_over_the_file(file: Path) -> None:
    arguments = ["--policy", "none", "--device", "ssd-100k", "--seconds", "0.1", "--only", "ben"]
    document = json.loads(run(app, ["sim", str(file), "--json", *arguments]).stdout)
    scenario = document["scenario"]
    assert (scenario["device"], scenario["seconds"]) == ("ssd-100k", 0.1)
    assert [client["name"] for client in scenario["clients"]] == ["ben"]
    assert [policy["policy"] for policy in document["policies"]] == ["none"]


def test_presets_are_listed(file: Path) -> None:
    result = run(app, ["sim", "--presets"], env=ENVIRONMENT)
    assert result.exit_code == 0
    for word in ("ssd-gc", "hdd-54", "read_us=400", "100,000"):
        assert word in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "clara"], "fairlead: no client 'clara' (there are: anna, ben)"),
        (["--device", "ssd-9"], "fairlead: device = \"ssd-9\": no device 'ssd-9'"),
        (["--seconds", "0"], "fairlead: seconds = 0.0: out of range"),
        (["--plot", "p.gif"], "fairlead: p.gif is no name of a picture (end it in .png or .svg)"),
    ],
)
def test_mistakes_on_the_command_line_are_told_in_one_line(
    file: Path, arguments: list[str], told: str
) -> None:
    result = run(app, ["sim", str(file), *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith(told)
    assert result.stderr.count("\n") == 1


def test_mistakes_in_the_file_are_told_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(SCENARIO + "weigth = 3\n")
    result = run(app, ["sim", str(file)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{file}:11: clients[1].weigth: no such field (did you")


def test_a_scenario_is_needed() -> None:
    result = run(app, ["sim"])
    assert result.exit_code == 2
    assert "no scenario; fairlead sim SCENARIO.toml, or --presets" in result.stderr


def test_a_plot_is_written(file: Path, tmp_path: Path) -> None:
    plot = tmp_path / "p.svg"
    result = run(app, ["sim", str(file), "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    assert "<svg" in plot.read_text()
