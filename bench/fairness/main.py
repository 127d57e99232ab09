"""The command line of the fairness measurements."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.fairness import report
from bench.fairness.experiment import Plan
from bench.fairness.experiments import EXPERIMENTS
from bench.fairness.rows import Results
from bench.harness import machine, programs
from bench.harness.report import MarkerError, insert
from bench.harness.rotation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = programs.REPOSITORY / ".results" / "fairness.json"
README = programs.BENCH / "fairness" / "README.md"
_ROUNDS = 5
_IMAGE_BYTES = 2 << 30
# Of the machine's description: what says something of an image in the page cache.
NOT_OURS = ("image", "page cache reclaim")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status.

    0: measured (bars may be missed; the report says so). 1: wrong options or nothing to build with.
    """
    options = _parser().parse_args(arguments)
    # However we are asked to end, what was borrowed from the kernel is given back.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        if options.render is not None:
            results = Results.load(options.render)
        else:
            programs.build(programs.LOAD)
            results = _run(options)
        figures = report.render(results)
        print(figures)
        if options.report:
            insert(README, figures)
            say(f"figures are in {README}")
    except (programs.BuildError, MarkerError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> Results:
    chosen = options.experiments or list(EXPERIMENTS)
    options.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="fairlead-fairness-", dir=options.scratch))
    try:
        described = machine.describe(scratch)
        results = Results(
            machine={name: text for name, text in described.items() if name not in NOT_OURS},
            settings={
                "rounds": options.rounds,
                "seconds": options.seconds,
                "cpus": os.cpu_count() or 1,
            },
        )
        plan = Plan(
            scratch=scratch,
            rounds=options.rounds,
            seconds=options.seconds,
            image_bytes=options.image_bytes,
        )
        for name in chosen:
            say(EXPERIMENTS[name].title.lower())
            EXPERIMENTS[name].run(plan, results)
            # After each: what takes long is not lost with what comes after it.
            results.save(options.json)
        say(f"results are in {options.json}")
        return results
    finally:
        if options.keep:
            say(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/fairness/run.py",
        description="Measures who gets what beside whom: fairlead with fair queueing and without, "
        "in turn, over real sockets and in virtual time.",
        epilog="Leave the machine alone meanwhile; the method is in bench/fairness/README.md.",
    )
    add = parser.add_argument
    add(
        "--only",
        dest="experiments",
        action="append",
        choices=list(EXPERIMENTS),
        help="only this experiment; may be repeated",
    )
    add("--rounds", type=positive, default=_ROUNDS, help="how often each line has its turn (5)")
    add(
        "--seconds",
        type=duration_s,
        help="length of a run, where its own times are not the point; by default the scenario's",
    )
    add(
        "--image-bytes",
        type=positive,
        default=_IMAGE_BYTES,
        help="size of the file on the real disk (2 GiB)",
    )
    add(
        "--scratch",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where the image and logs are put for the time of the run; on the disk to measure",
    )
    add("--keep", action="store_true", help="leave documents and server logs there")
    add("--json", type=Path, default=RESULTS, metavar="FILE", help="the result file to write")
    add("--report", action="store_true", help="write the figures into README.md too")
    add(
        "--render",
        type=Path,
        metavar="FILE",
        help="measure nothing: report on this result file of an earlier run",
    )
    return parser


def positive(text: str) -> int:
    """Read a number of times."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def duration_s(text: str) -> float:
    """Read the length of a run."""
    seconds = float(text)
    if not 0.4 <= seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text} is outside 0.4..600")
    return seconds
