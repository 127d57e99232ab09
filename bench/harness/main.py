"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import image, machine, programs, report
from bench.harness.bars import BARELOOP, FAIRLEAD, TGT
from bench.harness.results import Results
from bench.harness.rotation import say
from bench.harness.scenario import NULL_SCENARIOS, SCENARIOS, Scenario
from bench.harness.sections import SECTIONS, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUICK_SECTIONS = ("compare",)
_IMAGE_BYTES = 512 << 20
_QUICK_IMAGE_BYTES = 256 << 20
_README = programs.BENCH / "README.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status.

    0: measured (bars may be missed; the report says so). 1: wrong options or nothing to build with.
    """
    options = _parser().parse_args(arguments)
    # An ended run ends its servers too: SIGTERM unwinds as Control-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.render is not None:
            results = Results.load(options.render)
        else:
            programs.build()
            results = _run(options)
            results.save(options.out)
            say(f"results are in {options.out}")
        figures = report.render(results)
        print(figures)
        if options.report:
            report.insert(_README, figures)
            say(f"figures are in {_README}")
    except (programs.BuildError, report.MarkerError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> Results:
    scenarios = tuple(
        scenario for scenario in SCENARIOS if fnmatch.fnmatch(scenario.name, options.scenarios)
    )
    if not scenarios:
        names = ", ".join(scenario.name for scenario in SCENARIOS)
        raise ValueError(f"--scenarios: nothing is like {options.scenarios!r}; there are {names}")
    options.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="fairlead-bench-", dir=options.scratch))
    try:
        plan = _plan(options, scratch, scenarios)
        say(f"image: {plan.image}")
        image.create(plan.image, size_bytes=options.image_bytes or _image_bytes(options))
        results = Results(
            machine=machine.describe(plan.image),
            settings={
                "quick": options.quick,
                "rounds": plan.rounds,
                "seconds": plan.seconds,
                "cpus": os.cpu_count() or 1,
            },
        )
        chosen = options.sections or (_QUICK_SECTIONS if options.quick else tuple(SECTIONS))
        for section in chosen:
            SECTIONS[section](plan, results)
        return results
    finally:
        if options.keep:
            say(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def _image_bytes(options: argparse.Namespace) -> int:
    return _QUICK_IMAGE_BYTES if options.quick else _IMAGE_BYTES


def _plan(options: argparse.Namespace, scratch: Path, scenarios: tuple[Scenario, ...]) -> Plan:
    quick = options.quick
    return Plan(
        image=scratch / "disk.img",
        scratch=scratch,
        scenarios=scenarios,
        servers=tuple(options.servers.split(",")),
        rounds=options.rounds or (1 if quick else 5),
        seconds=options.seconds or (0.6 if quick else 4.0),
        counted=NULL_SCENARIOS if quick else scenarios,
        syscall_seconds=0.3 if quick else 1.0,
        login_count=100 if quick else 1000,
        logins_at_once=20 if quick else 200,
        idle_sessions=options.idle_sessions or (500 if quick else 10_000),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Measures fairlead beside tgt and a bare loop, in turn, on loopback.",
        epilog="Leave the machine alone meanwhile; the method is in bench/README.md.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="the comparison only, short, in about a minute")
    add("--rounds", type=int, help="how often each cell is measured (5; quick: 1)")
    add("--seconds", type=float, help="length of one measurement (4; quick: 0.6)")
    add("--scenarios", default="*", help="only those whose name is like this (4k-*)")
    add(
        "--servers",
        default=f"{FAIRLEAD},{TGT},{BARELOOP}",
        help="which servers are compared, with commas between",
    )
    add(
        "--only",
        dest="sections",
        action="append",
        choices=sorted(SECTIONS),
        help="only this part of the run; may be repeated",
    )
    add("--image-bytes", type=int, help="size of the image (512 MiB; quick: 256 MiB)")
    add("--idle-sessions", type=int, help="how many idle sessions are held (10000; quick: 500)")
    add(
        "--scratch",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where the image and logs are put for the time of the run",
    )
    add("--keep", action="store_true", help="leave image and server logs in the scratch folder")
    add("--out", type=Path, default=programs.RESULTS, help="the result file to write")
    add("--report", action="store_true", help="write the figures into bench/README.md too")
    add(
        "--render",
        type=Path,
        metavar="FILE",
        help="measure nothing: report on this result file of an earlier run",
    )
    return parser
