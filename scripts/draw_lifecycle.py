"""Draws docs/io-context-2008.svg: who holds an io_context in the patch of 2008, step by step.

What is drawn is what the model in tests/lifecycle does.

Usage: python -m scripts.draw_lifecycle
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.draw_picture import EDGE, box, text
from tests.lifecycle.linux_2_6_27 import patch

if TYPE_CHECKING:
    from tests.lifecycle.linux_2_6_27.patch import State

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "io-context-2008.svg"

WIDTH, HEIGHT = 980, 640
LEFT_X, COLUMN = 126, 103
PANEL_HEIGHT = 300
SQUARE = 22
HOLDERS: Final = (
    ("the session", "#2f6fde"),
    ("requests", "#d9822b"),
    ("the slice", "#2f9e63"),
)
TASKS, ALIVE, BAD = "#52606d", "#8e5bb5", "#c62828"
COLUMNS: Final = (
    ("session", "begins"),
    ("command", "begins"),
    ("first", "request"),
    ("", "dispatch"),
    ("", "completion"),
    ("command", "ends"),
    ("slice", "expires"),
    ("session", "ends"),
)
PANELS: Final = (
    ("The patch: the session ends with put_io_context()", patch.PATCH),
    (
        "What was missing: the session ends by the exit path",
        patch.replaced(patch.PATCH, patch.PUT.name, patch.EXIT),
    ),
)


def column_x(number: int) -> float:
    """The middle of a step's column."""
    return LEFT_X + COLUMN * (number + 0.5)


def bar(top: float, first: int, last: int, words: str, colour: str) -> list[str]:
    """A bar from one step's column to another's, with words in it."""
    x, width = LEFT_X + COLUMN * first + 8, COLUMN * (last - first + 1) - 16
    middle = x + width / 2
    return [
        f"<rect x='{x:g}' y='{top:g}' width='{width:g}' height='26' rx='5' fill='{colour}' "
        f"fill-opacity='0.22' stroke='{colour}' stroke-width='1.5'/>",
        text(middle, top + 18, words, size=12, anchor="middle"),
    ]


def references(states: list[State], bottom: float) -> list[str]:
    """A square for each reference, the session's lowest, and the count above."""
    parts = []
    for number, state in enumerate(states):
        y = bottom
        for count, (_, colour) in zip(state.holders, HOLDERS, strict=True):
            for _ in range(count):
                y -= SQUARE
                parts.append(
                    f"<rect x='{column_x(number) - 26:g}' y='{y + 1:g}' width='52' "
                    f"height='{SQUARE - 2}' rx='3' fill='{colour}'/>"
                )
        parts.append(text(column_x(number), y - 6, state.refcount, anchor="middle", weight="bold"))
    return parts


def panel(title: str, states: list[State], top: float) -> list[str]:
    """One way for a session to live and end."""
    last = len(states) - 1
    alive = [number for number, state in enumerate(states) if "alive" in state.cics]
    tasks = [number for number, state in enumerate(states) if int(state.nr_tasks or 0) > 0]
    end = states[-1]
    parts = [
        box(20, top, WIDTH - 40, PANEL_HEIGHT - 16, fill="#ffffff"),
        text(36, top + 26, title, size=15, weight="bold"),
    ]
    for number, (upper, lower) in enumerate(COLUMNS):
        parts.append(text(column_x(number), top + 52, upper, size=11, anchor="middle"))
        parts.append(text(column_x(number), top + 66, lower, size=11, anchor="middle"))
    parts += [
        text(36, top + 150, "refcount", weight="bold"),
        text(36, top + 200, "nr_tasks", weight="bold"),
        text(36, top + 240, "cic", weight="bold"),
        f"<path d='M{LEFT_X},{top + 172:g} H{LEFT_X + COLUMN * len(COLUMNS)}' stroke='{EDGE}'/>",
        *references(states, top + 170),
        *bar(top + 182, tasks[0], tasks[-1], "1: a task may still issue I/O", TASKS),
        *bar(top + 222, alive[0], alive[-1], "alive: key set, dead_key 0", ALIVE),
    ]
    if end.fault:
        words = end.fault.partition(": ")[2]
        parts.append(text(column_x(last) + 44, top + 272, words, anchor="end", weight="bold"))
        parts.append(
            f"<rect x='{LEFT_X + COLUMN * last + 4:g}' y='{top + 76:g}' width='{COLUMN - 8}' "
            f"height='178' rx='6' fill='none' stroke='{BAD}' stroke-width='3'/>"
        )
    else:
        parts.append(text(column_x(last), top + 200, end.nr_tasks, anchor="middle", weight="bold"))
        parts.append(text(column_x(last), top + 240, f"dead, {end.cics}", size=11, anchor="middle"))
    return parts


def legend(y: float) -> list[str]:
    """Which colour is whose reference."""
    parts = [text(36, y, "A reference of")]
    for number, (words, colour) in enumerate(HOLDERS):
        x = 150 + 130 * number
        parts.append(
            f"<rect x='{x}' y='{y - 12:g}' width='26' height='15' rx='3' fill='{colour}'/>"
        )
        parts.append(text(x + 34, y, words))
    return parts


def draw() -> str:
    """Returns the whole picture as SVG."""
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>",
        "<title>Who holds an io_context in the patch of 2008, step by step</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        *(
            part
            for number, (title, steps) in enumerate(PANELS)
            for part in panel(title, patch.states(steps), 12 + PANEL_HEIGHT * number)
        ),
        *legend(HEIGHT - 14),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw())
