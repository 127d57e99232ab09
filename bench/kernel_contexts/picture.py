"""Draws what two streams got on each line, below either elevator, from a result file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.kernel_contexts.experiments import ELEVATORS, STREAMS
from scripts.draw_picture import text

if TYPE_CHECKING:
    from bench.fairness.rows import Results

_WIDTH: Final = 760
_LEFT, _RIGHT, _TOP = 130, 90, 74
_BAR, _GAP, _GROUP_GAP = 15, 3, 16
_COLOURS: Final = ("#9aa5b1", "#2f6fde")
_LEAST_MB: Final = 1.0


def draw(results: Results) -> str:
    """Return the picture as SVG; lines that were not measured are left out."""
    lines = [
        line
        for line in STREAMS.lines
        if any(_median(results, case, line.label) is not None for case in ELEVATORS.values())
    ]
    found = [
        value
        for line in lines
        for case in ELEVATORS.values()
        if (value := _median(results, case, line.label)) is not None
    ]
    scale = (_WIDTH - _LEFT - _RIGHT) / max([*found, _LEAST_MB])
    group = len(ELEVATORS) * (_BAR + _GAP) + _GROUP_GAP
    height = _TOP + group * len(lines) + 10
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' role='img'>",
        f"<title>{STREAMS.title}, MB/s</title>",
        f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>",
        text(_LEFT, 26, f"{STREAMS.title}: MB/s in all", size=16, weight="bold"),
        *_legend(),
    ]
    for place, line in enumerate(lines):
        y = _TOP + place * group
        middle = y + len(ELEVATORS) * (_BAR + _GAP) / 2 + 4
        parts.append(text(_LEFT - 12, middle, line.label, anchor="end"))
        for number, (case, colour) in enumerate(zip(ELEVATORS.values(), _COLOURS, strict=True)):
            value = _median(results, case, line.label)
            if value is not None:
                parts += _bar(y + number * (_BAR + _GAP), value, scale, colour)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts = []
    for number, (case, colour) in enumerate(zip(ELEVATORS.values(), _COLOURS, strict=True)):
        x = _LEFT + 150 * number
        parts.append(f"<rect x='{x}' y='42' width='12' height='12' fill='{colour}'/>")
        parts.append(text(x + 18, 53, f"elevator: {case}", size=12))
    return parts


def _bar(y: float, value: float, scale: float, colour: str) -> list[str]:
    width = value * scale
    return [
        f"<rect x='{_LEFT}' y='{y:g}' width='{width:.1f}' height='{_BAR}' fill='{colour}'/>",
        text(_LEFT + round(width) + 6, y + 12, f"{value:.1f}", size=12),
    ]


def _median(results: Results, case: str, line: str) -> float | None:
    return results.median(STREAMS.name, case, line, "mb_per_s")
