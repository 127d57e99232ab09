"""``fairlead check``: read a configuration and explain what is wrong with it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import typer

import fairlead
from fairlead.cli.failure import user_errors
from fairlead.control.pass_through import pass_through_words, prepare_pass_through


def check(
    file: Annotated[Path, typer.Argument(help="A TOML file, as for [bold]serve --config[/bold].")],
    *,
    allow_anyone: Annotated[
        bool, typer.Option("--allow-anyone", help="As for [bold]serve[/bold].")
    ] = False,
    devices: Annotated[
        bool,
        typer.Option(
            "--devices",
            help="Also ask SCSI devices that are to be passed through what they are. Not while "
            "they are served.",
        ),
    ] = False,
) -> None:
    """Read a configuration; explain each mistake with its line, value and remedy.

    Prints FILE:LINE: FIELD = VALUE: what is wrong (what would be right). Nothing is opened or
    created, so a configuration can be checked while it is served; --devices asks devices by
    INQUIRY and READ CAPACITY, and logs in to other targets.
    """
    with user_errors(file):
        config = fairlead.check_config(file, allow_anyone=allow_anyone)
        for volume in config.volumes if devices else ():
            if volume.is_pass_through:
                typer.echo(f"{volume.name}: {pass_through_words(prepare_pass_through(volume))}")
    typer.echo(
        f"{file}: ok: {_count(len(config.volumes), 'volume')}, "
        f"{_count(len(config.effective_targets()), 'target')}, "
        f"{_count(len(config.portals), 'portal')}"
    )


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
