"""``fairlead calibrate``: how fast a device is, and what its requests cost."""

from __future__ import annotations

import json
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console

from fairlead.cli.calibration_report import (
    calibration_document,
    calibration_table,
    calibration_words,
    device_block,
)
from fairlead.cli.failure import EXIT_FAILED, fail, user_errors
from fairlead.control.calibration import Step, calibrate
from fairlead.errors import ConfigError
from fairlead.model.document import explain_validation
from fairlead.model.volume import VolumeConfig
from fairlead.model.volume_word import parse_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The table is as wide as this, whatever the terminal: cut columns would say nothing.
_TABLE_WIDTH: Final = 100


class CalibrationDriver(StrEnum):
    """Choices of ``--driver``."""

    AUTO = "auto"
    IO_URING = "io_uring"
    THREADS = "threads"


def calibrate_command(
    volume: Annotated[
        str,
        typer.Argument(
            metavar="VOLUME",
            help="As for [bold]serve[/bold]: direct:/dev/sdb, disk.img, with --overwrite also "
            "new.img:4G.",
        ),
    ],
    *,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Measure writes, too. ALL DATA ON THE VOLUME IS LOST. Refused where a file "
            "system, a partition table or the like is found.",
        ),
    ] = False,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=600,
            help="How long each depth is measured. A hard disk wants 5; a minute or more with "
            "--overwrite also sees what flash has to clean up.",
        ),
    ] = 1.0,
    driver: Annotated[
        CalibrationDriver, typer.Option(help="As for [bold]serve[/bold].")
    ] = CalibrationDriver.AUTO,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document in place of the table.")
    ] = False,
) -> None:
    """Measure an idle volume's device: what its requests cost, and what it keeps up.

    Reads of 4 KiB and 128 KiB, at random and in sequence, with 1 to 256 requests at a time, past
    the page cache. The knee is the smallest number that gives 95 % of the best rate. Prints a
    table, and at the end a block for the configuration: with it, a request is charged to its
    context for what it costs this device. Takes half a minute to a minute with one second for each
    measurement, twice that with --overwrite. The volume is locked as by [bold]serve[/bold].

    [bold]fairlead calibrate direct:/dev/sdb[/bold]                  reads alone; nothing is changed

    [bold]fairlead calibrate --overwrite direct:/dev/sdb[/bold]      an empty disk, writes too

    [bold]fairlead calibrate --overwrite /srv/new.img:4G[/bold]      the disk below /srv, by a file
    """
    with user_errors():
        wanted = _parsed(volume)
        try:
            with _shown_progress() as tell:
                found = calibrate(
                    wanted, overwrite=overwrite, seconds=seconds, driver=driver.value, tell=tell
                )
        except KeyboardInterrupt:
            lost = "; what was on the volume may be lost" if overwrite else ""
            fail(f"interrupted; nothing was found out{lost}", EXIT_FAILED)
            return
    if as_json:
        typer.echo(json.dumps(calibration_document(found), indent=1))
        return
    console = Console(highlight=False, markup=False, width=_TABLE_WIDTH)
    console.print(calibration_table(found))
    for line in calibration_words(found):
        typer.echo(line)
    typer.echo(f"\nfor the configuration, see README.md, Shares:\n\n{device_block(found)}")


def _parsed(text: str) -> VolumeConfig:
    try:
        return parse_volume(text)
    except ValidationError as error:
        raise explain_validation(error, VolumeConfig) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None


@contextmanager
def _shown_progress() -> Iterator[Callable[[Step], None]]:
    """Show what is being done on stderr: in one line of a terminal, else a line for each load."""
    console = Console(stderr=True, highlight=False, markup=False)
    if console.is_terminal:
        with console.status("opening the volume") as status:
            yield lambda step: status.update(_step_words(step))
        return

    def tell(step: Step) -> None:
        if step.is_new:
            typer.echo(_step_words(step), err=True)

    yield tell


def _step_words(step: Step) -> str:
    left = "" if step.left_s is None else f"; at most {step.left_s:.0f} s left"
    return f"{step.what}{left}"
