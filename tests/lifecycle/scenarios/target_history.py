"""Mistakes of targets: SCST's history, and the fixes that do not help."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tests.lifecycle.linux_2_6_27.builds import LINUX_2_6_27
from tests.lifecycle.linux_2_6_27.protocols import (
    CopyEachCommand,
    ExitEachCommand,
    ExitHelper,
    Keeper,
    LinkEachCommand,
    Patch2008,
)
from tests.lifecycle.scenarios.scenario import Scenario
from tests.lifecycle.scenarios.sessions import (
    BarePuts,
    CountedKeeper,
    NullAfterwards,
    PoolThatCounts,
    PoolThatCountsStarts,
    SharedKeeper,
    UnreadyKeeper,
)

if TYPE_CHECKING:
    from tests.lifecycle.linux_2_6_27.objects import RequestQueue, Task
    from tests.lifecycle.linux_2_6_27.protocols import Session
    from tests.lifecycle.linux_2_6_27.scene import Scene
    from tests.lifecycle.scenarios.scenario import Steps


def command(scene: Scene, session: Session, thread: Task, queue: RequestQueue) -> None:
    """A read of a session on a thread."""
    with scene.section(session, thread) as submitter:
        scene.read(submitter, queue)


def close(scene: Scene, session: Session) -> None:
    """The session ends."""
    session.close(scene.kernel)
    scene.check()


def life(kind: type[Session], *, expire_first: bool = True, reads: int = 1) -> Steps:
    """A session, its reads, its end; the slice expires before it or after."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = kind(scene.kernel, "session")
        for _ in range(reads):
            command(scene, session, thread, queue)
        if expire_first:
            scene.expire(queue)
        close(scene, session)
        scene.expire(queue)
        scene.exit(thread)
        scene.end()

    return steps


def thread_with_io_of_its_own(kind: type[Session]) -> Steps:
    """The thread has read for itself before, and has an io_context."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        scene.read(thread, queue)
        session = kind(scene.kernel, "session")
        command(scene, session, thread, queue)
        close(scene, session)
        scene.exit(thread)
        scene.expire(queue)
        scene.end()

    return steps


def switched_in_an_interrupt(scene: Scene) -> None:
    queue, victim = scene.device(), scene.kernel.task("whoever was interrupted")
    scene.read(victim, queue)
    session = ExitHelper(scene.kernel, "session")
    with victim.alloc_lock.held(scene.kernel):  # It was in the middle of something.
        command(scene, session, victim, queue)


def handed_to_a_thread(scene: Scene) -> None:
    queue, victim = scene.device(), scene.kernel.task("whoever was interrupted")
    scene.read(victim, queue)
    session = ExitHelper(scene.kernel, "session")
    thread = scene.kernel.task("thread")
    command(scene, session, thread, queue)
    close(scene, session)
    scene.exit(thread, victim)
    scene.expire(queue)
    scene.end()


def command_before_the_keeper_runs(scene: Scene) -> None:
    queue, thread = scene.device(), scene.kernel.task("thread")
    session = UnreadyKeeper(scene.kernel, "session")
    command(scene, session, thread, queue)
    scene.do(session.keeper_runs)
    close(scene, session)
    scene.exit(thread)
    scene.expire(queue)
    scene.end()


def closed_before_the_second_thread_ran(kind: type[PoolThatCountsStarts]) -> Steps:
    """A pool of two threads, and a session so short that one of them never ran."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = kind(scene.kernel, "session")
        session.starts(scene.kernel)
        scene.checking = False  # The common reference is nobody's, which is the point.
        scene.read(session.enter(scene.kernel, thread), queue)
        close(scene, session)
        scene.expire(queue)
        scene.end()

    return steps


