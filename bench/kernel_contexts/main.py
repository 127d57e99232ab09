"""The command line of the measurements of kernel contexts."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.fairness import report
from bench.fairness.kernel_io import KernelIoError
from bench.fairness.main import NOT_OURS, duration_s, positive
from bench.fairness.rows import Results
from bench.harness import machine, programs
from bench.harness.report import MarkerError, insert
from bench.harness.rotation import say
from bench.kernel_contexts import experiment, picture, targets
from bench.kernel_contexts.block_disk import (
    BFQ,
    MODEL,
    BlockDisk,
    MemoryDisk,
    SeekingDisk,
    why_no_disks,
)
from bench.kernel_contexts.experiments import EXPERIMENTS, PARTS
from bench.kernel_contexts.progress import Progress, format_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.kernel_contexts.experiment import Measured

PAGE: Final = programs.BENCH / "kernel-contexts" / "README.md"
PICTURE: Final = programs.BENCH / "kernel-contexts" / "streams.svg"
RESULTS: Final = programs.REPOSITORY / ".results" / "kernel-contexts.json"
_MEMORY_BYTES: Final = 256 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status.

    The last line of standard output is ``ring/off: N.N``. 0: measured (bars may be missed; the
    report says so). 1: wrong options, or the machine lacks something.
    """
    options = _parser().parse_args(arguments)
    # However we are asked to end, what was borrowed from the kernel is given back.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        if options.render is not None:
            results = Results.load(options.render)
        else:
            if (reason := why_no_disks()) is not None:
                raise KernelIoError(reason)
            programs.build(programs.LOAD)
            results = _run(options)
        figures = report.render(results, EXPERIMENTS.values(), targets.TARGETS)
        print(figures)
        if options.report:
            insert(PAGE, figures)
            PICTURE.write_text(picture.draw(results))
            say(f"figures are in {PAGE}")
    except (programs.BuildError, MarkerError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    print(targets.last_line(results))
    return 0


def _run(options: argparse.Namespace) -> Results:
    chosen = [
        one.scaled(rounds=options.rounds, seconds=options.seconds)
        for name, one in EXPERIMENTS.items()
        if name in (options.experiments or EXPERIMENTS)
    ]
    scratch = Path(tempfile.mkdtemp(prefix="fairlead-kernel-contexts-"))
    try:
        described = machine.describe(scratch)
        results = Results(
            machine={name: value for name, value in described.items() if name not in NOT_OURS},
            settings={
                "rounds": options.rounds or "each experiment's own",
                "lengths": "as long as the experiment says",
                "seconds": options.seconds,
                "cpus": os.cpu_count() or 1,
            },
        )
        progress = Progress(chosen, time.monotonic)
        say(f"about {format_s(progress.left_s)} in all")
        for on in experiment.On:
            here = [one for one in chosen if one.on is on]
            if here:
                _run_on(on, here, scratch=scratch, results=results, progress=progress)
            # After each: what takes long is not lost with what comes after it.
            results.save(options.json)
        say(f"results are in {options.json}")
        return results
    finally:
        if options.keep:
            say(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def _run_on(
    on: experiment.On,
    experiments: Sequence[Measured],
    *,
    scratch: Path,
    results: Results,
    progress: Progress,
) -> None:
    mountpoint = scratch / "mount"
    disk: BlockDisk
    if on is experiment.On.SEEKING:
        mountpoint.mkdir()
        disk = SeekingDisk(mountpoint, parts=PARTS)
    else:
        disk = MemoryDisk(size_bytes=_MEMORY_BYTES)
    with disk:
        disk.use(BFQ)  # Whoever lacks it is told so at once.
        for one in experiments:
            say(one.title.lower())
            experiment.run(one, disk, scratch=scratch, results=results, progress=progress)
    if isinstance(disk, SeekingDisk) and disk.stats:
        results.machine["disk with a head"] = (
            f"{MODEL}, {disk.stats['answered']:.0f} requests, answered late by "
            f"{disk.stats['late_p50_us']:.0f} us (p50), {disk.stats['late_p99_us']:.0f} us (p99)"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/kernel_contexts/run.py",
        description="Measures what the kernel's elevator does for clients when fairlead shows them "
        "to it, and what that costs.",
        epilog="Leave the machine alone meanwhile; the method is in "
        "bench/kernel-contexts/README.md.",
    )
    add = parser.add_argument
    add(
        "--only",
        dest="experiments",
        action="append",
        choices=list(EXPERIMENTS),
        help="only this experiment; may be repeated",
    )
    add("--rounds", type=positive, help="how often each line has its turn, in place of its own")
    add("--seconds", type=duration_s, help="length of each run, in place of its own")
    add("--keep", action="store_true", help="leave documents and server logs in the scratch folder")
    add("--json", type=Path, default=RESULTS, metavar="FILE", help="the result file to write")
    add("--report", action="store_true", help="write figures and picture into the page too")
    add(
        "--render",
        type=Path,
        metavar="FILE",
        help="measure nothing: report on this result file of an earlier run",
    )
    return parser
