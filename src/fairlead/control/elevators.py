"""Gives disks another elevator while fairlead serves, where the configuration says so."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from fairlead.control.log import logger
from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.control.block_stack import Disk

# Of the file, or of all of /sys, as containers have it.
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)

log = logger(__name__)


class Elevators:
    """Remembers what was there, and puts it back."""

    def __init__(self) -> None:
        self._was: dict[str, tuple[Path, str, str]] = {}

    def give(self, disk: Disk, wanted: str) -> None:
        """Give a disk an elevator. One that the kernel does not have is logged, and is no failure.

        Raises:
            ConfigError: this process may not.
        """
        was = disk.elevator
        if was is None or was == wanted:
            return
        try:
            disk.scheduler.write_text(wanted)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            if error.errno in _NOT_ALLOWED:
                raise ConfigError(
                    f"{disk.setting} cannot be set to {wanted}: {reason}",
                    remedy=f"as root: echo {wanted} > {disk.setting}; and remove set_elevator",
                ) from None
            log.warning("elevator.refused", disk=disk.name, elevator=wanted, reason=reason)
            return
        first = self._was.get(disk.name, (disk.scheduler, was, wanted))[1]
        self._was[disk.name] = (disk.scheduler, first, wanted)
        log.info("elevator.set", disk=disk.name, was=was, now=wanted)

    def put_back(self) -> None:
        """Give every disk what it had, unless somebody has changed it since."""
        given, self._was = self._was, {}
        for name, (file, was, ours) in given.items():
            try:
                if f"[{ours}]" not in _with_brackets(file.read_text()):
                    log.info("elevator.left", disk=name, reason=f"is {ours} no more")
                    continue
                file.write_text(was)
            except OSError as error:
                log.warning("elevator.not_put_back", disk=name, elevator=was, reason=error)
            else:
                log.info("elevator.put_back", disk=name, was=ours, now=was)


def _with_brackets(text: str) -> str:
    return text if "[" in text else f"[{text.strip()}]"
