"""The management socket of ``fairlead serve``, and where other commands look for it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fairlead
from fairlead.management.socket_file import (
    claim,
    claim_default,
    default_folder,
    default_path,
    find_sockets,
)

if TYPE_CHECKING:
    from fairlead.management.server import ManagementServer
    from fairlead.management.socket_file import OwnedSocket

log = logging.getLogger(__name__)

SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        metavar="PATH",
        help="The target's management socket, as [bold]serve[/bold] prints it. Without it "
        "$XDG_RUNTIME_DIR/fairlead.sock, or /run/fairlead.sock for root.",
        show_default=False,
    ),
]


async def open_management(target: fairlead.Target, path: Path | None) -> ManagementServer | None:
    """Let a running target be managed; None: there is no place for a socket that nobody named.

    Raises:
        ConfigError: the path that was named cannot be had.
    """
    # Here and not above: the library takes a quarter of a second, which other commands save.
    from fairlead.management.server import ManagementServer  # noqa: PLC0415

    owned = _claim_default(target) if path is None else claim(path)
    if owned is None:
        return None
    server = ManagementServer(target, owned)
    await server.start()
    return server


def _claim_default(target: fairlead.Target) -> OwnedSocket | None:
    """Volumes are served also where there is no place for a socket."""
    folder = default_folder(os.environ, os.geteuid())
    if folder is None:
        log.info('management.off reason="there is no XDG_RUNTIME_DIR; name a --socket"')
        return None
    try:
        return claim_default(folder, port=target.portals[0].port, pid=os.getpid())
    except fairlead.ConfigError as error:
        log.warning("management.off reason=%s", json.dumps(str(error)))
        return None


def find_socket(named: Path | None) -> Path:
    """Return the socket that a command talks to.

    Raises:
        ConfigError: none is named, and this user has no place where one is by default.
    """
    if named is not None:
        return named
    folder = default_folder(os.environ, os.geteuid())
    if folder is None:
        raise fairlead.ConfigError(
            "there is no XDG_RUNTIME_DIR to look for a target's socket in",
            remedy="name it with --socket PATH",
        )
    return default_path(folder)


def other_sockets(path: Path) -> list[Path]:
    """Return the sockets beside one that is not there."""
    return [other for other in find_sockets(path.parent) if other != path]
