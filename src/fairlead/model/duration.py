"""Durations as people write them: ``60s``, ``500ms``, ``15m``, ``4h``; a bare number is seconds."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

_FACTORS_NS: Final = {
    "ms": 10**6,
    "": 10**9,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION: Final = re.compile(r"(\d{1,12})\s?(ms|s|m|h|)", re.IGNORECASE | re.ASCII)
_RULE: Final = 'write a whole number and ms, s, m or h: "60s"'


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds, from 1 ms on.

    Raises:
        ValueError: not a duration, or zero.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; {_RULE}")
    duration_ns = int(match[1]) * _FACTORS_NS[match[2].lower()]
    if not duration_ns:
        raise ValueError(f"{text!r} is no time at all; {_RULE}")
    return duration_ns


def _read_duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return parse_duration(str(value))
    raise ValueError(f"{value!r} is not a duration; {_RULE}")


DurationNs = Annotated[int, BeforeValidator(_read_duration)]
