"""The command ``fairlead``."""

from __future__ import annotations

from typing import Annotated

import typer

import fairlead
from fairlead.cli.calibrate import calibrate_command
from fairlead.cli.check import check
from fairlead.cli.contexts import context_app, contexts
from fairlead.cli.doctor import doctor
from fairlead.cli.serve import serve
from fairlead.cli.sim import sim

app = typer.Typer(
    name="fairlead",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(check)
app.command()(contexts)
context_app.command()(doctor)
app.add_typer(context_app)
app.command()(sim)
app.command("calibrate")(calibrate_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fairlead {fairlead.__version__}")
        raise typer.Exit


@app.callback()
def _fairlead(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Serve volumes to many clients, each client's I/O in an I/O context of its own.

    To begin:  [bold]fairlead serve disk.img:1G[/bold]

    Exit codes: 0 all went well, 1 failed while running, 2 wrong usage or configuration.
    """


def main() -> None:
    """Run the command line."""
    app(prog_name="fairlead")
