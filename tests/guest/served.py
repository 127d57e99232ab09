"""The target on this machine, as the guest reaches it, with portals that stay the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from tests.support.ports import lasting_port
from tests.support.target_process import ServedVolume, TargetProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MIB: Final = 1 << 20

USER, SECRET = "guest-user", "guest secret 42"
TARGET_USER, TARGET_SECRET = "fairlead-user", "target secret 42"


class Served:
    """A target process with two portals.

    Attributes:
        process: the target.
        portals: ADDRESS:PORT of both, the same after a restart.
    """

    def __init__(
        self, process: TargetProcess, portals: Sequence[str], volumes: Sequence[ServedVolume]
    ) -> None:
        self._paths: Final = {volume.name: volume.path for volume in volumes}
        self.process: Final = process
        self.portals: Final = tuple(portals)

    @property
    def portal(self) -> str:
        """The first portal."""
        return self.portals[0]

    def target(self, volume: str) -> str:
        """Return the name of the target that serves a volume."""
        return self.process.target_name(volume)

    def stored_bytes(self, volume: str) -> int:
        """Return how much space of this machine a volume's file takes."""
        path = self._paths[volume]
        assert path is not None, f"{volume} has no file"
        return path.stat().st_blocks * 512

    def wait_until_idle(self) -> None:
        """Wait until nothing of any client is left.

        Raises:
            AssertionError: a session or a context stays.
        """
        wait_until(lambda: not self.process.sessions(), "no session is left")
        wait_until(lambda: not self.process.contexts(), "no context is left")


@contextlib.contextmanager
def serving(
    volumes: Sequence[ServedVolume],
    folder: Path,
    *,
    driver: str,
    tables: Mapping[str, Any] | None = None,
) -> Iterator[Served]:
    """Serve volumes, each as LUN 0 of its own target, while the block is entered."""
    portals = [f"127.0.0.1:{lasting_port()}" for _ in range(2)]
    document = {"portals": portals, **(tables or {})}
    with TargetProcess(volumes, folder, driver=driver, tables=document) as process:
        yield Served(process, portals, volumes)


def sparse(path: Path, size_bytes: int) -> Path:
    """Make a file of that size with nothing in it."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path