def two_sessions_of_one_client(kind: type[SharedKeeper]) -> Steps:
    """The first session ends, the second one goes on."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        first = kind(scene.kernel, "first")
        second = first.joined_by(scene.kernel, "second")
        command(scene, first, thread, queue)
        close(scene, first)
        command(scene, second, thread, queue)
        if isinstance(first, CountedKeeper):
            close(scene, first)
        scene.expire(queue)
        scene.exit(thread)
        scene.end()

    return steps


def no_bug_on(scene: Scene) -> None:
    queue, thread = scene.device(), scene.kernel.task("thread")
    session = Patch2008(scene.kernel, "session")
    command(scene, session, thread, queue)
    scene.expire(queue)
    close(scene, session)
    scene.kernel.memory.grace_period()
    scene.read(thread, queue)  # Another client's turn.


def idle_windows(kind: type[Session]) -> Steps:
    """Three commands one after the other; the device should wait for each next one."""

    def steps(scene: Scene) -> str | None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = kind(scene.kernel, "session")
        waits = 0
        for _ in range(3):
            with scene.section(session, thread) as submitter:
                request = scene.request(submitter, queue)
            scene.complete(request)
            waits += queue.elevator is not None and queue.elevator.idling
        close(scene, session)
        scene.expire(queue)
        scene.exit(thread)
        scene.end()
        if (waits, scene.kernel.counts["cic"]) == (3, 1):
            return None
        return f"the device waited {waits} times, with {scene.kernel.counts['cic']} histories"

    return steps


DEAD_KEY: Final = "KernelBug: BUG_ON(!cic->dead_key)"

SCENARIOS: Final = (
    Scenario(
        name="the session's put meets a cic that is alive",
        origin="SCST, the patch of 2008-12-12; r710 is the fix",
        shows="references reached 0, and nobody had run the exit path",
        steps=life(Patch2008),
        with_bug=DEAD_KEY,
        right_steps=life(ExitHelper),
    ),
    Scenario(
        name="the slice is the last to let go",
        origin="SCST, the patch of 2008-12-12, with the end inside the idle window",
        shows="the same, later, under queue_lock, in whatever ran when the slice expired",
        steps=life(Patch2008, expire_first=False),
        with_bug=DEAD_KEY,
        right_steps=life(ExitHelper, expire_first=False),
    ),
    Scenario(
        name="NULL instead of what was there",
        origin="SCST r721 (2009-03) to 2c23bf200 (2012-04)",
        shows="the thread's own io_context is forgotten after the first command",
        steps=thread_with_io_of_its_own(NullAfterwards),
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_steps=thread_with_io_of_its_own(ExitHelper),
    ),
    Scenario(
        name="switched in an interrupt",
        origin="SCST r710, fixed by r721 (f8ba391ae)",
        shows="current is whoever was interrupted, with whatever locks it holds",
        steps=switched_in_an_interrupt,
        with_bug="Deadlock: alloc_lock is taken by the CPU that holds it",
        right_steps=handed_to_a_thread,
    ),
    Scenario(
        name="a command before the keeper is ready",
        origin="SCST, fixed by 2a973f0df and 9963c1857 (2010)",
        shows="the command runs in no context of the client's, and what it got is forgotten",
        steps=command_before_the_keeper_runs,
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_steps=life(Keeper),
    ),
    Scenario(
        name="cleaning up is left to a thread that never ran",
        origin="SCST, fixed by 25dd5b2e2 (2010-12)",
        shows="kthread_stop() before its first run: the common reference is never dropped",
        steps=closed_before_the_second_thread_ran(PoolThatCountsStarts),
        with_bug="Leak: 1 IoContext, 1 CfqIoContext",
        right_steps=closed_before_the_second_thread_ran(PoolThatCounts),
    ),
    Scenario(
        name="bare puts of what was linked",
        origin="SCST r1563 (08e7c3fba), fixed by r1570 (4e53e166b)",
        shows="the patch of 2008 again, in other words",
        steps=life(BarePuts),
        with_bug=DEAD_KEY,
        right_steps=life(Keeper),
    ),
    Scenario(
        name="two sessions share a keeper",
        origin="SCST, fixed by d27d945c4 (2010-04) with a count of its own",
        shows="the first one to end stops the keeper under the other",
        steps=two_sessions_of_one_client(SharedKeeper),
        with_bug="UseAfterFree: read of IoContext.refcount",
        right_steps=two_sessions_of_one_client(CountedKeeper),
    ),
    Scenario(
        name="a link for each command",
        origin="a fix that does not help",
        shows="nr_tasks grows, nothing lowers it, and the exit path never runs",
        steps=life(LinkEachCommand),
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_steps=life(ExitHelper),
    ),
    Scenario(
        name="a reference for each command",
        origin="a fix that does not help (copy_io_context)",
        shows="references were never missing",
        steps=life(CopyEachCommand),
        with_bug=DEAD_KEY,
        right_steps=life(ExitHelper),
    ),
    Scenario(
        name="exit at the last put",
        origin="a fix that does not help; 3.3 needed a work item for it",
        shows="the last put may be the slice's, under the lock that exit takes",
        steps=life(Patch2008, expire_first=False),
        kernel=replace(LINUX_2_6_27, last_put="exit at once"),
        with_bug="Deadlock: queue_lock is taken by the CPU that holds it",
        right_steps=life(ExitHelper, expire_first=False),
        right_kernel=LINUX_2_6_27,
    ),
    Scenario(
        name="without the BUG_ON",
        origin="a fix that does not help (CONFIG_BUG=n)",
        shows="the cic is freed and still on the device's list, where the next client meets it",
        steps=no_bug_on,
        kernel=replace(LINUX_2_6_27, bug_on=False),
        with_bug="UseAfterFree: read of CfqIoContext.queue_list",
        right_steps=life(ExitHelper),
    ),
    Scenario(
        name="exit after every command",
        origin="a fix that costs what it was for",
        shows="nothing breaks; but no history and no idle window outlives a command",
        steps=idle_windows(ExitEachCommand),
        with_bug="the device waited 0 times, with 3 histories",
        right_steps=idle_windows(ExitHelper),
        seen_by_checks=False,
    ),
)
