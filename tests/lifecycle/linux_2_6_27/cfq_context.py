"""block/cfq-iosched.c, the part about cfq_io_contexts: found, made, dead, freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import cfq_service
from .faults import UseAfterFree
from .objects import CfqIoContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from .machine import Kernel
    from .objects import CfqData, IoContext, RequestQueue

WALK = "between two cics of a walk"
QUEUE_FOUND = "exit: queue found, not locked"
CACHE_WRITE = "lookup: cic found, cache not written"
LAST_CIC = "a cic is freed, the rest not counted"
ICQ_FOUND = "__ioc_clear_queue: icq found"


def call_for_each_cic(
    kernel: Kernel, ioc: IoContext, visit: Callable[[Kernel, IoContext, CfqIoContext], None]
) -> None:
    """__call_for_each_cic, 2.6.27: the step to the next one reads the one that was visited."""
    for cic in list(ioc.cic_list):
        visit(kernel, ioc, cic)
        kernel.window(WALK)
        _ = cic.queue_list


def cfq_exit(kernel: Kernel, ioc: IoContext) -> None:
    """cfq_exit and cfq_exit_io_context, 2.6.27: nobody will issue I/O here any more."""
    if any(lock.kind == "queue_lock" for lock in kernel.locks_held[kernel.cpu]):
        kernel.counts["exit under queue_lock"] += 1
    with kernel.rcu_read_lock():
        call_for_each_cic(kernel, ioc, cfq_exit_single_io_context)


def cfq_exit_single_io_context(kernel: Kernel, ioc: IoContext, cic: CfqIoContext) -> None:
    """cfq_exit_single_io_context, 2.6.27."""
    cfqd = cic.key
    if cfqd is None:
        return
    queue = cfqd.queue
    kernel.window(QUEUE_FOUND)
    with queue.queue_lock.held(kernel):
        if kernel.build.exit_rechecks_key and cic.key is None:
            return
        kill_cic(kernel, cfqd, cic)


def kill_cic(kernel: Kernel, cfqd: CfqData, cic: CfqIoContext) -> None:
    """__cfq_exit_single_io_context, 2.6.27: under queue_lock. From now on the cic is dead."""
    if cic.queue_list is not None:
        cic.queue_list.cic_list.remove(cic)
        cic.queue_list = None
    cic.dead_key = cic.key._address if cic.key is not None else 0
    cic.key = None
    if kernel.build.exit_clears_cache and cic.ioc.ioc_data is cic:
        cic.ioc.ioc_data = None
    if cic.cfqq is not None:
        cfqq, cic.cfqq = cic.cfqq, None
        if cfqd.active_queue is cfqq:
            cfq_service.slice_expired(kernel, cfqd)
        cfq_service.cfq_put_queue(kernel, cfqq)


def cfq_dtor(kernel: Kernel, ioc: IoContext) -> None:
    """cfq_dtor and cfq_free_io_context, 2.6.27: the last reference is gone."""
    if kernel.build.dtor_reads_under_rcu:
        with kernel.rcu_read_lock():
            call_for_each_cic(kernel, ioc, cic_free_func)
    else:
        call_for_each_cic(kernel, ioc, cic_free_func)


def cic_free_func(kernel: Kernel, ioc: IoContext, cic: CfqIoContext) -> None:
    """cic_free_func, 2.6.27: out of the tree and the list, and freed after a grace period."""
    kernel.bug_on(not cic.dead_key, "!cic->dead_key")
    with ioc.lock.held(kernel):
        ioc.radix_root.pop(cic.dead_key, None)
        ioc.cic_list.remove(cic)
    free_cic(kernel, cic)


def free_cic(kernel: Kernel, cic: CfqIoContext) -> None:
    """cfq_cic_free and cfq_cic_free_rcu, 2.6.27."""

    def cfq_cic_free_rcu() -> None:
        kernel.memory.free(cic)
        if kernel.unloading is not None:
            kernel.window(LAST_CIC)
            complete_unload(kernel)

    if kernel.build.cic_freed_by_rcu:
        kernel.memory.call_rcu(cfq_cic_free_rcu)
    else:
        cfq_cic_free_rcu()


def complete_unload(kernel: Kernel) -> None:
    """The end of cfq_cic_free_rcu, 2.6.27: cfq_exit_module() waits for the last cic."""
    waiting = kernel.unloading
    if waiting is None or kernel.memory.live(CfqIoContext):
        return
    if "completed" in waiting:
        raise UseAfterFree("complete() of ioc_gone, on a stack that has returned")
    waiting.append("completed")
    if kernel.build.unload_locks:
        kernel.unloading = None


def cfq_cic_lookup(kernel: Kernel, cfqd: CfqData, ioc: IoContext) -> CfqIoContext | None:
    """cfq_cic_lookup, 2.6.27: the cache, then the tree; one that is dead is dropped."""
    with kernel.rcu_read_lock():
        cached = ioc.ioc_data
        if cached is not None and cached.key is cfqd:
            return cached
        cic = ioc.radix_root.get(cfqd._address)
        if cic is None:
            return None
        if cic.key is None and kernel.build.lookup_drops_dead:
            cfq_drop_dead_cic(kernel, cfqd, ioc, cic)
            return None
        kernel.window(CACHE_WRITE)
        if cic.key is cfqd or not kernel.build.cache_write_rechecks:
            ioc.ioc_data = cic
        return cic


def cfq_drop_dead_cic(kernel: Kernel, cfqd: CfqData, ioc: IoContext, cic: CfqIoContext) -> None:
    """cfq_drop_dead_cic, 2.6.27."""
    kernel.warn_on(cic.queue_list is not None, "!list_empty(&cic->queue_list)")
    with ioc.lock.held(kernel):
        kernel.bug_on(ioc.ioc_data is cic, "ioc->ioc_data == cic")
        ioc.radix_root.pop(cfqd._address)
        ioc.cic_list.remove(cic)
    free_cic(kernel, cic)


def cfq_cic_link(kernel: Kernel, cfqd: CfqData, ioc: IoContext, cic: CfqIoContext) -> None:
    """cfq_cic_link, 2.6.27: into the tree and the list, and under queue_lock to the queue's."""
    cic.key = cfqd
    cic._made_without_tasks = ioc.nr_tasks <= 0
    with ioc.lock.held(kernel):
        ioc.radix_root[cfqd._address] = cic
        ioc.cic_list.insert(0, cic)
    with cfqd.queue.queue_lock.held(kernel):
        if cfqd.cic_list:
            _ = cfqd.cic_list[0].queue_list  # list_add() writes to the neighbour.
        cfqd.cic_list.insert(0, cic)
        cic.queue_list = cfqd
    kernel.counts["cic"] += 1


