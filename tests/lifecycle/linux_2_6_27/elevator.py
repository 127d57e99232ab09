"""block/elevator.c: a device gets CFQ, loses it, and gets it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import cfq_context, cfq_service
from .faults import ImpossibleError
from .objects import CfqData

if TYPE_CHECKING:
    from .machine import Kernel
    from .objects import RequestQueue


def cfq_init_queue(kernel: Kernel, queue: RequestQueue) -> None:
    """cfq_init_queue, 2.6.27. The address of the last one that went is likely."""
    if queue.elevator is not None:
        raise ImpossibleError("the device has CFQ")
    queue.elevator = kernel.memory.allocate(CfqData(queue=queue))


def cfq_exit_queue(kernel: Kernel, queue: RequestQueue) -> None:
    """elevator_switch to another scheduler and cfq_exit_queue, 2.6.27: every cic here dies.

    Raises:
        ImpossibleError: requests are on their way; the kernel waits for them first.
    """
    cfqd = queue.elevator
    if cfqd is None:
        raise ImpossibleError("the device has another scheduler")
    if queue.requests:
        raise ImpossibleError("the elevator is switched when the queue is drained")
    with queue.queue_lock.held(kernel):
        cfq_service.slice_expired(kernel, cfqd)
    if kernel.build.last_put == "exit in a work item":
        cfq_context.ioc_clear_queue(kernel, queue)
    with queue.queue_lock.held(kernel):
        while cfqd.cic_list:
            cfq_context.kill_cic(kernel, cfqd, cfqd.cic_list[0])
    queue.elevator = None
    kernel.memory.free(cfqd)


def cfq_module_exit(kernel: Kernel) -> list[str]:
    """cfq_exit, the module's: no queue has it any more; waits until the last cic is freed.

    Returns:
        What was completed; the kernel's is on the stack of whoever waits.
    """
    kernel.unloading = []
    return kernel.unloading
