"""One tgtd for each client, each in a control group of its own: shares as the kernel gives them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from typing_extensions import override

from bench.fairness import kernel_io
from bench.harness.server import IscsiServer, ServerAbsentError, TgtServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CONTROL_NUMBER = 8200 + os.getpid() % 500 * 4


class TgtForEach(IscsiServer):
    """Serves one image to every client from a tgtd of the client's own.

    BFQ is the elevator of the disk while it runs; where the disk has no BFQ, of a loop device over
    the image. ``where`` then says what was done.

    Args:
        label: of the line.
        image: what is served, past the page cache.
        scratch: for logs and sockets.
        weights: of each client's control group, by the client's name.
        by_loop: take a loop device even where the disk has BFQ.
    """

    is_exclusive = True

    def __init__(
        self,
        label: str,
        *,
        image: Path,
        scratch: Path,
        weights: Mapping[str, int],
        by_loop: bool = False,
    ) -> None:
        super().__init__(label, image=image, scratch=scratch)
        self.weights = dict(weights)
        self.by_loop = by_loop
        self.where = ""
        self._servers: dict[str, TgtServer] = {}
        self._borrowed = contextlib.ExitStack()

    @property
    @override
    def is_running(self) -> bool:
        return bool(self._servers) and all(one.is_running for one in self._servers.values())

    @override
    def start(self) -> None:
        """See Server."""
        try:
            backing = self._borrow_elevator()
            for number, (client, weight) in enumerate(self.weights.items()):
                self._start_one(client, weight, backing, _CONTROL_NUMBER + number)
        except kernel_io.KernelIoError as error:
            self.stop()
            raise ServerAbsentError(f"{self.label}: {error}") from error
        except BaseException:
            self.stop()
            raise

    @override
    def stop(self) -> None:
        """See Server. Gives back what was borrowed, the last first."""
        self._servers = {}
        self._borrowed.close()

    @override
    def cpu_s(self) -> float:
        return sum(one.cpu_s() for one in self._servers.values())

    @override
    def url_for(self, client: str) -> str:
        return self._servers[client].target.url

    def _borrow_elevator(self) -> Path:
        """See to it that BFQ is below; return what to serve."""
        disk = kernel_io.disk_of(self.image)
        if not self.by_loop and kernel_io.BFQ in kernel_io.elevators_of(disk)[1]:
            self._borrowed.enter_context(kernel_io.elevator(disk, kernel_io.BFQ))
            self.where = f"BFQ on {disk.name} itself while this line had its turn"
            return self.image
        loop = self._borrowed.enter_context(kernel_io.loop_device(self.image))
        self._borrowed.enter_context(kernel_io.elevator(kernel_io.disk_of(loop), kernel_io.BFQ))
        self.where = f"BFQ on a loop device (direct I/O) over the image; {disk.name} was not set"
        return loop

    def _start_one(self, client: str, weight: int, backing: Path, number: int) -> None:
        folder = self._borrowed.enter_context(
            kernel_io.weighted_cgroup(f"fairlead-bench-{os.getpid()}-{client}", weight=weight)
        )
        server = TgtServer(
            f"{self.label} {client}",
            image=backing,
            scratch=self.scratch,
            control_number=number,
            store_flags="direct",
        )
        # Before it starts: an ExitStack ends what was half started, too.
        self._borrowed.callback(server.stop)
        server.start()
        try:
            (folder / "cgroup.procs").write_text(str(server.pid))
        except OSError as error:
            raise kernel_io.KernelIoError(f"{folder}: {error}") from error
        self._servers[client] = server
