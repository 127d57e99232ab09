"""Why the patch of December 2008 hit BUG_ON(!cic->dead_key), step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lifecycle.linux_2_6_27 import patch
from tests.lifecycle.linux_2_6_27.builds import LINUX_2_6_27, LINUX_3_3
from tests.lifecycle.linux_2_6_27.scene import SURVIVES

DEAD_KEY = "KernelBug: BUG_ON(!cic->dead_key)"
LATE = (*patch.without(patch.PATCH, patch.EXPIRE.name), patch.EXPIRE)
"""The session ends inside the idle window; the slice expires afterwards."""

# Without it there is no crash; what is left instead.
CAUSES = {
    patch.ALLOC.name: "Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",  # The thread's own one.
    patch.BORROW.name: "Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",  # The same.
    patch.SUBMIT.name: SURVIVES,
    patch.PUT.name: "Leak: 1 IoContext, 1 CfqIoContext, 1 CfqQueue",
}
NO_CAUSES = (patch.DISPATCH.name, patch.GIVE_BACK.name, patch.EXPIRE.name)


def test_it_crashes_at_the_end_of_the_session() -> None:
    assert patch.outcome(patch.PATCH) == DEAD_KEY
    assert patch.crash_site(patch.PATCH) == patch.PUT.name


def test_nothing_is_outstanding_when_it_crashes() -> None:
    before_the_end = patch.states(patch.PATCH)[-2]
    assert (before_the_end.refcount, before_the_end.nr_tasks) == ("1", "1")
    assert before_the_end.cics == "1 alive"


@pytest.mark.parametrize("name", CAUSES)
def test_undoing_a_cause_takes_the_crash_away_and_redoing_brings_it_back(name: str) -> None:
    undone = patch.without(patch.PATCH, name)
    assert len(undone) == len(patch.PATCH) - 1
    assert patch.outcome(undone) == CAUSES[name]
    (step,) = (step for step in patch.PATCH if step.name == name)
    following = patch.PATCH[patch.PATCH.index(step) + 1 :]
    redone = patch.before(undone, following[0].name, step) if following else (*undone, step)
    assert redone == patch.PATCH
    assert patch.outcome(redone) == DEAD_KEY


@pytest.mark.parametrize("name", NO_CAUSES)
def test_undoing_anything_else_leaves_the_crash(name: str) -> None:
    assert patch.outcome(patch.without(patch.PATCH, name)) == DEAD_KEY


def test_it_may_come_later_and_to_somebody_else() -> None:
    """The session's put is not the last: the slice's is, in the timer's interrupt."""
    assert patch.outcome(LATE) == DEAD_KEY
    assert patch.crash_site(LATE) == patch.EXPIRE.name


@pytest.mark.parametrize("steps", [patch.PATCH, LATE], ids=["slice first", "session first"])
def test_the_exit_path_at_the_end_is_what_was_missing(steps: tuple[patch.Step, ...]) -> None:
    assert patch.outcome(patch.replaced(steps, patch.PUT.name, patch.EXIT)) == SURVIVES


def test_an_elevator_that_went_before_has_run_the_exit_path() -> None:
    steps = patch.before(patch.PATCH, patch.PUT.name, patch.SWITCH)
    assert patch.states(steps)[-2].cics == "1 dead"
    assert patch.outcome(steps) == SURVIVES


def test_without_the_bug_on_the_damage_is_done() -> None:
    """The cic is still on the device's list, and leads to the io_context that was freed."""
    steps = (*patch.PATCH, patch.SWITCH)
    assert patch.outcome(steps, patch.NO_BUG_ON) == "UseAfterFree: read of IoContext.ioc_data"


@pytest.mark.parametrize("steps", [patch.PATCH, LATE], ids=["slice first", "session first"])
def test_linux_3_3_would_not_have_crashed(steps: tuple[patch.Step, ...]) -> None:
    """There the last put marks what is alive as dead, in a work item."""
    assert patch.outcome(steps, LINUX_3_3) == SURVIVES


def test_exit_at_the_last_put_needs_the_work_item() -> None:
    at_once = replace(LINUX_2_6_27, last_put="exit at once")
    assert patch.outcome(patch.PATCH, at_once) == SURVIVES
    assert patch.outcome(LATE, at_once) == (
        "Deadlock: queue_lock is taken by the CPU that holds it"
    )
