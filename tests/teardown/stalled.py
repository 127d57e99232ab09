"""A target with a volume on a disk that can be stalled, and one on a disk that goes on."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fairlead.testing.client import connect
from tests.support.disk_client import FuseDisk
from tests.support.target_process import ServedVolume, TargetProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fairlead.testing.client import Client

STUCK: Final = "stuck"
CALM: Final = "calm"
BLOCK_BYTES: Final = 4096
SIZE_BYTES: Final = 16 << 20
BLOCKS: Final = SIZE_BYTES // BLOCK_BYTES
REINSTATEMENT_TIMEOUT_S: Final = 1.0
# A device that is silent for so long is reported.
STALL_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class StallSetting:
    """The parts of a test.

    Attributes:
        target: serves both volumes.
        disk: behind the volume ``stuck``.
        clients: all that have logged in since `renew`.
    """

    target: TargetProcess
    disk: FuseDisk
    clients: list[Client] = field(default_factory=list)

    def renew(self) -> None:
        """Let the disk hold zeros, as at first."""
        os.truncate(self.disk.path, 0)
        os.truncate(self.disk.path, SIZE_BYTES)
        self.disk.trace()

    def clear(self) -> None:
        """Let the disk go on, log everybody out, and wait until the target has forgotten them."""
        self.disk.thaw()
        self.disk.resume()
        for client in self.clients:
            client.close()
        self.clients.clear()
        wait_until(lambda: not self.target.sessions(), "every session is over")
        wait_until(lambda: not self.target.contexts(), "every context is released")

    def connect(self, volume: str, name: str, **keys: Any) -> Client:
        """Log in to a volume under a name of the given host, with no unit attention pending."""
        initiator = f"iqn.2026-01.example.stalled:{name}"
        target_name = self.target.target_name(volume)
        client = connect(self.target.portal, target_name, initiator, **keys)
        self.clients.append(client)
        client.block_bytes = BLOCK_BYTES
        client.test_unit_ready()
        return client

    def stall(self, way: str) -> None:
        """Stall the disk: "hold" its data requests, or "freeze" the process that serves it."""
        if way == "freeze":
            self.disk.freeze()
        else:
            self.disk.stall()

    def resume(self, way: str) -> None:
        """Let the disk go on."""
        if way == "freeze":
            self.disk.thaw()
        else:
            self.disk.resume()

    def stuck_contexts(self) -> list[dict[str, object]]:
        """Return the contexts on the stalled disk's device."""
        device = next(v["device"] for v in self.target.volumes() if v["name"] == STUCK)
        return [context for context in self.target.contexts() if context["device"] == device]


@contextlib.contextmanager
def stall_setting(driver: str, pool: str, kind: str, folder: Path) -> Iterator[StallSetting]:
    """Serve both volumes; the disk goes on when the block is left, so that nothing hangs."""
    calm = folder / "calm.img"
    with calm.open("wb") as file:
        file.truncate(SIZE_BYTES)
    options = {"logical_block_bytes": BLOCK_BYTES}
    with FuseDisk(size_bytes=SIZE_BYTES) as disk:
        volumes = [
            ServedVolume(name=STUCK, kind=kind, path=disk.path, options=options),
            ServedVolume(name=CALM, path=calm, options=options),
        ]
        target = TargetProcess(
            volumes,
            folder,
            driver=driver,
            pool=pool,
            engine={"stall_s": STALL_S},
            limits={"reinstatement_timeout_s": REINSTATEMENT_TIMEOUT_S},
        )
        with target:
            try:
                yield StallSetting(target, disk)
            finally:
                disk.thaw()
                disk.resume()
