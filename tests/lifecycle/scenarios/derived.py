"""What follows from the code, whether anybody has met it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.lifecycle.linux_2_6_27 import tasks
from tests.lifecycle.linux_2_6_27.protocols import ExitHelper, Patch2008
from tests.lifecycle.scenarios.scenario import Scenario
from tests.lifecycle.scenarios.target_history import DEAD_KEY, close, command, life

if TYPE_CHECKING:
    from tests.lifecycle.linux_2_6_27.protocols import Session
    from tests.lifecycle.linux_2_6_27.scene import Scene
    from tests.lifecycle.scenarios.scenario import Steps


def thread_is_killed_in_the_section(scene: Scene) -> None:
    queue, thread = scene.device(), scene.kernel.task("thread")
    session = ExitHelper(scene.kernel, "session")
    submitter = session.enter(scene.kernel, thread)
    scene.read(submitter, queue)
    tasks.do_exit(scene.kernel, thread)
    scene.expire(queue)
    close(scene, session)


def thread_forks(*, inside: bool) -> Steps:
    """A thread starts another one with CLONE_IO, in the middle of a command or after it."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = ExitHelper(scene.kernel, "session")
        child = None
        with scene.section(session, thread) as submitter:
            scene.read(submitter, queue)
            if inside:
                child = scene.do(tasks.copy_process, thread, "child", clone_io=True)
        if not inside:
            child = scene.do(tasks.copy_process, thread, "child", clone_io=True)
        assert child is not None
        close(scene, session)
        scene.exit(child, thread)
        scene.expire(queue)
        scene.end()

    return steps


def priority_from_outside(*, inside: bool) -> Steps:
    """ioprio_set() names a thread, in the middle of a command or after it."""

    def steps(scene: Scene) -> str | None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = ExitHelper(scene.kernel, "session")
        with scene.section(session, thread) as submitter:
            if inside:
                scene.do(tasks.set_task_ioprio, thread, 4)
            scene.read(submitter, queue)
        if not inside:
            scene.do(tasks.set_task_ioprio, thread, 4)
        got_it = session.ioc.ioprio
        close(scene, session)
        scene.exit(thread)
        scene.expire(queue)
        scene.end()
        return "the client has the thread's priority" if got_it else None

    return steps


def child_of_a_prioritised_client(*, inside: bool) -> Steps:
    """A thread forks without CLONE_IO; a priority is inherited all the same."""

    def steps(scene: Scene) -> str | None:
        thread = scene.kernel.task("thread")
        session = ExitHelper(scene.kernel, "session")
        session.ioc.ioprio = 4
        child = None
        with scene.section(session, thread):
            if inside:
                child = scene.do(tasks.copy_process, thread, "child")
        if not inside:
            child = scene.do(tasks.copy_process, thread, "child")
        assert child is not None
        inherited = child.io_context is not None
        close(scene, session)
        scene.exit(child, thread)
        scene.end()
        return "the child has the client's priority" if inherited else None

    return steps


def priority_between_two_commands(kind: type[Session]) -> Steps:
    """ioprio_set() gives a thread an io_context of its own while it has none."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = kind(scene.kernel, "session")
        scene.do(tasks.set_task_ioprio, thread, 4)
        with scene.section(session, thread):
            pass
        close(scene, session)
        scene.exit(thread)
        scene.expire(queue)
        scene.end()

    return steps


def session_ends_around(*, in_the_section: bool) -> Steps:
    """A session ends while a command of it still submits, or after that."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = ExitHelper(scene.kernel, "session")
        with scene.section(session, thread) as submitter:
            first = scene.request(submitter, queue)
            if in_the_section:
                close(scene, session)
            second = scene.request(submitter, queue)
        scene.complete(first)
        scene.complete(second)
        if not in_the_section:
            close(scene, session)
        scene.expire(queue)
        scene.exit(thread)
        scene.end()

    return steps


