"""How a command ends when something is wrong: one line on stderr, an exit code, no traceback."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

from fairlead.errors import ConfigError, FairleadError
from fairlead.model.document import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # at run time
EXIT_USAGE: Final = 2  # usage or configuration


@contextmanager
def user_errors(file: Path | None = None) -> Iterator[None]:
    """Turn our errors into lines and an exit code. What else is raised is a bug, and shows.

    Args:
        file: the configuration that is read; its mistakes are shown as ``FILE:LINE: ...``.
    """
    try:
        yield
    except DocumentError as error:
        for mistake in error.mistakes:
            # A mistake without a line was made on the command line, or concerns all of the file.
            place = "fairlead" if file is None or not mistake.line else f"{file}:{mistake.line}"
            typer.echo(f"{place}: {mistake}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except ConfigError as error:
        fail(str(error), EXIT_USAGE)
    except FairleadError as error:
        fail(str(error), EXIT_FAILED)


def fail(message: str, code: int) -> None:
    """Print one line and end the command."""
    typer.echo(f"fairlead: {message}", err=True)
    raise typer.Exit(code)
