"""Waiting for what another process does; bounded, and told what for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Other processes have no event to wait for; this is how often we look.
_LOOK_S: Final = 0.005


def wait_until(condition: Callable[[], bool], what: str, *, limit_s: float = 10.0) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it does not within the limit.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(_LOOK_S)


async def wait_until_async(
    condition: Callable[[], bool], what: str, *, limit_s: float = 10.0
) -> None:
    """Wait until a condition holds, letting other jobs of the loop run.

    Raises:
        AssertionError: it does not within the limit.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(_LOOK_S)