# From here on 3.3 and later: an icq (what was a cic) is unlinked at once, by the block layer.


def ioc_destroy_icq(kernel: Kernel, icq: CfqIoContext) -> None:
    """ioc_destroy_icq, 3.3: under both locks; it is in no table afterwards."""
    if kernel.build.icq_destroyed_flag and icq.destroyed:
        return
    icq.destroyed = True
    ioc = icq.ioc
    ioc.radix_root = {key: each for key, each in ioc.radix_root.items() if each is not icq}
    ioc.cic_list = [each for each in ioc.cic_list if each is not icq]
    if ioc.ioc_data is icq:
        ioc.ioc_data = None
    kernel.memory.call_rcu(lambda: kernel.memory.free(icq))


def ioc_release_fn(kernel: Kernel, ioc: IoContext) -> None:
    """ioc_release_fn, 3.3: a work item, so that it may take every queue_lock."""
    for icq in list(ioc.cic_list):
        cfqd = icq.key
        if cfqd is not None:
            with cfqd.queue.queue_lock.held(kernel):
                kill_cic(kernel, cfqd, icq)
        ioc_destroy_icq(kernel, icq)
    kernel.memory.free(ioc)


def ioc_clear_queue(kernel: Kernel, queue: RequestQueue) -> None:
    """__ioc_clear_queue, 3.3: the elevator goes, and takes its icqs with it."""
    assert queue.elevator is not None
    with kernel.rcu_read_lock():
        for icq in list(queue.elevator.cic_list):
            kernel.window(ICQ_FOUND)
            cfqd = icq.key
            if cfqd is not None:
                with queue.queue_lock.held(kernel):
                    kill_cic(kernel, cfqd, icq)
            ioc_destroy_icq(kernel, icq)
