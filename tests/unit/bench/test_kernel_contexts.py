"""Lines, figures, bars, progress and picture of the measurements of kernel contexts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.fairness.rows import Results, Row
from bench.fairness.sample import ClientSample, Sample
from bench.harness import process
from bench.harness.load import LoadResult
from bench.harness.report import BEGIN, END
from bench.harness.server import ServerAbsentError
from bench.kernel_contexts import counting, main, picture, targets
from bench.kernel_contexts.experiment import compare, due_error, figures, jain
from bench.kernel_contexts.experiments import EXPERIMENTS, STREAMS, WEIGHTS, readers
from bench.kernel_contexts.lines import (
    OFF_FAIR,
    OFF_FIFO,
    PER_CONTEXT,
    PER_DEVICE,
    RING,
    Line,
    LineServer,
    by_session,
    why_refused,
)
from bench.kernel_contexts.progress import Progress, format_s
from fairlead.model.config import Config
from fairlead.sim.client import ClientConfig

VOLUMES = (Path("/dev/loop7p1"), Path("/dev/loop7p2"))
RUN_MAX_S = 600


def row(line: str, round_number: int = 1, *, case: str = "BFQ", **given: float) -> Row:
    return Row(experiment="streams", case=case, line=line, round_number=round_number, figures=given)


def client(name: str, mb_per_s: float) -> ClientSample:
    return ClientSample(
        name=name,
        commands=10,
        seconds=1.0,
        iops=10.0,
        mb_per_s=mb_per_s,
        p50_us=1.0,
        p99_us=2.0,
        timeline=None,
    )


def sample_of(**rates: float) -> Sample:
    run: dict[str, Any] = {
        "commands": 10,
        "seconds": 1.0,
        "bytes": 10 * 4096,
        "latency_bins_ns": [[1000, 10]],
        "latency_us": {"mean": 1.0, "max": 2.0},
        "client_cpu": {"user_s": 0.1, "system_s": 0.1},
    }
    clients = {name: client(name, rate) for name, rate in rates.items()}
    total = LoadResult.merge([run])
    return Sample(clients=clients, run_s=1.0, total=total, server_cpu_us=3.0)


# Lines and what they are served by.


@pytest.mark.parametrize(
    ("line", "pool", "scheduler"),
    [
        (OFF_FIFO, "shared", "fifo"),
        (OFF_FAIR, "shared", "fair"),
        (PER_CONTEXT, "per_context", "fifo"),
        (PER_DEVICE, "per_device", "fifo"),
    ],
)
def test_a_line_is_a_document(line: Line, pool: str, scheduler: str) -> None:
    clients = readers(2, weights=(4, 1))
    config = Config.model_validate(tomllib.loads(line.document(VOLUMES, clients)))
    assert (config.engine.submitters, config.engine.pool) == (1, pool)
    assert config.engine.scheduler == scheduler
    assert [(v.name, v.kind, v.path) for v in config.volumes] == [
        ("part1", "direct", "/dev/loop7p1"),
        ("part2", "direct", "/dev/loop7p2"),
    ]
    assert [rule.weight for rule in config.shares] == [4, 1]


def test_settings_of_a_line_are_in_its_document() -> None:
    engine = tomllib.loads(RING.document(VOLUMES, ()))["engine"]
    assert (engine["kernel_context"], engine["kernel_rings_polled"]) == ("ring", False)


def test_by_session_every_session_is_a_client() -> None:
    line = by_session(PER_CONTEXT)
    config = Config.model_validate(tomllib.loads(line.document(VOLUMES, ())))
    assert (config.grouping, line.label) == ("session", "per_context, by session")


def test_a_line_that_is_not_taken_says_which_word() -> None:
    document = Line(label="a", what="b", engine={"no_such_word": True}).document(VOLUMES, ())
    assert why_refused(document) == "this fairlead does not take engine.no_such_word: no such field"
    assert why_refused(OFF_FIFO.document(VOLUMES, ())) is None


def test_a_line_that_is_not_taken_is_not_started(tmp_path: Path) -> None:
    line = Line(label="a", what="b", engine={"pool": "per_cent"})
    server = LineServer(line, volumes=VOLUMES, clients=(), scratch=tmp_path)
    with pytest.raises(ServerAbsentError, match=r"does not take engine\.pool"):
        server.start()
    assert not list(tmp_path.iterdir())


# Experiments.


def test_two_readers_are_half_a_disk_apart() -> None:
    assert [one.name for one in readers(2)] == ["part1", "part5"]
    assert [one.name for one in readers(4)] == ["part1", "part3", "part5", "part7"]


def test_everything_takes_less_than_ten_minutes() -> None:
    assert Progress(list(EXPERIMENTS.values()), lambda: 0.0).left_s < RUN_MAX_S


def test_lengths_are_given_in_place_of_its_own() -> None:
    scaled = STREAMS.scaled(rounds=7, seconds=0.5)
    assert (scaled.rounds, {cell.seconds for cell in scaled.cells}) == (7, {0.5})
    assert STREAMS.scaled(rounds=None, seconds=None) == STREAMS


def test_every_case_of_an_experiment_has_a_name_of_its_own() -> None:
    for one in EXPERIMENTS.values():
        assert len({cell.case for cell in one.cells}) == len(one.cells)
        assert len({line.label for line in one.lines}) == len(one.lines)


def test_time_left_goes_by_the_pace_so_far() -> None:
    times = iter([0.0, 5.0, 100.0])
    progress = Progress([STREAMS], lambda: next(times))
    planned_s = progress.left_s
    assert planned_s == pytest.approx(STREAMS.round_s * STREAMS.rounds * len(STREAMS.lines))
    progress.begin(STREAMS, lines=0)
    assert progress.left_s == 0
    assert format_s(125.9) == "2:05"


# Figures.


@pytest.mark.parametrize(
    ("amounts", "index"),
    [([5.0, 5.0], 1.0), ([1.0, 0.0, 0.0, 0.0], 0.25), ([0.0], None), ([], None)],
)
def test_jain(amounts: list[float], index: float | None) -> None:
    assert jain(amounts) == index


@pytest.mark.parametrize(
    ("amounts", "error"),
    [([40.0, 10.0], 0.0), ([46.0, 10.0], 0.15), ([10.0, 10.0], 0.75), ([1.0, 0.0], None)],
)
def test_what_is_off_is_told_as_a_part_of_what_is_due(
    amounts: list[float], error: float | None
) -> None:
    assert due_error(amounts, (4, 1)) == (None if error is None else pytest.approx(error))


def test_figures_of_two_clients() -> None:
    clients = (ClientConfig(name="a", weight=4), ClientConfig(name="b"))
    found = figures(sample_of(a=30.0, b=10.0), clients)
    assert (found["mb_per_s"], found["ratio"], found["due_error"]) == (40.0, 3.0, 0.25)
    assert found["jain"] == pytest.approx(0.8)


def test_figures_of_one_client_have_no_ratio() -> None:
    found = figures(sample_of(a=30.0), (ClientConfig(name="a"),))
    assert (found["mb_per_s"], found["ratio"], found["due_error"]) == (30.0, None, None)


def test_figures_are_compared_within_case_and_round() -> None:
    off, ring = OFF_FIFO.label, RING.label
    results = Results(
        rows=[
            row(off, mb_per_s=8.0),
            row(ring, mb_per_s=60.0),
            row(off, 2, mb_per_s=10.0),
            row(ring, 2, mb_per_s=50.0),
            row(ring, 3, mb_per_s=1.0),
            row(ring, 1, case="none", mb_per_s=7.0),
        ]
    )
    compare(results, STREAMS)
    assert [one.figures.get("by_off") for one in results.rows] == [1, 7.5, 1, 5, None, None]


def test_last_line_is_the_median_of_the_rounds_below_bfq() -> None:
    off, ring = OFF_FIFO.label, RING.label
    rows = [row(off, n, mb_per_s=10.0) for n in (1, 2, 3)]
    rows += [row(ring, n, mb_per_s=value) for n, value in ((1, 70.0), (2, 71.24), (3, 90.0))]
    rows += [row(ring, 1, case="none", mb_per_s=1.0), row(off, 1, case="none", mb_per_s=1.0)]
    assert targets.last_line(Results(rows=rows)) == "ring/off: 7.1"


def test_last_line_says_what_was_not_measured() -> None:
    only_off = Results(rows=[row(OFF_FIFO.label, mb_per_s=8.0)])
    assert targets.last_line(only_off) == "ring/off: not measured"


def test_bars_are_of_what_is_measured() -> None:
    assert targets.TARGETS
    for target in targets.TARGETS:
        experiment = EXPERIMENTS[target.experiment]
        assert target.case in {cell.case for cell in experiment.cells}
        assert target.line in {line.label for line in experiment.lines}
    weights = [one for one in targets.TARGETS if one.experiment == WEIGHTS.name]
    assert {one.at_most for one in weights} == {0.15}


# Counting.


def test_schedstat_is_time_and_turns() -> None:
    assert counting.parse_schedstat("6585 120 9\n") == (6585, 9)


def test_submitters_are_told_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"1": "python", "2": "submitter0", "3": "submitter0-io1", "4": "submitter12"}
    for thread, name in names.items():
        (tmp_path / "1" / "task" / thread).mkdir(parents=True)
        (tmp_path / "1" / "task" / thread / "comm").write_text(f"{name}\n")
    monkeypatch.setattr(process, "PROC", tmp_path)
    monkeypatch.setattr(process, "tree", lambda root: [root])
    assert counting.submitters_of(1) == (2, 4)


# Page, picture, command line.


def test_picture_shows_every_line_that_was_measured() -> None:
    rows = [row(OFF_FIFO.label, mb_per_s=7.9), row(RING.label, case="none", mb_per_s=60.04)]
    drawn = picture.draw(Results(rows=rows))
    words = re.findall(r">([^<]+)</text>", drawn)
    assert {"off, fifo", "ring", "7.9", "60.0"} <= set(words)
    assert "priority" not in words


def test_picture_of_nothing_is_a_picture() -> None:
    assert picture.draw(Results()).endswith("</svg>\n")


def test_page_has_the_markers_the_experiments_and_the_lines() -> None:
    text = main.PAGE.read_text()
    assert text.index(BEGIN) < text.index(END)
    before = text[: text.index(BEGIN)]
    labels = {line.label for one in EXPERIMENTS.values() for line in one.lines}
    for name in {*EXPERIMENTS, *(label for label in labels if "by session" not in label)}:
        assert re.search(rf"`{re.escape(name)}`", before), name


def test_an_earlier_run_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    Results(rows=[row(OFF_FIFO.label, mb_per_s=8.0), row(RING.label, mb_per_s=56.0)]).save(path)
    assert main.main(["--render", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ring/off: 7.0"


def test_without_root_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main.main([]) == 1
    assert "need root" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--rounds", "0"]])
def test_wrong_options_end_it(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(arguments)
