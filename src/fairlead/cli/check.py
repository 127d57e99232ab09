"""``fairlead check``: read a configuration and explain what is wrong with it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

import fairlead
from fairlead.cli.failure import user_errors
from fairlead.control.config_file import read_text
from fairlead.control.pass_through import pass_through_words, prepare_pass_through
from fairlead.errors import ConfigError
from fairlead.model.document import DocumentError, place_mistakes

if TYPE_CHECKING:
    from fairlead.model.config import Config
    from fairlead.model.document import Mistake


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
        if devices:
            _ask_devices(config, file)
    typer.echo(
        f"{file}: ok: {_count(len(config.volumes), 'volume')}, "
        f"{_count(len(config.effective_targets()), 'target')}, "
        f"{_count(len(config.portals), 'portal')}"
    )


def _ask_devices(config: Config, file: Path) -> None:
    """Say what each device is; one that does not answer keeps nobody from the others.

    Raises:
        DocumentError: with what is in the way of each.
    """
    mistakes: list[Mistake] = []
    for number, volume in enumerate(config.volumes):
        if not volume.is_pass_through:
            continue
        try:
            typer.echo(f"{volume.name}: {pass_through_words(prepare_pass_through(volume))}")
        except ConfigError as error:
            problem = ConfigError(
                f"volume {volume.name!r}: {error.reason}",
                where=f"volumes[{number}]",
                remedy=error.remedy,
            )
            mistakes += place_mistakes(problem, read_text(file))
    if mistakes:
        raise DocumentError(mistakes)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
