from __future__ import annotations

import re
from typing import Any

import pytest
from rich.console import Console

from fairlead.devices.presets import parse_device
from fairlead.sim.report import (
    TABLE_WIDTH,
    format_us,
    policy_table,
    preset_lines,
    presets_table,
    summary,
)
from fairlead.sim.result import evaluate
from fairlead.sim.scenario import Scenario
from fairlead.sim.simulation import Simulation


def shown(renderable: object) -> str:
    console = Console(width=TABLE_WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def table(*clients: dict[str, Any]) -> str:
    scenario = Scenario.model_validate({"device": "ssd-20k", "seconds": 0.2, "clients": clients})
    result = evaluate(scenario, "fair", Simulation(scenario, "fair").run())
    return shown(policy_table(result)) + summary(result)


def row(text: str, name: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.strip().startswith(f"{name} ")]
    return re.split(r" {2,}", line.strip().replace(name, name + "  ", 1))


def test_a_row_says_what_was_due_and_what_was_got() -> None:
    text = table({"name": "anna"}, {"name": "ben", "weight": 3})
    assert row(text, "ben")[:3] == ["ben", "3", "75.0%"]
    assert "error" in text
    assert "Jain 1.0000" in text
    assert "refused" not in text


def test_who_asks_for_less_is_in_brackets_and_that_is_explained() -> None:
    text = table({"name": "anna", "depth": 1}, {"name": "ben"})
    assert row(text, "anna")[2].startswith("(")
    assert "asks for less" in text


def test_many_alike_are_one_row() -> None:
    text = table({"name": "idle", "count": 1000, "depth": 0}, {"name": "ben"})
    assert row(text, "idle x 1,000")[2:5] == ["-", "0.0%", "-"]


def test_rare_columns_are_there_when_they_say_something() -> None:
    text = table(
        {"name": "a", "guarantee": {"iops": 1000}, "limit": {"iops": 2000}},
        {"name": "b", "requests_per_s": 50_000, "queued_max": 10},
    )
    assert "guarantee" in text
    assert "limit" in text
    assert "refused" in text


def test_times_have_the_unit_that_fits() -> None:
    assert [format_us(us) for us in (None, 80.4, 1250.0, 2_100_000.0)] == [
        "-",
        "80 us",
        "1.25 ms",
        "2.10 s",
    ]


def test_presets_are_listed_with_what_they_can_do() -> None:
    text = shown(presets_table())
    assert row(text, "ssd-100k")[1:4] == ["1T", "8", "100,000"]
    assert row(text, "hdd-90")[5] == "89"


@pytest.mark.parametrize("line", preset_lines())
def test_every_line_of_the_presets_is_a_device(line: str) -> None:
    assert parse_device(line) == parse_device(line.partition(",")[0])
