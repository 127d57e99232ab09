"""A target over the data plane that only keeps books, and its management socket."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from fairlead.control.target import Target
from fairlead.dataplane.fake import FakeDataPlane
from fairlead.management.server import ManagementServer
from fairlead.management.socket_file import claim
from fairlead.model.config import Config
from fairlead.testing import connect_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fairlead.dataplane.api import ContextInfo, EngineOptions

VOLUME = {"name": "v", "kind": "null", "size": "1M", "device": "vda"}
TARGET_NAME = "iqn.2008-12.example.fairlead:v"
ANNA = "iqn.2020-01.org.example:anna"
BEN = "iqn.2020-01.org.example:ben"


@dataclass(frozen=True, slots=True)
class Managed:
    """Two clients are logged in, Anna and Ben; Ben is three times as busy in every interval."""

    target: Target
    plane: FakeDataPlane
    path: Path


@asynccontextmanager
async def managed(folder: Path, **document: Any) -> AsyncIterator[Managed]:
    """Serve a volume with `document` around it; the socket is in the folder."""
    planes: list[BusyPlane] = []

    def open_plane(options: EngineOptions) -> FakeDataPlane:
        planes.append(BusyPlane(options))
        return planes[-1]

    config = Config.model_validate({"volumes": [VOLUME], "portals": ["127.0.0.1:0"], **document})
    async with Target(config, open_plane=open_plane) as target:
        server = ManagementServer(target, claim(folder / "fairlead.sock"))
        await server.start()
        portal = str(target.portals[0])
        async with (
            await connect_async(portal, TARGET_NAME, ANNA),
            await connect_async(portal, TARGET_NAME, BEN),
        ):
            yield Managed(target, planes[0], server.path)
        await server.stop()
    planes[0].close()


class BusyPlane(FakeDataPlane):
    """Its clients have done more each time one looks."""

    looks = 0

    @override
    def contexts(self) -> list[ContextInfo]:
        self.looks += 1
        for key, share in ((ANNA, 1), (BEN, 3)):
            ops = 1000 * share * self.looks
            self.book(
                key,
                "vda",
                commands_read=ops,
                bytes_read=ops * 4096,
                submitted=ops,
                completed=ops,
                cost_ns=ops * 1000,
            )
        return super().contexts()


@contextmanager
def managed_in_a_thread(folder: Path, **document: Any) -> Iterator[Managed]:
    """The same for tests that wait themselves, as the command line does."""
    is_ready, may_end = threading.Event(), threading.Event()
    found: list[Managed] = []

    async def run() -> None:
        async with managed(folder, **document) as running:
            found.append(running)
            is_ready.set()
            await asyncio.to_thread(may_end.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert is_ready.wait(20), "the target did not start"
        yield found[0]
    finally:
        may_end.set()
        thread.join()
