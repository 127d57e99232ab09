"""Runs tests of libiscsi's conformance suite, each in a process of its own, and judges them.

The suite's own exit code and summary do not tell a test that was skipped from one that passed, nor
one that asserted nothing from one that checked something; and a single hanging test would take all
others with it. So every test is run by itself, with a limit of time, and gets one of six verdicts.
"""

from __future__ import annotations

import re
import subprocess
import threading
import tomllib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PROGRAM = "iscsi-test-cu"
TEST_TIMEOUT_S = 30.0

# The families that this target serves, as `iscsi-test-cu --list` names them.
FAMILIES = (
    "SCSI.Read6",
    "SCSI.Read10",
    "SCSI.Read12",
    "SCSI.Read16",
    "SCSI.Write10",
    "SCSI.Write12",
    "SCSI.Write16",
    "SCSI.WriteVerify10",
    "SCSI.WriteVerify12",
    "SCSI.WriteVerify16",
    "SCSI.Verify10",
    "SCSI.Verify12",
    "SCSI.Verify16",
    "SCSI.Inquiry",
    "SCSI.ReadCapacity10",
    "SCSI.ReadCapacity16",
    "SCSI.TestUnitReady",
    "SCSI.ModeSense6",
    "SCSI.Mandatory",
    "SCSI.Reserve6",
    "SCSI.PrinReadKeys",
    "SCSI.PrinReportCapabilities",
    "SCSI.PrinServiceactionRange",
    "SCSI.ProutRegister",
    "SCSI.ProutReserve",
    "SCSI.ProutClear",
    "SCSI.ProutPreempt",
    "SCSI.Prefetch10",
    "SCSI.Prefetch16",
    "SCSI.Unmap",
    "SCSI.WriteSame10",
    "SCSI.WriteSame16",
    "SCSI.CompareAndWrite",
    "iSCSI.iSCSIcmdsn",
    "iSCSI.iSCSIdatasn",
    "iSCSI.iSCSIResiduals",
    "iSCSI.iSCSITMF",
)


class Verdict(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    """It ran, asserted something, and nothing failed."""
    SKIPPED = "skipped"
    """The tool said why it did not test; nothing failed."""
    FAILED = "failed"
    EMPTY = "empty"
    """It ran to its end and asserted nothing, without saying why."""
    HUNG = "hung"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict on one test, and the tool's own words where it did not pass."""

    test: str
    verdict: Verdict
    reason: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.verdict:8} {self.test}: {self.reason}" if self.reason else self.test


def listed_tests(families: Iterable[str] = FAMILIES) -> list[str]:
    """Names the tests of these families, in the tool's order.

    Raises:
        LookupError: the tool has no test of a family; a misspelt family must not pass silently.
    """
    run = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=False)
    names = run.stdout.split()
    tests: list[str] = []
    for family in families:
        members = [name for name in names if name.startswith(f"{family}.")]
        if not members:
            message = f"{PROGRAM} lists no test of {family}"
            raise LookupError(message)
        tests += members
    return tests


def judge(test: str, output: str) -> Outcome:
    """Reads the tool's report of one test."""
    ran = re.search(r"^ *tests +(\d+) +(\d+) +(\d+) +(\d+)", output, re.MULTILINE)
    asserts = re.search(r"^ *asserts +(\d+) +(\d+) +(\d+) +(\d+)", output, re.MULTILINE)
    if ran is None or asserts is None or ran[2] != "1":
        return Outcome(test=test, verdict=Verdict.CRASHED, reason=_last_words(output))
    if int(ran[4]) or int(asserts[4]):
        failures = re.findall(r"^ *\d+\. (\S+ +- .*?\))(?: {4}.*)?$", output, re.MULTILINE)
        reason = "; ".join(failures) or _last_words(output)
        return Outcome(test=test, verdict=Verdict.FAILED, reason=reason)
    skips = [text.strip() for text in re.findall(r"\[SKIPPED\]\s*(.*)", _said_by_test(output))]
    if skips:
        return Outcome(test=test, verdict=Verdict.SKIPPED, reason=" ".join(dict.fromkeys(skips)))
    if not int(asserts[3]):
        claims = re.findall(r"\[(?:SUCCESS|WARNING)\].*", _said_by_test(output))
        reason = "; ".join(claims) or "asserted nothing"
        return Outcome(test=test, verdict=Verdict.EMPTY, reason=reason)
    return Outcome(test=test, verdict=Verdict.PASSED)


def run_test(test: str, url: str, *, timeout_s: float = TEST_TIMEOUT_S) -> Outcome:
    """Runs one test against one logical unit, whose data it may destroy."""
    # --Verbose-scsi: some tests say only there what they found.
    command = [PROGRAM, "--dataloss", "--allow-sanitize", "--verbose", "--Verbose-scsi"]
    command += [f"--test={test}", url]
    try:
        run = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(test=test, verdict=Verdict.HUNG, reason=f"no end within {timeout_s:g} s")
    return judge(test, run.stdout)


def run_tests(tests: Sequence[str], urls: Sequence[str]) -> list[Outcome]:
    """Runs the tests, as many at a time as there are logical units, one on each.

    Tests write, reset and fill the whole unit, so two never share one.
    """
    waiting = deque(tests)
    outcomes: dict[str, Outcome] = {}
    lock = threading.Lock()

    def work(url: str) -> None:
        while True:
            with lock:
                if not waiting:
                    return
                test = waiting.popleft()
            outcomes[test] = run_test(test, url)

    with ThreadPoolExecutor(max_workers=len(urls)) as workers:
        for job in [workers.submit(work, url) for url in urls]:
            job.result()
    return [outcomes[test] for test in tests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A test that does not pass in the plain sense, and why the target is not at fault."""

    test: str
    """A name, or a pattern with `*`."""
    verdict: Verdict
    """SKIPPED, EMPTY (it asserts only when something is wrong), or FAILED (the tool is)."""
    says: str
    """What the tool prints: for a failure the whole of it, otherwise a part."""
    because: str
    """Why that is right."""

    def covers(self, outcome: Outcome) -> bool:
        """Tells whether this is what was recorded, and nothing else."""
        is_said = (
            self.says == outcome.reason
            if self.verdict is Verdict.FAILED
            else self.says in outcome.reason
        )
        return (
            fnmatchcase(outcome.test, self.test)
            and outcome.verdict is self.verdict
            and bool(self.says)
            and is_said
        )


def recorded_outcomes(path: Path) -> list[Recorded]:
    """Reads the recorded list."""
    rows = tomllib.loads(path.read_text())["recorded"]
    return [Recorded(**row | {"verdict": Verdict(row["verdict"])}) for row in rows]


def surprises(outcomes: Iterable[Outcome], recorded: Sequence[Recorded]) -> list[Outcome]:
    """The outcomes that are neither passed nor recorded."""
    return [
        outcome
        for outcome in outcomes
        if outcome.verdict is not Verdict.PASSED
        and not any(record.covers(outcome) for record in recorded)
    ]


def _said_by_test(output: str) -> str:
    """What the test itself printed, from its name to CUnit's word about it.

    The suite's set-up and its end also say [SKIPPED], of commands that they would have liked.
    """
    _, _, rest = output.partition("  Test: ")
    _, _, said = rest.partition("...")
    end = re.search(r"\A(passed|FAILED)|^(passed|FAILED)|^Run Summary", said, re.MULTILINE)
    return said[: end.start()] if end else said


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
