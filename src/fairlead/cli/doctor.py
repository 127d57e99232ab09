"""``fairlead context doctor``: what the kernel can see of contexts here, and what it lacks."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import typer
from pydantic import ValidationError

import fairlead
from fairlead.cli.doctor_report import doctor_lines
from fairlead.cli.failure import EXIT_FAILED, user_errors
from fairlead.control.kernel_doctor import diagnose, diagnosis_document
from fairlead.model.document import explain_validation
from fairlead.model.volume_word import parse_volumes


def doctor(
    volumes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VOLUME",
            help="As for [bold]serve[/bold]; nothing is opened or created.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="As for [bold]serve[/bold]."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document in place of the text.")
    ] = False,
) -> None:
    """Say what the kernel can see of I/O contexts here, what is missing, and how to get it.

    With kernel_context = "ring" every context has a ring and an io_context of its own, so that the
    disk's elevator tells clients apart; that takes io_uring and the elevator bfq, and weights as
    fine as fairlead's take cgroup v1. With "priority" each request carries a priority, for
    mq-deadline. With "off", the default, fairlead's own scheduler decides, and the elevator none
    suits it.

    Tries what can only be tried, and changes nothing. Where a device is "off", tells what "ring"
    would be.

    [bold]fairlead context doctor direct:/dev/sdb[/bold]         could this disk have it?

    [bold]fairlead context doctor --config target.toml[/bold]    does every device get what it asks?

    Exit codes: 0 every device would get what is configured, 1 one would not, 2 wrong usage.
    """
    with user_errors(config):
        found = diagnose(_configuration(config, volumes or []))
    document = diagnosis_document(found)
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        for line in doctor_lines(document):
            typer.echo(line)
    if not found.is_fulfilled:
        raise typer.Exit(EXIT_FAILED)


def _configuration(file: Path | None, words: list[str]) -> fairlead.Config:
    base = fairlead.Config() if file is None else fairlead.load_config(file)
    try:
        volumes = parse_volumes(words)
    except ValidationError as error:
        raise explain_validation(error, fairlead.VolumeConfig) from None
    except ValueError as error:
        raise fairlead.ConfigError(str(error)) from None
    return base.model_copy(update={"volumes": base.volumes + volumes})
