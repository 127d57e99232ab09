"""The management socket's file: where it is, who may have it, and that nobody's is taken away."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODE: Final = 0o600
_BACKLOG: Final = 16
_STEM: Final = "fairlead"


class SocketInUseError(ConfigError):
    """Another process listens there."""


@dataclass(frozen=True, slots=True)
class OwnedSocket:
    """A listening socket and its file.

    Attributes:
        sock: listens.
        path: where.
        identity: of the file, so that nobody else's is removed.
    """

    sock: socket.socket
    path: Path
    identity: tuple[int, int]

    def remove_file(self) -> None:
        """Remove the socket's file if it is still ours. Connections there are go on."""
        with contextlib.suppress(OSError):
            if _identity(self.path) == self.identity:
                self.path.unlink()


def default_folder(environment: Mapping[str, str], uid: int) -> Path | None:
    """Return where sockets are looked for; None: this user has no such place.

    Args:
        environment: of the process.
        uid: effective user id.
    """
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime)
    return Path("/run") if uid == 0 else None


def default_path(folder: Path) -> Path:
    """Return the socket that commands talk to unless they are told another."""
    return folder / f"{_STEM}.sock"


def find_sockets(folder: Path) -> list[Path]:
    """Return all of our sockets in a folder, also those that nobody listens at."""
    return sorted(folder.glob(f"{_STEM}*.sock"))


def claim_default(folder: Path, *, port: int, pid: int) -> OwnedSocket:
    """Listen at the default path, or at one named after the first portal's port where it is taken.

    Raises:
        ConfigError: see `claim`.
    """
    names = (default_path(folder), folder / f"{_STEM}-{port}.sock")
    for path in names:
        with contextlib.suppress(SocketInUseError):
            return claim(path)
    # The same port on another address.
    return claim(folder / f"{_STEM}-{port}-{pid}.sock")


def claim(path: Path) -> OwnedSocket:
    """Listen at a path; only this user and root can connect. A file nobody listens at is replaced.

    Raises:
        SocketInUseError: somebody listens there.
        ConfigError: the path is something else, too long, or not ours to make.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Before it has a name, so that there is no moment in which others could connect.
        os.fchmod(sock.fileno(), _MODE)
        sock.bind(str(path))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
        return OwnedSocket(sock, path, _identity(path))
    except OSError as error:
        sock.close()
        remedies = {
            errno.ENOENT: f"make the directory {path.parent}, or name another with --socket",
            errno.EACCES: "name a place where you may write with --socket",
            errno.EADDRINUSE: "try again: another process was there first",
        }
        raise ConfigError(
            f"cannot listen at {path}: {(error.strerror or str(error)).lower()}",
            remedy=remedies.get(error.errno or 0, "name another with --socket, or say --no-socket"),
        ) from error
    except ConfigError:
        sock.close()
        raise


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigError(
            f"{path} is there and is no socket", remedy="remove it, or name another with --socket"
        )
    if is_live(path):
        raise SocketInUseError(
            f"another process listens at {path}",
            remedy="stop it, or name another with --socket",
        )
    path.unlink(missing_ok=True)


def is_live(path: Path) -> bool:
    """Tell whether somebody listens at a socket; one whom we may not ask is taken for somebody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # Too many are waiting already.
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
