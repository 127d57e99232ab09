"""What the kernel sees of I/O contexts: the part of the data plane's interface about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

KernelContext: TypeAlias = Literal[
    "off", "priority", "ring", "experimental-move-cgroup", "experimental-set-ioprio"
]
"""What the kernel sees of a context. ``off``: nothing, all are the submitter's. ``priority``: a
priority in each request. ``ring``: a ring of its own, which a keeper thread with its own io_context
enters. The experimental ones switch the submitter itself for each request."""
KernelContextState: TypeAlias = Literal["plain", "ring", "parked", "ending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelOptions:
    """Bounds and ways of what `KernelContext` makes.

    Attributes:
        rings_max: rings that are open at a time; the least recently used gives way.
        keepers_max: contexts that have a keeper; further ones are submitted without.
        is_polled: a kernel thread polls each ring (SQPOLL), and the keeper need not be rung.
        poll_ms: how long it polls before it sleeps, 1..1000.
        cgroup: directory of a cgroup v1 blkio group in which each context gets a group of its
            own; None: no groups.
    """

    rings_max: int = 64
    keepers_max: int = 1024
    is_polled: bool = False
    poll_ms: int = 4
    cgroup: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelProbe:
    """What works here, as found by doing it; each None, or the kernel's reason in one sentence.

    Attributes:
        io_uring: a ring.
        keeper: a thread with an io_context and a priority of its own.
        ring: a ring that a keeper enters.
        polled: a ring that a kernel thread polls; None also where nobody wants one.
        ioprio: the priority of a request.
        cgroup: a group for a thread; None also where no directory was given.
    """

    io_uring: str | None = None
    keeper: str | None = None
    ring: str | None = None
    polled: str | None = None
    ioprio: str | None = None
    cgroup: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelContextInfo:
    """A context as the kernel sees it, on a device whose kernel context is ``ring``.

    Attributes:
        state: ``plain``: submitted with all others, because it has no keeper, or not any more;
            ``ring``: by its own ring; ``parked``: it has a keeper and no ring, because that gave
            way to another's or it has the device to itself at the moment; ``ending``.
        ring_requests: requests that went by its ring.
        plain_requests: requests that did not.
        keeper: thread id of its keeper; None where it has none, or not any more.
        reason: what it has to do without, and why, if something failed.
    """

    state: KernelContextState
    ring_requests: int
    plain_requests: int
    keeper: int | None
    reason: str | None
