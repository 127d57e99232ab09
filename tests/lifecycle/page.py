"""The tables of docs/why-the-2008-patch-crashed.md, made by the model.

Usage: python -m tests.lifecycle.page
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lifecycle.linux_2_6_27 import patch
from tests.lifecycle.linux_2_6_27.scene import outcome
from tests.lifecycle.scenarios import derived, kernel_history, target_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.lifecycle.linux_2_6_27.patch import Step
    from tests.lifecycle.scenarios.scenario import Scenario

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "why-the-2008-patch-crashed.md"
LATE: Final = (*patch.without(patch.PATCH, patch.EXPIRE.name), patch.EXPIRE)
_PLACE: Final = re.compile(r"(<!-- table: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _code(name: str) -> str:
    """What stands behind a step's colon is code, except where it is a sentence."""
    words, colon, code = name.partition(": ")
    return f"{words}{colon}`{code}`" if "(" in code or "=" in code else name


def states(steps: tuple[Step, ...]) -> str:
    """Refcount, nr_tasks and cics after each step."""
    rows = []
    for state in patch.states(steps):
        fault = f": `{state.fault.partition(': ')[2]}`" if state.fault else ""
        rows.append((_code(state.step), state.refcount, state.nr_tasks, state.cics + fault))
    return _rows(("step", "refcount", "nr_tasks", "cics"), rows)


def causes() -> str:
    """What becomes of it when one step is left out."""
    return _rows(
        ("without", "ends in"),
        ((_code(step.name), _ending(patch.outcome(patch.without(patch.PATCH, step.name))))
         for step in patch.PATCH if step is not patch.COMPLETE),
    )  # fmt: skip


def scenarios(which: Sequence[Scenario]) -> str:
    """Each with where it is from, why, and how it ends."""
    return _rows(
        ("what goes wrong", "from", "because", "ends in"),
        (
            (
                each.name,
                each.origin,
                each.shows.replace("|", "/"),
                _ending(outcome(each.steps, each.kernel, checking=False)),
            )
            for each in which
        ),
    )


def _ending(text: str) -> str:
    kind, colon, words = text.partition(": ")
    if kind == "KernelBug":
        return f"`{words}`"
    named = {"Leak": "a leak", "UseAfterFree": "use after free", "Deadlock": "deadlock"}
    return named.get(kind, text) if colon else text.replace("survives", "nothing")


TABLES: Final = {
    "the patch": states(patch.PATCH),
    "the slice is last": states(LATE),
    "the exit path": states(patch.replaced(patch.PATCH, patch.PUT.name, patch.EXIT)),
    "one step less": causes(),
    "the kernel": scenarios(kernel_history.SCENARIOS),
    "targets": scenarios(target_history.SCENARIOS),
    "derived": scenarios(derived.SCENARIOS),
}


def filled(text: str) -> str:
    """The page with every table as the model says."""
    return _PLACE.sub(lambda match: f"{match[1]}{TABLES[match[2]]}{match[3]}", text)


def places(text: str) -> list[str]:
    """The tables that a page has places for."""
    return [match[2] for match in _PLACE.finditer(text)]


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
