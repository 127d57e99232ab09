"""Runs libiscsi's conformance suite against any target: python -m tests.conformance URL...

With several URLs (different logical units, whose data is destroyed) as many tests run at a time.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.conformance.libiscsi import FAMILIES, Verdict, listed_tests, run_tests


def main() -> int:
    """Prints every test that did not pass, with the tool's reason, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="+", help="iscsi://HOST:PORT/TARGET/LUN")
    parser.add_argument("--family", action="append", help="SCSI.Read10, iSCSI.iSCSITMF, ...")
    arguments = parser.parse_args()
    outcomes = run_tests(listed_tests(arguments.family or FAMILIES), arguments.url)
    for outcome in outcomes:
        if outcome.verdict is not Verdict.PASSED:
            print(outcome)
    counts = Counter(outcome.verdict for outcome in outcomes)
    print(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict))
    return int(any(counts[bad] for bad in Verdict if bad not in {Verdict.PASSED, Verdict.SKIPPED}))


if __name__ == "__main__":
    sys.exit(main())
