"""The lines of the tables: targets that differ in how they show their clients to the kernel."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError
from typing_extensions import override

from bench.fairness.setting import direct_volume, document
from bench.harness.server import FairleadServer, ServerAbsentError
from bench.kernel_contexts.block_disk import names_of
from fairlead.model.config import Config
from fairlead.model.document import explain_validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.harness.server import Target
    from fairlead.sim.client import ClientConfig

FAIR, FIFO = "fair", "fifo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One way to serve.

    Attributes:
        label: in the tables.
        what: it is, in a few words.
        scheduler: fairlead's own; first come, first served, so that only the kernel chooses.
        engine: further settings of ``[engine]``.
        grouping: which sessions are one client.
    """

    label: str
    what: str
    scheduler: str = FIFO
    engine: Mapping[str, str | int | bool] = field(default_factory=dict)
    grouping: str = "initiator"

    def document(self, volumes: Sequence[Path], clients: Iterable[ClientConfig]) -> str:
        """Return the target's document: every volume, and a rule for each client."""
        tables = [
            direct_volume(path, name=name)
            for name, path in zip(names_of(volumes), volumes, strict=True)
        ]
        return document(
            "\n\n".join(tables),
            clients,
            scheduler=self.scheduler,
            # One thread for all, so that the kernel sees clients only where it is shown them.
            engine={"submitters": 1, **self.engine},
            grouping=self.grouping,
        )


_RINGS: Final[Mapping[str, str | int | bool]] = {
    "kernel_context": "ring",
    "kernel_rings_polled": False,
}

OFF_FIFO: Final = Line(
    label="off, fifo",
    what="one thread for all clients, first come, first served: the baseline",
)
OFF_FAIR: Final = Line(
    label="off, fair", what="the same with fairlead's own fair scheduler", scheduler=FAIR
)
RING: Final = Line(
    label="ring",
    what="each context has a ring, and with it a kernel context",
    scheduler=FAIR,
    engine=_RINGS,
)
RING_POLLED: Final = Line(
    label="ring, polled",
    what="the same; kernel threads look into the rings, which saves the system calls",
    scheduler=FAIR,
    engine={**_RINGS, "kernel_rings_polled": True},
)
RING_IOPRIO: Final = Line(
    label="ring, no cgroups",
    what="rings without control groups: weights become I/O priorities",
    scheduler=FAIR,
    engine={**_RINGS, "kernel_cgroups": False},
)
PRIORITY: Final = Line(
    label="priority",
    what="one kernel context; each request has its client's priority",
    scheduler=FAIR,
    engine={"kernel_context": "priority"},
)
MOVE_CGROUP: Final = Line(
    label="move-cgroup",
    what="the thread moves itself into the client's control group before each request",
    scheduler=FAIR,
    engine={"kernel_context": "experimental-move-cgroup"},
)
SET_IOPRIO: Final = Line(
    label="set-ioprio",
    what="the thread takes the client's priority before each request",
    scheduler=FAIR,
    engine={"kernel_context": "experimental-set-ioprio"},
)
PER_CONTEXT: Final = Line(
    label="per_context",
    what="a thread for each client, and with it a kernel context",
    engine={"pool": "per_context"},
)
PER_DEVICE: Final = Line(
    label="per_device",
    what="a thread for the device, one context for all its clients",
    engine={"pool": "per_device"},
)


def by_session(line: Line) -> Line:
    """Return a line that takes every session for a client of its own."""
    return Line(
        label=f"{line.label}, by session",
        what=f"{line.what}; wrongly, every session is a client",
        scheduler=line.scheduler,
        engine=line.engine,
        grouping="session",
    )


def why_refused(text: str) -> str | None:
    """Say why this fairlead does not take a document; None: it does."""
    try:
        Config.model_validate(tomllib.loads(text))
    except ValidationError as error:
        mistake = explain_validation(error, Config).mistakes[0]
        return f"this fairlead does not take {mistake.where}: {mistake.reason}"
    return None


class LineServer(FairleadServer):
    """``fairlead serve`` as a line wants it, on the volumes of a disk.

    Clients that are called as a volume log in there, others at the first one.
    """

    def __init__(
        self,
        line: Line,
        *,
        volumes: Sequence[Path],
        clients: Iterable[ClientConfig],
        scratch: Path,
    ) -> None:
        super().__init__(
            line.label,
            image=scratch,
            scratch=scratch,
            options=("--no-socket", "--log-level", "warning"),
            config=line.document(volumes, clients),
            # A block device has one user.
            locks_image=True,
        )

    @override
    def start(self) -> None:
        """See Server. A document that is refused is not even tried."""
        if (reason := why_refused(self.config or "")) is not None:
            raise ServerAbsentError(reason)
        super().start()

    @override
    def url_for(self, client: str) -> str:
        target: Target = self.targets.get(client, self.target)
        return target.url
