"""What a scenario is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lifecycle.linux_2_6_27.builds import LINUX_2_6_27
from tests.lifecycle.linux_2_6_27.scene import SURVIVES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lifecycle.linux_2_6_27.builds import Build
    from tests.lifecycle.linux_2_6_27.scene import Scene

    Steps = Callable[[Scene], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to go wrong, and what sets it right.

    Attributes:
        name: what goes wrong.
        origin: kernel or SCST version and commit it is from; "derived" where it follows from the
            code and no report is known.
        shows: why, in a sentence.
        steps: what happens.
        kernel: with the bug in it.
        with_bug: how it ends: a fault's text, or what the steps found.
        right_steps: what happens when the caller does it right; the same steps if None.
        right_kernel: with the fix in it; the same kernel if None.
        seen_by_checks: the invariants see that it goes wrong. False where every step is in order
            by itself, and only what comes of it is not wanted.
    """

    name: str
    origin: str
    shows: str
    steps: Steps
    kernel: Build = LINUX_2_6_27
    with_bug: str = SURVIVES
    right_steps: Steps | None = None
    right_kernel: Build | None = None
    seen_by_checks: bool = True
