"""kernel/fork.c, kernel/exit.c, fs/ioprio.c: what tasks do to an io_context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import blk_ioc

if TYPE_CHECKING:
    from .machine import Kernel
    from .objects import Task

IOC_TAKEN = "set_task_ioprio: the task was looked up, not locked"


def copy_process(
    kernel: Kernel, parent: Task, name: str, *, clone_io: bool = False, fails: bool = False
) -> Task | None:
    """copy_process and copy_io, 2.6.27.

    Args:
        kernel: the machine.
        parent: who forks.
        name: the child's.
        clone_io: CLONE_IO; without an io_context of the parent's nothing is shared.
        fails: something after copy_io fails.

    Returns:
        The child, None when it fails.
    """
    child = kernel.task(name)
    child.cgroup = parent.cgroup
    ioc = parent.io_context
    if ioc is not None and clone_io:
        child.io_context = blk_ioc.ioc_task_link(kernel, ioc, name)
    elif ioc is not None and ioc.ioprio:
        child.io_context = blk_ioc.alloc_io_context(kernel, name)
        child.io_context.ioprio = ioc.ioprio
    if not fails:
        return child
    if kernel.build.failed_fork_exits:
        blk_ioc.exit_io_context(kernel, child)
    elif child.io_context is not None:
        child.io_context._owners.discard(name)  # Nobody will give it back.
    return None


def do_exit(kernel: Kernel, task: Task) -> None:
    """do_exit, 2.6.27."""
    task.exiting = True
    blk_ioc.exit_io_context(kernel, task)


def set_task_ioprio(kernel: Kernel, task: Task, ioprio: int) -> bool:
    """set_task_ioprio, 2.6.27: from another task; makes an io_context when there is none.

    Returns:
        Whether the priority was set.
    """
    kernel.window(IOC_TAKEN)
    with task.alloc_lock.held(kernel):
        if task.io_context is None:
            if task.exiting and kernel.build.exiting_task_gets_none:
                return False
            task.io_context = blk_ioc.alloc_io_context(kernel, task.name)
        task.io_context.ioprio = ioprio
    return True


def blkcg_attach(kernel: Kernel, task: Task, cgroup: str) -> bool:
    """blkiocg_can_attach and the move, 2.6.33 to 5.13: refused while the io_context is shared.

    Returns:
        Whether the task was moved.
    """
    shared = task.io_context is not None and task.io_context.nr_tasks > 1
    if shared and kernel.build.share_forbids_attach:
        return False
    task.cgroup = cgroup
    return True
