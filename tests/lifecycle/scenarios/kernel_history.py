"""Bugs that the kernel has had, and their fixes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tests.lifecycle.linux_2_6_27 import cfq_context, elevator, tasks
from tests.lifecycle.linux_2_6_27.builds import (
    LINUX_2_6_25,
    LINUX_2_6_27,
    LINUX_2_6_31_RC1,
    LINUX_2_6_33,
    LINUX_3_3,
    LINUX_3_3_RC1,
    REPAIRED,
)
from tests.lifecycle.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from tests.lifecycle.linux_2_6_27.objects import Task
    from tests.lifecycle.linux_2_6_27.scene import Scene


def fork(scene: Scene, parent: Task, name: str) -> Task:
    """A child with CLONE_IO."""
    child = scene.do(tasks.copy_process, parent, name, clone_io=True)
    assert child is not None
    return child


def sharers_exit(scene: Scene) -> None:
    queue, first = scene.device(), scene.kernel.task("a")
    scene.read(first, queue)
    children = [fork(scene, first, name) for name in "bc"]
    scene.exit(*children, first)
    scene.expire(queue)
    scene.end()


def fork_fails(scene: Scene) -> None:
    queue, parent = scene.device(), scene.kernel.task("a")
    scene.read(parent, queue)
    assert scene.do(tasks.copy_process, parent, "b", clone_io=True, fails=True) is None
    scene.exit(parent)
    scene.expire(queue)
    scene.end()


def sharer_exits_before_the_other_reads(scene: Scene) -> None:
    queue, first = scene.device(), scene.kernel.task("a")
    scene.read(first, queue)
    child = fork(scene, first, "b")
    scene.exit(child)
    scene.read(first, queue)
    scene.exit(first)
    scene.expire(queue)
    scene.end()


def queue_goes_while_a_task_exits(scene: Scene) -> None:
    queue, task = scene.device(), scene.kernel.task("a")
    scene.read(task, queue)
    scene.kernel.meanwhile[cfq_context.QUEUE_FOUND] = lambda: elevator.cfq_exit_queue(
        scene.kernel, queue
    )
    scene.exit(task)
    scene.end()


def reads_after_switching_there_and_back(scene: Scene) -> None:
    queue, task = scene.device(), scene.kernel.task("a")
    scene.read(task, queue)
    scene.read(task, queue)  # Found in the tree: from now on it is in the cache.
    scene.switch_away(queue)
    scene.switch_back(queue)
    scene.read(task, queue)
    scene.expire(queue)
    scene.exit(task)
    scene.end()


def queue_goes_during_a_lookup(scene: Scene) -> None:
    queue, task = scene.device(), scene.kernel.task("a")
    scene.read(task, queue)
    cfqd, ioc = queue.elevator, task.io_context
    assert cfqd is not None
    assert ioc is not None
    scene.kernel.meanwhile[cfq_context.CACHE_WRITE] = lambda: elevator.cfq_exit_queue(
        scene.kernel, queue
    )
    scene.do(cfq_context.cfq_cic_lookup, cfqd, ioc)  # To see whether a bio can be merged.
    scene.switch_back(queue)
    scene.read(task, queue)
    scene.exit(task)
    scene.end()


def grace_period_during_the_last_walk(scene: Scene) -> None:
    task = scene.kernel.task("a")
    for name in ("sda", "sdb"):
        queue = scene.device(name)
        scene.read(task, queue)
        scene.expire(queue)
    scene.kernel.at_window = lambda _: scene.kernel.memory.grace_period()
    scene.exit(task)
    scene.end()


def module_is_unloaded(scene: Scene) -> None:
    queue = scene.device()
    readers = [scene.kernel.task(name) for name in "ab"]
    for task in readers:
        scene.read(task, queue)
    scene.switch_away(queue)
    waiting = scene.do(elevator.cfq_module_exit)
    scene.exit(*readers)
    scene.kernel.meanwhile[cfq_context.LAST_CIC] = scene.kernel.memory.grace_period
    scene.end()
    assert waiting == ["completed"]


def priority_for_a_task_that_exits(scene: Scene) -> None:
    task = scene.kernel.task("a")
    scene.kernel.meanwhile[tasks.IOC_TAKEN] = lambda: tasks.do_exit(scene.kernel, task)
    scene.do(tasks.set_task_ioprio, task, 4)
    scene.end()


def task_exits_in_its_idle_window(scene: Scene) -> str | None:
    queue, task = scene.device(), scene.kernel.task("a")
    scene.read(task, queue)
    scene.exit(task)
    waits = queue.elevator is not None and queue.elevator.idling
    scene.expire(queue)
    scene.end()
    return "the device waits for a task that has ended" if waits else None


def queue_and_context_go_at_the_same_time(scene: Scene) -> None:
    queue, task = scene.device(), scene.kernel.task("a")
    scene.read(task, queue)
    scene.exit(task)
    scene.expire(queue)
    scene.kernel.meanwhile[cfq_context.ICQ_FOUND] = scene.kernel.run_work
    scene.switch_away(queue)
    scene.end()


def moved_and_shared(scene: Scene) -> str | None:
    allowed = []
    for move_first in (True, False):
        queue, task = scene.device(), scene.kernel.task(f"a{move_first}")
        scene.read(task, queue)
        moved = move_first and scene.do(tasks.blkcg_attach, task, "/b")
        child = fork(scene, task, f"b{move_first}")
        moved = moved or scene.do(tasks.blkcg_attach, task, "/b")
        allowed.append(moved)
        scene.exit(child, task)
        scene.expire(queue)
    scene.end()
    return None if len(set(allowed)) == 1 else "what is allowed depends on the order"


SCENARIOS: Final = (
    Scenario(
        name="every sharer but the last leaks",
        origin="until 2.6.33, CVE-2012-0879 (Fix io_context leak after clone with CLONE_IO)",
        shows="exit_io_context() puts the reference of the last task alone",
        steps=sharers_exit,
        with_bug="Leak: 1 IoContext, 1 CfqIoContext",
        right_kernel=LINUX_2_6_33,
    ),
    Scenario(
        name="a fork that fails keeps its share",
        origin="until 2.6.33, CVE-2012-0879 (leak after failure of clone with CLONE_IO)",
        shows="copy_process() has linked the child's io_context, and its error path forgets it",
        steps=fork_fails,
        kernel=replace(LINUX_2_6_33, failed_fork_exits=False),
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_kernel=LINUX_2_6_33,
    ),
    Scenario(
        name="a sharer that is not counted",
        origin="2.6.25; fixed 2008-04-15",
        shows="the first task that exits marks everything dead under the others",
        steps=sharer_exits_before_the_other_reads,
        kernel=LINUX_2_6_25,
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_kernel=LINUX_2_6_33,
    ),
    Scenario(
        name="a counter was widened and the wrong one incremented",
        origin="2.6.31-rc1 (d9c7d394a8eb), fixed by cbb4f2646d77",
        shows="two references and no task: as if not counted, and the memory never freed",
        steps=sharer_exits_before_the_other_reads,
        kernel=LINUX_2_6_31_RC1,
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_kernel=LINUX_2_6_33,
    ),
    Scenario(
        name="the queue goes while a task exits",
        origin="fixed by 62c1fe9d9f0a",
        shows="the key is read without the lock, so a cic is marked dead twice, with key 0",
        steps=queue_goes_while_a_task_exits,
        with_bug="KernelBug: BUG_ON(!cic->dead_key)",
        right_kernel=LINUX_2_6_33,
    ),
    Scenario(
        name="the cache outlives the queue",
        origin="fixed by 4faa3c8150c1",
        shows="a cic that dies with its queue stays in ioc_data",
        steps=reads_after_switching_there_and_back,
        kernel=replace(LINUX_2_6_27, exit_clears_cache=False),
        with_bug="KernelBug: BUG_ON(ioc->ioc_data == cic)",
        right_kernel=LINUX_2_6_27,
    ),
    Scenario(
        name="the cache is written for a cic that has just died",
        origin="fixed 2011 (ab4bd22d, 3181faa85bda, 726e99ab88db), simplified",
        shows="between finding and remembering nothing keeps the cic alive",
        steps=queue_goes_during_a_lookup,
        with_bug="KernelBug: BUG_ON(ioc->ioc_data == cic)",
        right_kernel=REPAIRED,
    ),
    Scenario(
        name="the last walk reads what it has freed",
        origin="2.6.26-rc, fixed by 07416d29bcf6",
        shows="without rcu_read_lock a grace period can pass between two steps of a walk",
        steps=grace_period_during_the_last_walk,
        kernel=replace(LINUX_2_6_27, dtor_reads_under_rcu=False),
        with_bug="UseAfterFree: read of CfqIoContext.queue_list",
        right_kernel=LINUX_2_6_27,
    ),
    Scenario(
        name="freed without a grace period",
        origin="2.6.25-rc, fixed 2008-04-02 (fix rcu freeing of cfq io contexts)",
        shows="readers under rcu_read_lock still hold the cic",
        steps=grace_period_during_the_last_walk,
        kernel=replace(LINUX_2_6_27, cic_freed_by_rcu=False),
        with_bug="UseAfterFree: read of CfqIoContext.queue_list",
        right_kernel=LINUX_2_6_27,
    ),
    Scenario(
        name="the module's last cic is counted twice",
        origin="fixed by 9a11b4ed0e7c",
        shows="two CPUs free the last two cics, and both find none left",
        steps=module_is_unloaded,
        with_bug="UseAfterFree: complete() of ioc_gone, on a stack that has returned",
        right_kernel=LINUX_2_6_33,
    ),
    Scenario(
        name="a new queue at the old one's address",
        origin="2.6.2x, met by cfq_drop_dead_cic; small ids since 2010-05-24",
        shows="the tree's key is an address, and addresses are used again",
        steps=reads_after_switching_there_and_back,
        kernel=replace(LINUX_2_6_27, lookup_drops_dead=False),
        with_bug="Leak: 1 CfqQueue",
        right_kernel=LINUX_2_6_27,
    ),
    Scenario(
        name="a priority is set for a task that exits",
        origin="until 3.3 (6e736be7f282)",
        shows="an io_context is put into a task that has given its own away",
        steps=priority_for_a_task_that_exits,
        with_bug="Leak: 1 IoContext",
        right_kernel=REPAIRED,
    ),
    Scenario(
        name="nobody tells the device that the task has ended",
        origin="3.3-rc (b2efa05265), fixed by 621032ad6eaa",
        shows="exit was moved to the last put, which the slice itself holds back",
        steps=task_exits_in_its_idle_window,
        kernel=LINUX_3_3_RC1,
        with_bug="the device waits for a task that has ended",
        right_kernel=LINUX_3_3,
        seen_by_checks=False,
    ),
    Scenario(
        name="the queue and the context destroy one icq",
        origin="3.3 to 2020 (30a2da7b7e22)",
        shows="each found it in its own table, and neither asks whether the other was there",
        steps=queue_and_context_go_at_the_same_time,
        kernel=LINUX_3_3_RC1,
        with_bug="UseAfterFree: read of IoContext.radix_root",
        right_kernel=replace(LINUX_3_3_RC1, icq_destroyed_flag=True),
    ),
    Scenario(
        name="moving and sharing in either order",
        origin="2.6.33 to 5.13 (blkcg_can_attach)",
        shows="a task that shares may not change its cgroup, one that has changed it may share",
        steps=moved_and_shared,
        kernel=replace(LINUX_2_6_33, share_forbids_attach=True),
        with_bug="what is allowed depends on the order",
        right_kernel=LINUX_2_6_33,
        seen_by_checks=False,
    ),
)
