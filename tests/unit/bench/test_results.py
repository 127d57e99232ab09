"""Medians, ratios, bars and the page they are written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.harness import bars, report
from bench.harness.measure import Measurement
from bench.harness.results import Results, median, ratio, spread


def row(server: str, round_number: int, **figures: Any) -> Measurement:
    figures = {"scenario": "4k-read-d32", "commands": 1000, "seconds": 1.0, **figures}
    return Measurement(server=server, round_number=round_number, **figures)


def cpu(measured: Measurement) -> float:
    return measured.server_cpu_us


def iops(measured: Measurement) -> float:
    return measured.iops


def comparison(*, fairlead_us: float, client_cores: float = 0.5, factor: float = 4.0) -> Results:
    rows = []
    for number in (1, 2, 3):
        for server, us, rate in (
            ("fairlead", fairlead_us, 20_000 * factor),
            ("tgt", 40.0, 20_000.0),
            ("bareloop", 4.0, 200_000.0),
        ):
            rows += [
                row(
                    server,
                    number,
                    server_cpu_us=us,
                    iops=rate,
                    busiest_client_cores=client_cores if server == "fairlead" else 0.1,
                )
            ]
    return Results(settings={"cpus": 2, "rounds": 3, "seconds": 1.0}, comparison=rows)


def verdicts(results: Results) -> dict[str, bars.Bar]:
    return {bar.name: bar for bar in bars.compute(results)}


def test_ratio_is_taken_within_each_round() -> None:
    """The machine was three times slower in round 2: it slowed both, the ratio stays."""
    rows = [
        row("a", 1, server_cpu_us=2.0),
        row("b", 1, server_cpu_us=1.0),
        row("a", 2, server_cpu_us=6.0),
        row("b", 2, server_cpu_us=3.0),
    ]
    assert ratio(rows, ("a", "b"), "4k-read-d32", cpu) == 2.0


def test_ratio_leaves_out_rounds_in_which_one_of_the_two_failed() -> None:
    rows = [
        row("a", 1, iops=30.0),
        row("b", 1, iops=10.0),
        row("a", 2, iops=90.0),
        row("b", 2, failure="no login"),
    ]
    assert ratio(rows, ("a", "b"), "4k-read-d32", iops) == 3.0


def test_failed_rounds_are_in_no_median() -> None:
    rows = [row("a", 1, iops=10.0), row("a", 2, failure="stalled"), row("a", 3, iops=30.0)]
    assert median(rows, "a", "4k-read-d32", iops) == 20.0
    assert spread(rows, "a", "4k-read-d32", iops) == (10.0, 30.0)
    assert median(rows, "a", "another scenario", iops) is None


def test_result_file_holds_everything(tmp_path: Path) -> None:
    results = comparison(fairlead_us=8.0)
    results.absent["tgt"] = "not installed"
    results.syscalls = {"4k-read-d32": {"fairlead": 0.2, "tgt": "no perf"}}
    path = tmp_path / "results" / "run.json"
    results.save(path)
    assert Results.load(path) == results


def test_result_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"format": 0}')
    with pytest.raises(ValueError, match="not a result file of format 1"):
        Results.load(path)


@pytest.mark.parametrize(("fairlead_us", "is_met"), [(10.0, True), (10.1, False)])
def test_cpu_bar(fairlead_us: float, *, is_met: bool) -> None:
    bar = verdicts(comparison(fairlead_us=fairlead_us))["server CPU per 4 KiB read at depth 32"]
    assert bar.measured == fairlead_us
    assert bar.is_met is is_met


def test_missed_iops_bar_names_the_client_as_the_limit() -> None:
    name = "IOPS against tgt, 4k-read-d32"
    limited = verdicts(comparison(fairlead_us=8.0, client_cores=0.97, factor=2.0))[name]
    assert not limited.is_met
    assert limited.remark == "client-limited: the load program used 0.97 of one CPU"
    free = verdicts(comparison(fairlead_us=8.0, factor=2.0))[name]
    assert free.remark == "the bare loop itself: 10.00 times"


def test_bar_without_measurement_is_not_met() -> None:
    bar = verdicts(Results())["resident memory of an idle session"]
    assert bar.measured is None
    assert not bar.is_met


def test_report_has_medians_ratios_and_verdicts() -> None:
    text = report.render(comparison(fairlead_us=12.0))
    assert "**not met**" in text
    assert "| 4k-read-d32 |" in text
    # 12 us against 4 us; 80,000 IOPS against 20,000.
    assert "3.00" in text
    assert "80,000" in text


def test_report_names_what_is_missing() -> None:
    results = comparison(fairlead_us=5.0)
    results.absent["tgt"] = "tgt: tgtd is not installed"
    results.comparison.append(row("fairlead", 4, failure="connection lost"))
    text = report.render(results)
    assert "- absent: tgt: tgtd is not installed" in text
    assert "- 4k-read-d32, fairlead, round 4: connection lost" in text


def test_report_of_an_empty_run_says_so_without_tables() -> None:
    assert "|" not in report.render(Results())


def test_figures_replace_what_stands_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.insert(page, "new\n")
    report.insert(page, "newer\n")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnewer\n\n{report.END}\nafter\n"


@pytest.mark.parametrize("text", ["", report.BEGIN, report.END, f"{report.END}\n{report.BEGIN}"])
def test_page_without_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "README.md"
    page.write_text(text)
    with pytest.raises(report.MarkerError, match="needs a line"):
        report.insert(page, "figures")
    assert page.read_text() == text


def test_readme_has_the_markers() -> None:
    text = (Path(report.__file__).parent.parent / "README.md").read_text()
    assert text.index(report.BEGIN) < text.index(report.END)


def test_table_is_aligned() -> None:
    assert report.table(("a", "long"), [("first", "1"), ("b", "22")]) == (
        "| a     | long |\n| ----- | ---: |\n| first |    1 |\n| b     |   22 |"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.00"), (3.14159, "3.14"), (46.25, "46.2"), (220_000.4, "220,000")],
)
def test_number_keeps_about_three_digits(value: float | None, text: str) -> None:
    assert report.number(value) == text
