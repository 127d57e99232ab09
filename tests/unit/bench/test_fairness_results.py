"""Rows, bars, and the page they are written to."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.fairness import main, report
from bench.fairness.experiment import Column, Unit, simulated
from bench.fairness.experiments import EXPERIMENTS
from bench.fairness.rows import Results, Row
from bench.fairness.targets import TARGETS, Target
from bench.harness.report import BEGIN, END

if TYPE_CHECKING:
    from pathlib import Path


def row(line: str, round_number: int = 1, *, case: str = "one-to-four", **figures: float) -> Row:
    return Row(
        experiment="shares", case=case, line=line, round_number=round_number, figures=figures
    )


def limit(*, at_most: float | None = None, at_least: float | None = None) -> Target:
    return Target(
        name="it",
        experiment="shares",
        case="one-to-four",
        figure="share",
        unit=Unit.PERCENT,
        at_most=at_most,
        at_least=at_least,
    )


def test_result_file_holds_everything(tmp_path: Path) -> None:
    results = Results(machine={"kernel": "6"}, settings={"rounds": 2, "seconds": None})
    results.rows = [row("fair", share=0.8), replace(row("fifo"), failure="no login")]
    results.absent["disk, a, tgt"] = "not installed"
    results.note("disk", "said twice, kept once")
    results.note("disk", "said twice, kept once")
    path = tmp_path / "results" / "run.json"
    results.save(path)
    assert Results.load(path) == results
    assert results.notes == {"disk": ["said twice, kept once"]}


@pytest.mark.parametrize("text", ['{"format": 0}', "[]"])
def test_result_file_of_another_format_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a result file of format 1"):
        Results.load(path)


def test_ratios_are_taken_within_rounds_and_leave_out_what_failed() -> None:
    results = Results(
        rows=[
            row("fair", 1, iops=20.0),
            row("fifo", 1, iops=10.0),
            row("fair", 2, iops=60.0),
            row("fifo", 2, iops=20.0),
            row("fair", 3, iops=1.0),
            row("fifo", 3),
        ]
    )
    assert results.ratios("shares", "one-to-four", ("fair", "fifo"), "iops") == [2.0, 3.0]


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (limit(at_most=0.8), True),
        (limit(at_most=0.79), False),
        (limit(at_least=0.8), True),
        (limit(at_least=0.81), False),
    ],
)
def test_a_bar_is_held_to_the_median(target: Target, *, is_met: bool) -> None:
    rounds = [row("fair", number, share=share) for number, share in enumerate((0.1, 0.8, 0.9), 1)]
    bar = target.bar(Results(rows=rounds))
    assert bar.measured == pytest.approx(80)
    assert bar.is_met is is_met


def test_a_bar_without_a_figure_is_not_met() -> None:
    bar = limit(at_most=1.0).bar(Results())
    assert bar.measured is None
    assert not bar.is_met
    assert report.verdict(bar) == "not measured"


def test_every_target_is_of_an_experiment_that_has_the_figure() -> None:
    for target in TARGETS:
        figures = {column.figure for column in EXPERIMENTS[target.experiment].columns}
        assert target.figure in figures, target.name
        assert (target.at_most is None) != (target.at_least is None), target.name
    assert len({target.name for target in TARGETS}) == len(TARGETS)


def test_what_differs_from_the_simulator_is_in_bold() -> None:
    results = Results(
        rows=[
            row("fair", share=0.6, busy=1.0, iops=100.0),
            row(simulated("fair"), share=0.8, busy=0.99),
        ]
    )
    found = report.agreement(results, EXPERIMENTS["shares"], "one-to-four", "fair")
    assert found == "**share 0.75**, device busy 1.01"
    assert report.agreement(results, EXPERIMENTS["shares"], "one-to-four", "tgt") == "-"


def test_report_has_medians_ranges_and_what_went_wrong() -> None:
    results = Results(
        settings={"rounds": 2, "seconds": None},
        rows=[
            row("fair", 1, share=0.7, error=0.5),
            row("fair", 2, share=0.9, error=0.5),
            replace(row("fifo"), failure="connection lost"),
        ],
        absent={"disk, a, tgt": "tgtd is not installed"},
    )
    text = report.render(results)
    assert "80.00 % (70.00..90.00)" in text
    assert "**NOT met**" in text
    assert "- shares, one-to-four, fifo, round 1: connection lost" in text
    assert "- absent: disk, a, tgt: tgtd is not installed" in text
    assert "`bench/fairness/run.py --only shares`" in text


def test_report_says_how_often_the_machine_was_not_left_alone() -> None:
    rows = [row("fair", 1, share=0.8, others=0.5), row("fair", 2, share=0.8, others=0.05)]
    text = report.render(Results(rows=rows))
    assert "- others used more than 0.1 CPUs in 1 of 2 turns" in text
    assert "0.275 (0.050..0.500)" in text


def test_bars_of_what_was_not_run_are_left_out() -> None:
    assert "arrival" not in report.render(Results(rows=[row("fair", share=0.8)]))
    assert report.render(Results()).strip() == ""


@pytest.mark.parametrize(
    ("unit", "values", "text"),
    [
        (Unit.PERCENT, [0.5], "50.00 %"),
        (Unit.COUNT, [1000.4, 3000.0, 2000.0], "2,000 (1,000..3,000)"),
        (Unit.TIMES, [], "-"),
    ],
)
def test_figures_have_their_units(unit: Unit, values: list[float], text: str) -> None:
    assert report.show(Column("it", "it", unit), values) == text


def test_readme_has_the_markers_and_every_experiment() -> None:
    text = main.README.read_text()
    assert text.index(BEGIN) < text.index(END)
    before = text[: text.index(BEGIN)]
    assert {name for name in EXPERIMENTS if re.search(rf"`{name}`", before)} == set(EXPERIMENTS)


@pytest.mark.parametrize(
    "arguments", [["--only", "nothing"], ["--rounds", "0"], ["--seconds", "0.1"]]
)
def test_wrong_options_end_it(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(arguments)


def test_an_earlier_run_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    Results(rows=[row("fair", share=0.8)]).save(path)
    assert main.main(["--render", str(path)]) == 0
    assert "### Shares" in capsys.readouterr().out
    assert main.main(["--render", str(tmp_path / "none.json")]) == 1