def elevator_goes_and_comes_back(kind: type[Session]) -> Steps:
    """CFQ goes, comes back at the same address, and the client reads again."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        session = kind(scene.kernel, "session")
        command(scene, session, thread, queue)
        scene.switch_away(queue)
        scene.switch_back(queue)
        command(scene, session, thread, queue)
        scene.expire(queue)
        close(scene, session)
        scene.exit(thread)
        scene.end()

    return steps


def elevator_goes_first(scene: Scene) -> None:
    queue, thread = scene.device(), scene.kernel.task("thread")
    session = Patch2008(scene.kernel, "session")
    command(scene, session, thread, queue)
    scene.switch_away(queue)
    close(scene, session)
    scene.exit(thread)
    scene.end()


def one_client_inside_another(kind: type[Session]) -> Steps:
    """A command of one client makes one of another's, on the same thread."""

    def steps(scene: Scene) -> None:
        queue, thread = scene.device(), scene.kernel.task("thread")
        outer, inner = kind(scene.kernel, "outer"), kind(scene.kernel, "inner")
        with scene.section(outer, thread) as submitter:
            with scene.section(inner, thread):
                pass
            scene.read(submitter, queue)
        close(scene, inner)
        close(scene, outer)
        scene.exit(thread)
        scene.expire(queue)
        scene.end()

    return steps


def two_devices_one_gone(kind: type[Session]) -> Steps:
    """A session has read from two devices; one of them gets another elevator."""

    def steps(scene: Scene) -> None:
        queues = [scene.device(name) for name in ("sda", "sdb")]
        thread = scene.kernel.task("thread")
        session = kind(scene.kernel, "session")
        for queue in queues:
            command(scene, session, thread, queue)
        scene.switch_away(queues[0])
        scene.expire(queues[1])
        close(scene, session)
        scene.exit(thread)
        scene.end()

    return steps


SCENARIOS: Final = (
    Scenario(
        name="a thread is killed in the section",
        origin="derived",
        shows="its exit takes the session's only task and reference, and the session has none",
        steps=thread_is_killed_in_the_section,
        with_bug="UseAfterFree: read of IoContext.nr_tasks",
        right_steps=life(ExitHelper),
    ),
    Scenario(
        name="a thread forks in the section",
        origin="derived",
        shows="CLONE_IO shares what the parent has at that moment: the client's",
        steps=thread_forks(inside=True),
        with_bug="Leak: 1 IoContext, 1 CfqIoContext",
        right_steps=thread_forks(inside=False),
    ),
    Scenario(
        name="a child inherits a client's priority",
        origin="derived",
        shows="copy_io() looks at the parent's io_context, which is the client's at that moment",
        steps=child_of_a_prioritised_client(inside=True),
        with_bug="the child has the client's priority",
        right_steps=child_of_a_prioritised_client(inside=False),
        seen_by_checks=False,
    ),
    Scenario(
        name="a priority from outside meets the client",
        origin="derived",
        shows="ioprio_set() names a thread and changes whatever context it has just then",
        steps=priority_from_outside(inside=True),
        with_bug="the client has the thread's priority",
        right_steps=priority_from_outside(inside=False),
        seen_by_checks=False,
    ),
    Scenario(
        name="a priority from outside between two commands",
        origin="derived",
        shows="the thread gets an io_context of its own, and the next command's NULL loses it",
        steps=priority_between_two_commands(Patch2008),
        with_bug="Leak: 1 IoContext",
        right_steps=priority_between_two_commands(ExitHelper),
    ),
    Scenario(
        name="a cic is made after the exit",
        origin="derived",
        shows="a command submits after nr_tasks reached 0: its cic is alive and nobody will exit",
        steps=session_ends_around(in_the_section=True),
        with_bug=DEAD_KEY,
        right_steps=session_ends_around(in_the_section=False),
    ),
    Scenario(
        name="the elevator goes before the session",
        origin="derived",
        shows="the queue has marked the cic dead, so the patch of 2008 does not crash",
        steps=elevator_goes_first,
        seen_by_checks=False,
    ),
    Scenario(
        name="the elevator goes and comes back",
        origin="derived",
        shows="the next read makes a cic that is alive, and it crashes again",
        steps=elevator_goes_and_comes_back(Patch2008),
        with_bug=DEAD_KEY,
        right_steps=elevator_goes_and_comes_back(ExitHelper),
    ),
    Scenario(
        name="one client inside another",
        origin="derived",
        shows="the inner command's NULL takes the outer one's context away",
        steps=one_client_inside_another(Patch2008),
        with_bug="Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
        right_steps=one_client_inside_another(ExitHelper),
    ),
    Scenario(
        name="a session without I/O",
        origin="derived",
        shows="there is no cic that could be alive, so the patch of 2008 does not crash",
        steps=life(Patch2008, reads=0),
        seen_by_checks=False,
    ),
    Scenario(
        name="two devices, one gone",
        origin="derived",
        shows="one of two cics is dead; the other one crashes",
        steps=two_devices_one_gone(Patch2008),
        with_bug=DEAD_KEY,
        right_steps=two_devices_one_gone(ExitHelper),
    ),
)
