"""The data plane's contexts live and end as their specification says, in every order of events."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lifecycle_pair import DONE, Pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.lifecycle_pair import Live

    Choose = Callable[[int], int]
    Action = tuple[str, Callable[[], object]]

CLIENTS = ("anna", "ben")
DEVICES = ("vda", "vdb")
SESSIONS_MAX = 6
HOLDERS_MAX = 4


class Walk:
    """What can happen next to a pair, and what has happened."""

    def __init__(self, choose: Choose) -> None:
        self.pair, self.choose = Pair(), choose
        self.seen: set[str] = set()

    def step(self) -> None:
        """Does one of the things that can be done."""
        actions: list[Action] = [("enter", self._nest), ("set", self._set)]
        if len(self.pair.sessions) < SESSIONS_MAX:
            actions += [("begin", self._begin)] * 2
        if len(self.pair.holders) < HOLDERS_MAX:
            actions.append(("keep", self._keep))
        if self.pair.holders:
            actions.append(("give up", self._give_up))
        for each in self.pair.sessions:
            actions += self._of_a_session(each)
        name, act = actions[self.choose(len(actions))]
        answer = act()
        self.seen.add(f"{name}: {answer}" if isinstance(answer, bool | str) else name)

    def finish(self) -> None:
        """Everything ends."""
        for each in list(self.pair.sessions):
            if not each.has_ended:
                self.pair.end(each)
            while each.in_flight:
                self.pair.complete(each)
            self.pair.drain(each)
        while self.pair.holders:
            self.pair.give_up(self.pair.holders[0])
        self.pair.nothing_left()

    def _of_a_session(self, each: Live) -> list[Action]:
        if each.has_ended and not each.in_flight:
            return [("drain", lambda: self.pair.drain(each))]
        actions: list[Action] = [("hold", lambda: self.pair.hold(each, self.choose(9) - 4))]
        if each.in_flight:
            actions.append(("complete", lambda: self.pair.complete(each)))
        if not each.has_ended:
            actions.append(("submit", lambda: self.pair.submit(each)))
            actions.append(("end", lambda: self.pair.end(each)))
        return actions

    def _begin(self) -> None:
        self.pair.begin(
            CLIENTS[self.choose(len(CLIENTS))],
            device=DEVICES[self.choose(len(DEVICES))],
            submitter=self.choose(self.pair.submitters),
            weight=1 + self.choose(3),
        )

    def _nest(self) -> str:
        """Names of now and of then, by chance."""
        if not self.pair.named:
            return DONE
        recent = self.pair.named[-8:]
        contexts = [recent[self.choose(len(recent))] for _ in range(1 + self.choose(3))]
        return self.pair.nest(self.choose(self.pair.submitters), contexts)

    def _keep(self) -> str:
        if not self.pair.named:
            return DONE
        recent = self.pair.named[-8:]
        return self.pair.keep(recent[self.choose(len(recent))])

    def _give_up(self) -> bool:
        return self.pair.give_up(self.pair.holders[self.choose(len(self.pair.holders))])

    def _set(self) -> str:
        if not self.pair.named:
            return DONE
        recent = self.pair.named[-8:]
        return self.pair.change(recent[self.choose(len(recent))], 1 + self.choose(9))


@given(st.lists(st.integers(0, 39), max_size=150))
def test_both_live_and_end_alike(choices: list[int]) -> None:
    numbers = iter(choices)
    walk = Walk(lambda n: next(numbers, 0) % n)
    for _ in range(len(choices) // 2):
        walk.step()
    walk.finish()


@pytest.mark.parametrize("seed", range(10))
def test_both_live_and_end_alike_for_long(seed: int) -> None:
    walk = Walk(random.Random(seed).randrange)
    for _ in range(600):
        walk.step()
    walk.finish()


def test_walks_come_to_everything() -> None:
    """The tests above would hold for nothing if walks did nothing."""
    seen: set[str] = set()
    for seed in range(5):
        walk = Walk(random.Random(seed).randrange)
        for _ in range(600):
            walk.step()
        seen |= walk.seen
    answers = (DONE, "StaleContextError", "ClosingContextError")
    assert seen == {
        *("begin", "hold", "submit: done"),
        *(f"enter: {answer}" for answer in answers),
        *(f"set: {answer}" for answer in answers[:2]),
        *(f"keep: {answer}" for answer in answers[:2]),
        *(
            f"{name}: {left}"
            for name in ("end", "complete", "drain", "give up")
            for left in (False, True)
        ),
    }
