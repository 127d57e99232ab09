"""block/blk-ioc.c: io_contexts of tasks, and the two counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import cfq_context
from .faults import Deadlock
from .locks import SpinLock
from .objects import IoContext

if TYPE_CHECKING:
    from .machine import Kernel
    from .objects import Task


def alloc_io_context(kernel: Kernel, owner: str) -> IoContext:
    """alloc_io_context, 2.6.27: one reference, one task. Not exported to modules.

    Args:
        kernel: the machine.
        owner: who will have to give it back.
    """
    ioc = kernel.memory.allocate(IoContext(lock=SpinLock("ioc->lock")))
    ioc._owners.add(owner)
    return ioc


def current_io_context(kernel: Kernel, task: Task) -> IoContext:
    """current_io_context, 2.6.27: the task's, made when it has none."""
    if task.io_context is None:
        task.io_context = alloc_io_context(kernel, task.name)
    return task.io_context


def get_io_context(kernel: Kernel, task: Task) -> IoContext:
    """get_io_context, 2.6.27: the same, with a reference; again and again while it is going."""
    ioc = current_io_context(kernel, task)
    if ioc.refcount == 0:
        raise Deadlock("get_io_context() loops: refcount is 0")
    ioc.refcount += 1
    return ioc


def ioc_task_link(kernel: Kernel, ioc: IoContext, owner: str) -> IoContext | None:
    """ioc_task_link, 2.6.25 to 2.6.31: one more task shares it; None when it is going."""
    if ioc.refcount == 0:
        return None
    ioc.refcount += 1
    if kernel.build.link_counts == "nr_tasks":
        ioc.nr_tasks += 1
    elif kernel.build.link_counts == "refcount again":
        ioc.refcount += 1
    ioc._owners.add(owner)
    return ioc


def copy_io_context(kernel: Kernel, task: Task, ioc: IoContext, owner: str) -> None:
    """copy_io_context, until 2.6.37: a reference and nothing else; the old one is put."""
    ioc.refcount += 1
    ioc._owners.add(owner)
    if task.io_context is not None:
        put_io_context(kernel, task.io_context, owner)
    task.io_context = ioc


def put_io_context(kernel: Kernel, ioc: IoContext | None, owner: str | None = None) -> bool:
    """put_io_context, 2.6.27: drops a reference. May be called under queue_lock.

    Args:
        kernel: the machine.
        ioc: None is allowed.
        owner: who gives its own reference back; requests and slices have no name.

    Returns:
        Whether it was the last.
    """
    if ioc is None:
        return True
    kernel.bug_on(ioc.refcount == 0, "atomic_read(&ioc->refcount) == 0")
    if owner is not None:
        ioc._owners.discard(owner)
    ioc.refcount -= 1
    if ioc.refcount != 0:
        return False
    if kernel.build.last_put == "exit in a work item":
        kernel.work.append(lambda: cfq_context.ioc_release_fn(kernel, ioc))
        return True
    if kernel.build.last_put == "exit at once":
        cfq_context.cfq_exit(kernel, ioc)
    cfq_context.cfq_dtor(kernel, ioc)
    kernel.memory.free(ioc)
    return True


def exit_io_context(kernel: Kernel, task: Task) -> None:
    """exit_io_context, 2.6.27: a task ends. The put is inside the `if` until 2.6.33."""
    with task.alloc_lock.held(kernel):
        ioc, task.io_context = task.io_context, None
    if ioc is not None:
        leave_io_context(kernel, ioc, task.name)


def leave_io_context(kernel: Kernel, ioc: IoContext, owner: str) -> None:
    """The second half of exit_io_context: `__exit_io_context` where SCST's kernel patch of
    2009-03 has made a function of it.
    """
    ioc._owners.discard(owner)
    ioc.nr_tasks -= 1
    is_last = ioc.nr_tasks == 0
    if is_last and kernel.build.exit_at_task_exit:
        cfq_context.cfq_exit(kernel, ioc)
    if is_last or kernel.build.every_exit_puts:
        put_io_context(kernel, ioc)


def ioc_task_unlink(kernel: Kernel, ioc: IoContext, owner: str) -> None:
    """ioc_task_unlink of a 2.6.32 for containers: the inverse of ioc_task_link, put included."""
    ioc._owners.discard(owner)
    ioc.nr_tasks -= 1
    if ioc.nr_tasks == 0:
        cfq_context.cfq_exit(kernel, ioc)
    put_io_context(kernel, ioc)
