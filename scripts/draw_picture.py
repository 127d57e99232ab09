"""Draws docs/contexts.svg, the picture of the README: whose I/O runs where.

Usage: python -m scripts.draw_picture
"""

from __future__ import annotations

from html import escape
from pathlib import Path

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "contexts.svg"

WIDTH, HEIGHT = 980, 470
INK, PALE, EDGE = "#1f2933", "#f4f6f8", "#9aa5b1"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
# One colour is one client, all over the picture: name, sessions, colour.
CLIENTS = (
    ("anna", "two iSCSI sessions", "#2f6fde"),
    ("ben", "one iSCSI session", "#d9822b"),
    ("vm-17", "one iSCSI session", "#2f9e63"),
)
DEVICE = "vda"
ROWS_Y = (160, 250, 340)
ROW_HEIGHT = 62
SUBMITTERS_Y = (170, 296)
SUBMITTER_HEIGHT = 96
VOLUMES = (("db.img", "file", 196), ("logs.img", "file", 290))
LEFT_X, SUBMITTER_X, CONTEXT_X, VOLUME_X = 30, 265, 495, 792
# Which client's command stands at each place of a submitter's queue. A session belongs to one
# submitter; a client with two sessions may be at both.
QUEUES = ((0, 1, 1, 0, 1), (2, 0, 2, 2, 0))


def text(
    x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", weight: str = "normal"
) -> str:
    """One line of text; y is its base line."""
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' font-weight='{weight}' "
        f"fill='{INK}' text-anchor='{anchor}'>{escape(words)}</text>"
    )


def box(
    x: float, y: float, width: float, height: float, *, fill: str = PALE, edge: str = EDGE
) -> str:
    """A rectangle with round corners."""
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='7' "
        f"fill='{fill}' stroke='{edge}' stroke-width='1.5'/>"
    )


def line(from_: tuple[float, float], to: tuple[float, float], colour: str) -> str:
    """A curve from left to right."""
    (x1, y1), (x2, y2) = from_, to
    middle = (x1 + x2) / 2
    return (
        f"<path d='M{x1:g},{y1:g} C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g}' "
        f"fill='none' stroke='{colour}' stroke-width='2.5' stroke-opacity='0.8'/>"
    )


def headings() -> list[str]:
    """What each column is."""
    columns = (
        (LEFT_X + 70, "initiators", "real ones: any iSCSI client"),
        (SUBMITTER_X + 75, "submitters", "one small pool of threads"),
        (CONTEXT_X + 105, "I/O contexts", "one for each client and device"),
        (VOLUME_X + 70, "volumes", "file, direct, null, memory"),
    )
    parts = []
    for x, title, words in columns:
        parts.append(text(x, 112, title, size=16, anchor="middle", weight="bold"))
        parts.append(text(x, 131, words, size=11, anchor="middle"))
    return parts


def control_plane() -> list[str]:
    """The Python side, above the data path: it hands connections down."""
    return [
        box(LEFT_X, 18, WIDTH - 2 * LEFT_X, 44, fill="#eef3fb", edge="#b7c9e8"),
        text(LEFT_X + 14, 45, "control plane, Python", weight="bold"),
        text(
            LEFT_X + 190,
            45,
            "login, CHAP, SCSI command table and pages, configuration; "
            "a session that has logged in is adopted below",
            size=12,
        ),
        text(LEFT_X, HEIGHT - 24, "data plane, Rust", weight="bold"),
        text(
            LEFT_X + 150,
            HEIGHT - 24,
            "a submitter enters a command's context, submits its I/O there, and leaves; "
            "one system call may carry many contexts",
            size=12,
        ),
    ]


def lines() -> list[str]:
    """The way of every client's commands."""
    parts = []
    for index, (_, _, colour) in enumerate(CLIENTS):
        row_y = ROWS_Y[index] + ROW_HEIGHT / 2
        for number, queue in enumerate(QUEUES):
            if index not in queue:
                continue
            spread = 24 * (index - 1)
            submitter_y = SUBMITTERS_Y[number] + SUBMITTER_HEIGHT / 2 + spread
            parts.append(line((LEFT_X + 140, row_y), (SUBMITTER_X, submitter_y), colour))
            parts.append(line((SUBMITTER_X + 150, submitter_y), (CONTEXT_X, row_y), colour))
        for _, _, volume_y in VOLUMES:
            to = (VOLUME_X, volume_y + 35 + 14 * (index - 1))
            parts.append(line((CONTEXT_X + 210, row_y), to, colour))
    return parts


def boxes() -> list[str]:
    """Everything that the lines connect."""
    parts = []
    for (name, sessions, colour), y in zip(CLIENTS, ROWS_Y, strict=True):
        parts.append(box(LEFT_X, y, 140, ROW_HEIGHT, fill="#ffffff", edge=colour))
        parts.append(text(LEFT_X + 70, y + 28, name, anchor="middle", weight="bold"))
        parts.append(text(LEFT_X + 70, y + 47, sessions, size=11, anchor="middle"))
        parts.append(box(CONTEXT_X, y, 210, ROW_HEIGHT, fill="#ffffff", edge=colour))
        parts.append(
            f"<rect x='{CONTEXT_X}' y='{y}' width='9' height='{ROW_HEIGHT}' fill='{colour}'/>"
        )
        parts.append(text(CONTEXT_X + 22, y + 25, f"{name} on {DEVICE}", weight="bold"))
        parts.append(text(CONTEXT_X + 22, y + 45, "commands, bytes, in flight, p50/p99", size=10))
    for number, (y, queue) in enumerate(zip(SUBMITTERS_Y, QUEUES, strict=True), start=1):
        parts.append(box(SUBMITTER_X, y, 150, SUBMITTER_HEIGHT))
        parts.append(text(SUBMITTER_X + 75, y + 25, f"submitter {number}", anchor="middle"))
        for place, client in enumerate(queue):
            parts.append(
                f"<rect x='{SUBMITTER_X + 17 + 24 * place}' y='{y + 42}' width='19' height='34' "
                f"rx='3' fill='{CLIENTS[client][2]}'/>"
            )
    parts.append(box(VOLUME_X - 14, 160, 168, 242, fill="#ffffff"))
    parts.append(text(VOLUME_X + 70, 183, f"device {DEVICE}", size=11, anchor="middle"))
    for name, kind, y in VOLUMES:
        parts.append(box(VOLUME_X, y, 140, 70))
        parts.append(text(VOLUME_X + 70, y + 31, name, anchor="middle", weight="bold"))
        parts.append(text(VOLUME_X + 70, y + 51, kind, size=11, anchor="middle"))
    return parts


def draw() -> str:
    """Returns the whole picture as SVG."""
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>",
        "<title>Every client's I/O in that client's own I/O context</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        *control_plane(),
        *headings(),
        *boxes(),
        *lines(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw())
