"""Stages side by side: what they print, what happens when one fails or all are interrupted."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from scripts import lanes
from scripts.lanes import Lane, Lanes, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Logs go to a folder of the test's own, and an interruption concerns nobody else."""
    monkeypatch.setattr(lanes, "RESULTS", tmp_path)
    monkeypatch.setattr(lanes, "_children", lanes._Children())
    return tmp_path


def test_what_a_stage_prints_is_shown_in_one_piece(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints a line when the other has: mixed, if they were shown as they come."""
    meeting = threading.Barrier(2, timeout=30)

    def perform(stage: str) -> None:
        for number in range(3):
            meeting.wait()
            run([sys.executable, "-c", f"print('{stage} says {number}')"])

    Lanes(perform).run({"one": Lane(["first"]), "other": Lane(["second"], niceness=5)})
    shown = capsys.readouterr().out
    for stage, other in (("first", "second"), ("second", "first")):
        begin, end = shown.index(f"== {stage}\n"), shown.index(f"== {stage}: ")
        assert f"{stage} says 2\n" in shown[begin:end]
        assert other not in shown[begin:end]
        assert f"{stage} says 1\n" in (results / f"{stage}.log").read_text()


def test_a_lane_is_as_nice_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    def perform(stage: str) -> None:
        run([sys.executable, "-c", f"import os; print('{stage}', os.nice(0))"])

    Lanes(perform).run({"a": Lane(["courteous"], niceness=3), "b": Lane(["plain"])})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {words[0]: int(words[1]) for words in lines if words[:1] in (["courteous"], ["plain"])}
    assert found["courteous"] == min(found["plain"] + 3, 19)


def test_a_command_that_is_missing_fails_its_stage_alone(results: Path) -> None:
    statuses = {}

    def perform(stage: str) -> None:
        statuses[stage] = run(["/nowhere/program"] if stage == "bad" else ["true"])[0]

    Lanes(perform).run({"a": Lane(["bad", "after it"]), "b": Lane(["beside it"])})
    assert statuses == {"bad": 127, "after it": 0, "beside it": 0}
    assert "/nowhere/program" in (results / "bad.log").read_text()


def test_an_interruption_ends_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One ends when it is interrupted; one does not listen, and is killed."""
    monkeypatch.setattr(lanes, "_GOODBYE_S", 0.2)
    ready = threading.Barrier(3, timeout=30)
    statuses = {}

    def perform(stage: str) -> None:
        hears = "SIG_IGN" if stage == "deaf" else "SIG_DFL"
        program = (
            f"import signal; signal.signal(signal.SIGINT, signal.{hears})\n"
            "print('ready', flush=True)\n"
            "while True: signal.pause()"
        )
        output = lanes._output.get()
        with lanes._children.running([sys.executable, "-c", program], {}) as process:
            assert process.stdout is not None
            output.write(process.stdout.readline())
            ready.wait()
        statuses[stage] = process.returncode

    def interrupt(*_: object) -> None:
        ready.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(lanes, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Lanes(perform).run({"a": Lane(["deaf", "never begun"]), "b": Lane(["polite"])})
    assert statuses == {"deaf": -signal.SIGKILL, "polite": -signal.SIGINT}
