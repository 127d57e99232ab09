"""What holds after every step, and what is left after the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .faults import InvariantBroken, Leak
from .objects import CfqData, CfqIoContext, CfqQueue, IoContext, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Kernel


def check(kernel: Kernel) -> None:
    """Checks everything that must hold between two steps.

    Raises:
        InvariantBroken: with what does not.
    """
    if kernel.counts["exit under queue_lock"]:
        raise InvariantBroken("the exit path has run under a queue_lock")
    for ioc in kernel.memory.live(IoContext):
        for broken in (*_counters(kernel, ioc), *_tables(ioc)):
            raise InvariantBroken(broken)
    for cic in kernel.memory.live(CfqIoContext):
        for broken in _cic(cic):
            raise InvariantBroken(broken)


def requests_of(kernel: Kernel, ioc: IoContext) -> int:
    """Requests on their way that refer to a context."""
    return sum(
        request.cic is not None and request.cic.ioc is ioc
        for request in kernel.memory.live(Request)
    )


def slices_of(kernel: Kernel, ioc: IoContext) -> int:
    """Slices that refer to a context."""
    return sum(
        cfqd.active_cic is not None and cfqd.active_cic.ioc is ioc
        for cfqd in kernel.memory.live(CfqData)
    )


def _counters(kernel: Kernel, ioc: IoContext) -> Iterator[str]:
    owners = len(ioc._owners)
    requests, slices = requests_of(kernel, ioc), slices_of(kernel, ioc)
    if ioc.refcount != owners + requests + slices:
        yield (
            f"refcount is {ioc.refcount}, but {owners} own it, {requests} requests and "
            f"{slices} slices refer to it"
        )
    if ioc.nr_tasks != owners:
        yield f"nr_tasks is {ioc.nr_tasks}, but {owners} may issue I/O"


def _tables(ioc: IoContext) -> Iterator[str]:
    if {id(cic) for cic in ioc.radix_root.values()} != {id(cic) for cic in ioc.cic_list}:
        yield "the tree and the list differ"
    cached = ioc.ioc_data
    if cached is not None and (cached._freed or cached.key is None):
        yield "ioc_data points at a cic that is dead or freed"


def _cic(cic: CfqIoContext) -> Iterator[str]:
    signs = (cic.key is None, cic.dead_key != 0, cic.queue_list is None)
    if len(set(signs)) != 1:
        yield f"a cic is neither alive nor dead: key, dead_key, list say {signs}"
    if cic._made_without_tasks:
        yield "a cic was made when nr_tasks was 0"
    if cic.key is not None and cic.ioc._freed:
        yield "a cic is alive and its io_context is freed"


def check_nothing_left(kernel: Kernel) -> None:
    """Checks that every session, task and request has gone without a trace.

    Raises:
        Leak: with what is left, e.g. "1 IoContext, 1 CfqIoContext".
    """
    kernel.run_work()
    kernel.memory.grace_period()
    left = [
        f"{len(kernel.memory.live(kind))} {kind.__name__}"
        for kind in (IoContext, CfqIoContext, CfqQueue, Request)
        if kernel.memory.live(kind)
    ]
    if left:
        raise Leak(", ".join(left))
