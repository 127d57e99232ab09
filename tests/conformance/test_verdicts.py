"""The judgement itself: what the tool prints, and what we make of it."""

from __future__ import annotations

import pytest

from tests.conformance.libiscsi import (
    Outcome,
    Recorded,
    Verdict,
    judge,
    listed_tests,
    surprises,
)

REPORT = """
Suite: Read10
  Test: Simple ...{said}{word}{after}

Run Summary:    Type  Total    Ran Passed Failed Inactive
              suites      1      1    n/a      0        0
               tests      1    {ran}      {passed}      {failed}        0
             asserts    {asserts}    {asserts}    {held}      {broken}      n/a
"""


def report(
    *,
    said: str = "",
    after: str = "",
    ran: int = 1,
    failed: int = 0,
    asserts: int = 5,
    broken: int = 0,
) -> str:
    return REPORT.format(
        said=said,
        after=after,
        word="FAILED" if failed or broken else "passed",
        ran=ran,
        passed=ran - failed,
        failed=failed,
        asserts=asserts,
        held=asserts - broken,
        broken=broken,
    )


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        (report(), Verdict.PASSED),
        (report(failed=1, broken=1), Verdict.FAILED),
        (report(broken=1), Verdict.FAILED),
        (report(asserts=0), Verdict.EMPTY),
        (report(said="\n    [SKIPPED] UNMAP is not supported\n"), Verdict.SKIPPED),
        ("    [SKIPPED] nothing of the test\n" + report(), Verdict.PASSED),
        (report() + "    [SKIPPED] nothing of the test\n", Verdict.PASSED),
        (report(after="    [SKIPPED] nothing of the test"), Verdict.PASSED),
        (report(said="\n    [SKIPPED] late\n", failed=1, broken=1), Verdict.FAILED),
        (report(ran=0), Verdict.CRASHED),
        ("Failed to connect\n", Verdict.CRASHED),
        ("", Verdict.CRASHED),
    ],
)
def test_judge(output: str, verdict: Verdict) -> None:
    assert judge("SCSI.Read10.Simple", output).verdict is verdict


def test_judge_keeps_the_reason_of_a_skip() -> None:
    outcome = judge("SCSI.Unmap.Simple", report(said="\n    [SKIPPED] not thin\n"))
    assert outcome.reason == "not thin"


def test_a_skip_with_another_reason_is_a_surprise() -> None:
    recorded = Recorded(
        test="SCSI.Unmap.*", verdict=Verdict.SKIPPED, says="not thin", because="the volume is thick"
    )
    same = Outcome(test="SCSI.Unmap.VPD", verdict=Verdict.SKIPPED, reason="it is not thin")
    other = Outcome(test="SCSI.Unmap.VPD", verdict=Verdict.SKIPPED, reason="no such device")
    assert surprises([same, other], [recorded]) == [other]


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.EMPTY, Verdict.HUNG, Verdict.CRASHED])
def test_a_recorded_skip_excuses_nothing_else(verdict: Verdict) -> None:
    recorded = Recorded(
        test="SCSI.Unmap.*", verdict=Verdict.SKIPPED, says="thin", because="the volume is thick"
    )
    outcome = Outcome(test="SCSI.Unmap.VPD", verdict=verdict, reason="not thin")
    assert surprises([outcome], [recorded]) == [outcome]


def test_a_recorded_defect_of_the_tool_excuses_only_that_failure() -> None:
    recorded = Recorded(test="iSCSI.A.B", verdict=Verdict.FAILED, says="a.c:1", because="bug")
    same = Outcome(test="iSCSI.A.B", verdict=Verdict.FAILED, reason="a.c:1")
    more = Outcome(test="iSCSI.A.B", verdict=Verdict.FAILED, reason="a.c:1; a.c:2")
    assert surprises([same, more], [recorded]) == [more]


def test_every_family_is_listed_and_a_misspelt_one_is_refused() -> None:
    tests = listed_tests()
    assert len(tests) == len(set(tests)) > 100
    with pytest.raises(LookupError, match=r"SCSI\.Raed10"):
        listed_tests(["SCSI.Raed10"])
