"""Right ways to lend an io_context survive every order of events; wrong ones fail as they must."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lifecycle.linux_2_6_27 import cfq_context
from tests.lifecycle.linux_2_6_27.builds import (
    LINUX_2_6_25,
    LINUX_2_6_27,
    LINUX_2_6_33,
    REPAIRED,
)
from tests.lifecycle.linux_2_6_27.protocols import (
    RIGHT,
    CopyEachCommand,
    ExitEachCommand,
    LinkEachCommand,
    OwnPool,
    Patch2008,
    Session,
)
from tests.lifecycle.linux_2_6_27.scene import SURVIVES
from tests.lifecycle.walk import Ending, Walk, walk

if TYPE_CHECKING:
    from tests.lifecycle.linux_2_6_27.builds import Build

SEEDS = range(12)
STEPS = 300
BORROWING = {name: kind for name, kind in RIGHT.items() if kind is not OwnPool}


def endings(kind: type[Session], build: Build, *, between: bool = False) -> list[Ending]:
    """How twenty walks end where the checks do not look."""
    return [
        walk(
            Walk(
                kind,
                build,
                random.Random(seed).randrange,
                checking=False,
                between=between,
                nesting_max=1,
            ),
            steps=STEPS,
        )
        for seed in range(20)
    ]


def kinds_of(found: list[Ending]) -> set[str]:
    """The outcomes; leaks without what leaked."""
    return {"Leak" if each.outcome.startswith("Leak") else each.outcome for each in found}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_way_survives(name: str, seed: int) -> None:
    """With other CPUs that come between, on a kernel whose own mistakes are repaired."""
    path = Walk(RIGHT[name], REPAIRED, random.Random(seed).randrange, between=True)
    ending = walk(path, steps=STEPS)
    assert ending.outcome == SURVIVES, (seed, ending.happened)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BORROWING)
def test_a_right_way_survives_on_2_6_27(name: str, seed: int) -> None:
    path = Walk(BORROWING[name], LINUX_2_6_27, random.Random(seed).randrange)
    ending = walk(path, steps=STEPS)
    assert ending.outcome == SURVIVES, (seed, ending.happened)


@given(st.sampled_from(sorted(RIGHT)), st.lists(st.integers(0, 59), max_size=120))
def test_a_right_way_survives_what_hypothesis_thinks_of(name: str, choices: list[int]) -> None:
    numbers = iter(choices)
    path = Walk(RIGHT[name], REPAIRED, lambda n: next(numbers, n - 1) % n, between=True)
    ending = walk(path, steps=len(choices))
    assert ending.outcome == SURVIVES, ending.happened


def test_walks_come_to_everything() -> None:
    """The tests above would hold for nothing if walks did nothing."""
    happened: set[str] = set()
    for seed in SEEDS:
        path = Walk(RIGHT["exit helper"], REPAIRED, random.Random(seed).randrange, between=True)
        happened.update(walk(path, steps=STEPS).happened)
    assert happened >= {
        *("open", "close", "enter", "leave", "submit", "dispatch", "complete", "expire"),
        *("grace period", "elevator goes", "elevator comes"),
        f"{cfq_context.QUEUE_FOUND}: elevator goes",
        f"{cfq_context.CACHE_WRITE}: expire",
        f"{cfq_context.WALK}: grace period",
    }


def test_the_patch_crashes_in_the_session_and_elsewhere() -> None:
    found = endings(Patch2008, LINUX_2_6_27)
    assert kinds_of(found) == {"KernelBug: BUG_ON(!cic->dead_key)"}
    assert {each.last for each in found} >= {"close", "expire"}


def test_exit_at_the_last_put_locks_up() -> None:
    found = kinds_of(endings(Patch2008, replace(LINUX_2_6_27, last_put="exit at once")))
    assert "Deadlock: queue_lock is taken by the CPU that holds it" in found
    assert found <= {
        "Deadlock: queue_lock is taken by the CPU that holds it",
        "Deadlock: possible recursive locking: queue_lock",
        SURVIVES,
    }


def test_without_bug_on_memory_is_used_after_it_was_freed() -> None:
    found = kinds_of(endings(Patch2008, replace(LINUX_2_6_27, bug_on=False)))
    assert any(each.startswith("UseAfterFree") for each in found)
    assert SURVIVES not in found


def test_a_link_for_each_command_leaks() -> None:
    assert kinds_of(endings(LinkEachCommand, LINUX_2_6_27)) == {"Leak"}


def test_a_reference_for_each_command_crashes() -> None:
    found = endings(CopyEachCommand, LINUX_2_6_27)
    assert kinds_of(found) == {"KernelBug: BUG_ON(!cic->dead_key)"}


def test_exit_after_each_command_is_safe() -> None:
    assert kinds_of(endings(ExitEachCommand, LINUX_2_6_27)) == {SURVIVES}


@pytest.mark.parametrize("build", [LINUX_2_6_25, LINUX_2_6_27], ids=["2.6.25", "2.6.27"])
def test_a_pool_for_each_client_leaks_before_2_6_33(build: Build) -> None:
    assert kinds_of(endings(OwnPool, build)) == {"Leak"}
    assert kinds_of(endings(OwnPool, LINUX_2_6_33)) == {SURVIVES}


def test_a_queue_that_goes_at_the_wrong_moment_crashes_2_6_27_whatever_the_target_does() -> None:
    found = [
        each.outcome
        for kind in BORROWING.values()
        for each in endings(kind, LINUX_2_6_27, between=True)
    ]
    assert set(found) == {SURVIVES, "KernelBug: BUG_ON(!cic->dead_key)"}
    repaired = replace(LINUX_2_6_27, exit_rechecks_key=True)
    for kind in BORROWING.values():
        assert kinds_of(endings(kind, repaired, between=True)) == {SURVIVES}
