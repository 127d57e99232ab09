"""Which stages there are, where they run, and what of the tests each takes."""

from __future__ import annotations

from collections import Counter

from scripts import run_checks
from scripts.check_summary import Summary
from tests.tidy.source_tree import ROOT


def test_every_lane_has_stages_that_exist_and_none_is_in_two() -> None:
    counts = Counter(stage for lane in run_checks.LANES.values() for stage in lane.stages)
    assert counts.keys() <= run_checks.STAGES.keys()
    assert set(counts.values()) == {1}


def test_what_needs_a_quiet_machine_is_in_no_lane() -> None:
    assert not any("python-quiet" in lane.stages for lane in run_checks.LANES.values())


def test_python_stands_for_all_its_parts() -> None:
    assert run_checks.chosen(None) == list(run_checks.STAGES)
    parts = ["python-units", "python-peers", "python-disks", "python-quiet"]
    assert run_checks.chosen(["python"]) == ["python", *parts]
    assert run_checks.chosen(["fuzz", "python-peers"]) == ["fuzz", "python-peers"]


def test_each_folder_is_taken_by_one_stage() -> None:
    """One that is in no list is taken by the stage "python"."""
    lists = (run_checks.PEERS, run_checks.DISKS, run_checks.UNITS, run_checks.CONFORMANCE)
    taken = [folder for folders in lists for folder in folders]
    assert len(taken) == len(set(taken))
    assert all((ROOT / folder).is_dir() for folder in taken)


def test_a_stage_that_fails_without_a_test_counts() -> None:
    summary = Summary()
    summary.add("rust", Summary(counts=Counter(passed=3)), has_passed=True)
    summary.add("lint", Summary(), has_passed=False)
    bad = Summary(counts=Counter(failed=1), failures=["tests.x::y"])
    summary.add("python-peers", bad, has_passed=False)
    assert summary.counts == {"passed": 3, "failed": 2}
    assert summary.failed_stages == ["lint", "python-peers"]
    assert summary.failures == ["python-peers: tests.x::y"]
