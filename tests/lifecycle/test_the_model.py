"""The model notices what it is there to notice: every check fails when its field is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lifecycle.linux_2_6_27 import blk_ioc, cfq_context, invariants
from tests.lifecycle.linux_2_6_27.builds import LINUX_2_6_27
from tests.lifecycle.linux_2_6_27.faults import (
    Deadlock,
    ImpossibleError,
    InvariantBroken,
    KernelBug,
    Leak,
    UseAfterFree,
)
from tests.lifecycle.linux_2_6_27.objects import IoContext
from tests.lifecycle.linux_2_6_27.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lifecycle.linux_2_6_27.objects import CfqIoContext, RequestQueue


def busy() -> tuple[Scene, RequestQueue, IoContext, CfqIoContext]:
    """A task that has read twice: everything is there and in order."""
    scene = Scene(LINUX_2_6_27)
    queue, task = scene.device(), scene.kernel.task("a")
    scene.read(task, queue)
    scene.read(task, queue)
    ioc = task.io_context
    assert ioc is not None
    return scene, queue, ioc, ioc.cic_list[0]


def a_reference_more(ioc: IoContext, _cic: CfqIoContext) -> None:
    ioc.refcount += 1


def a_task_more(ioc: IoContext, _cic: CfqIoContext) -> None:
    ioc.nr_tasks += 1


def off_the_tree(ioc: IoContext, _cic: CfqIoContext) -> None:
    ioc.radix_root.clear()


def dead_in_the_cache(_ioc: IoContext, cic: CfqIoContext) -> None:
    cic.queue_list = None
    cic.key, cic.dead_key = None, 1


def half_dead(ioc: IoContext, cic: CfqIoContext) -> None:
    ioc.ioc_data = None
    cic.key = None


def made_too_late(_ioc: IoContext, cic: CfqIoContext) -> None:
    cic._made_without_tasks = True


CHANGES = {
    a_reference_more: "refcount is 3",
    a_task_more: "nr_tasks is 2",
    off_the_tree: "the tree and the list differ",
    dead_in_the_cache: "ioc_data points at",
    half_dead: "neither alive nor dead",
    made_too_late: "made when nr_tasks was 0",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_invariant_can_break(change: Callable[[IoContext, CfqIoContext], None]) -> None:
    scene, _, ioc, cic = busy()
    scene.check()
    change(ioc, cic)
    with pytest.raises(InvariantBroken, match=CHANGES[change]):
        scene.check()


def test_an_exit_under_a_queue_lock_is_seen_even_when_it_takes_none() -> None:
    scene, queue, ioc, _ = busy()
    scene.switch_away(queue)  # The cic is dead, and the exit path has nothing to do.
    with scene.device("sdb").queue_lock.held(scene.kernel):
        cfq_context.cfq_exit(scene.kernel, ioc)
    with pytest.raises(InvariantBroken, match="under a queue_lock"):
        scene.check()


def test_what_is_left_is_named() -> None:
    scene, _, _, _ = busy()
    with pytest.raises(Leak, match="1 IoContext, 1 CfqIoContext, 1 CfqQueue"):
        scene.end()


def test_freed_memory_cannot_be_read_written_or_freed() -> None:
    scene = Scene(LINUX_2_6_27)
    ioc = blk_ioc.alloc_io_context(scene.kernel, "a")
    scene.kernel.memory.free(ioc)
    with pytest.raises(UseAfterFree, match=r"read of IoContext\.refcount"):
        _ = ioc.refcount
    with pytest.raises(UseAfterFree, match=r"write to IoContext\.ioprio"):
        ioc.ioprio = 4
    with pytest.raises(UseAfterFree, match="double free"):
        scene.kernel.memory.free(ioc)


def test_the_address_that_was_freed_last_is_given_again() -> None:
    scene = Scene(LINUX_2_6_27)
    first = blk_ioc.alloc_io_context(scene.kernel, "a")
    other = blk_ioc.alloc_io_context(scene.kernel, "b")
    assert first._address != other._address
    scene.kernel.memory.free(first)
    assert blk_ioc.alloc_io_context(scene.kernel, "c")._address == first._address


def test_a_grace_period_waits_for_readers() -> None:
    scene, _, _, cic = busy()
    with scene.kernel.rcu_read_lock():
        cfq_context.free_cic(scene.kernel, cic)
        scene.kernel.memory.grace_period()
        assert not cic._freed
    scene.kernel.memory.grace_period()
    assert cic._freed


def test_a_lock_is_taken_once() -> None:
    scene, queue, _, _ = busy()
    other = scene.device("sdb")
    with queue.queue_lock.held(scene.kernel):
        with pytest.raises(Deadlock, match="by the CPU that holds it"):
            scene.expire(queue)
        with pytest.raises(Deadlock, match="possible recursive locking"):
            scene.expire(other)
        with scene.kernel.on_another_cpu(), pytest.raises(ImpossibleError):
            scene.expire(queue)
    scene.expire(queue)


def test_a_reference_too_few_is_a_bug() -> None:
    scene = Scene(LINUX_2_6_27)
    ioc = IoContext(lock=scene.device().queue_lock, refcount=0)
    with pytest.raises(KernelBug, match="refcount"):
        blk_ioc.put_io_context(scene.kernel, ioc)
    assert blk_ioc.ioc_task_link(scene.kernel, ioc, "a") is None


def test_references_of_requests_and_slices_are_counted() -> None:
    scene = Scene(LINUX_2_6_27)
    queue, task = scene.device(), scene.kernel.task("a")
    request = scene.request(task, queue)
    ioc = task.io_context
    assert ioc is not None
    counted = (
        invariants.requests_of(scene.kernel, ioc),
        invariants.slices_of(scene.kernel, ioc),
    )
    assert (ioc.refcount, *counted) == (3, 1, 1)
    scene.complete(request)
    scene.expire(queue)
    assert ioc.refcount == 1


def test_an_exit_ends_the_slice_though_requests_are_on_their_way() -> None:
    scene = Scene(LINUX_2_6_27)
    queue, task = scene.device(), scene.kernel.task("a")
    request = scene.request(task, queue)
    scene.exit(task)
    assert queue.elevator is not None
    assert (queue.elevator.active_queue, queue.elevator.active_cic) == (None, None)
    scene.complete(request)
    scene.end()


def test_references_without_a_task_get_no_idle_window() -> None:
    scene = Scene(LINUX_2_6_27, checking=False)
    queue, task = scene.device(), scene.kernel.task("a")
    waits = []
    for tasks_left in (1, 0):
        ioc = blk_ioc.current_io_context(scene.kernel, task)
        ioc.nr_tasks = tasks_left
        scene.read(task, queue)
        assert queue.elevator is not None
        waits.append(queue.elevator.idling)
        scene.expire(queue)
    assert waits == [True, False]
