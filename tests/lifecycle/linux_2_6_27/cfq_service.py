"""block/cfq-iosched.c, the part about requests: who holds what while I/O is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import blk_ioc, cfq_context
from .objects import CfqIoContext, CfqQueue, Request

if TYPE_CHECKING:
    from .machine import Kernel
    from .objects import CfqData, IoContext, RequestQueue, Task


def cfq_get_io_context(kernel: Kernel, cfqd: CfqData, ioc: IoContext) -> CfqIoContext:
    """cfq_get_io_context, 2.6.27: the cic of a context on a queue, made when there is none."""
    cic = cfq_context.cfq_cic_lookup(kernel, cfqd, ioc)
    if cic is None:
        cic = kernel.memory.allocate(CfqIoContext(ioc=ioc))
        cfq_context.cfq_cic_link(kernel, cfqd, ioc, cic)
    return cic


def cfq_set_request(kernel: Kernel, queue: RequestQueue, task: Task) -> Request:
    """get_request and cfq_set_request, 2.6.27: a request refers to its io_context and its queue."""
    cfqd = queue.elevator
    if cfqd is None:
        request = Request(queue=queue, cic=None, cfqq=None)
        queue.requests.append(request)
        return kernel.memory.allocate(request)
    ioc = blk_ioc.get_io_context(kernel, task)
    cic = cfq_get_io_context(kernel, cfqd, ioc)
    if cic.cfqq is None:
        cic.cfqq = kernel.memory.allocate(CfqQueue(cfqd=cfqd, ref=1))
    cic.cfqq.ref += 1
    request = kernel.memory.allocate(Request(queue=queue, cic=cic, cfqq=cic.cfqq))
    cic.cfqq.queued.append(request)
    if cic.cfqq not in cfqd.busy:
        cfqd.busy.append(cic.cfqq)
    queue.requests.append(request)
    return request


def dispatch(kernel: Kernel, queue: RequestQueue) -> Request | None:
    """cfq_dispatch_requests, 2.6.27: the slice's next request; it refers to its io_context."""
    cfqd = queue.elevator
    if cfqd is None:
        return next((each for each in queue.requests if not each.dispatched), None)
    with queue.queue_lock.held(kernel):
        cfqq = cfqd.active_queue
        if cfqq is None or not cfqq.queued:
            if cfqq is not None and cfqd.idling:
                return None
            slice_expired(kernel, cfqd)
            if not cfqd.busy:
                return None
            cfqq = cfqd.active_queue = cfqd.busy[0]
        request = cfqq.queued.pop(0)
        request.dispatched = True
        if not cfqq.queued:
            cfqd.busy.remove(cfqq)
        cfqd.idling = False
        if cfqd.active_cic is None and request.cic is not None:
            request.cic.ioc.refcount += 1
            cfqd.active_cic = request.cic
        return request


def slice_expired(kernel: Kernel, cfqd: CfqData) -> None:
    """__cfq_slice_expired, 2.6.27: under queue_lock; the slice's reference is dropped here."""
    cfqd.active_queue = None
    cfqd.idling = False
    if cfqd.active_cic is not None:
        cic, cfqd.active_cic = cfqd.active_cic, None
        blk_ioc.put_io_context(kernel, cic.ioc)


def expire(kernel: Kernel, queue: RequestQueue) -> None:
    """cfq_idle_slice_timer, 2.6.27: the timer's interrupt, whoever runs at that moment."""
    if queue.elevator is not None:
        with queue.queue_lock.held(kernel):
            slice_expired(kernel, queue.elevator)


def complete(kernel: Kernel, request: Request) -> None:
    """cfq_completed_request and cfq_put_request, 2.6.27: under queue_lock."""
    queue, cic, cfqq = request.queue, request.cic, request.cfqq
    with queue.queue_lock.held(kernel):
        queue.requests.remove(request)
        if cic is not None and cfqq is not None:
            cfqd = cfqq.cfqd
            if cfqd.active_queue is cfqq and not cfqq.queued:
                arm_slice_timer(kernel, cfqd)
            cfq_put_queue(kernel, cfqq)
            blk_ioc.put_io_context(kernel, cic.ioc)
    kernel.memory.free(request)


def arm_slice_timer(kernel: Kernel, cfqd: CfqData) -> None:
    """cfq_arm_slice_timer, 2.6.27: waits for the context's next request, unless no task is left."""
    if cfqd.active_cic is not None and cfqd.active_cic.ioc.nr_tasks > 0:
        cfqd.idling = True
        kernel.counts["idle window"] += 1


def cfq_put_queue(kernel: Kernel, cfqq: CfqQueue) -> None:
    """cfq_put_queue, 2.6.27: under queue_lock. A slice does not outlive its queue."""
    kernel.bug_on(cfqq.ref <= 0, "atomic_read(&cfqq->ref) <= 0")
    cfqq.ref -= 1
    if cfqq.ref == 0:
        if cfqq.cfqd.active_queue is cfqq:
            slice_expired(kernel, cfqq.cfqd)
        kernel.memory.free(cfqq)
