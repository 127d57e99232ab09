"""All of them, and those that this model cannot play."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.lifecycle.scenarios import derived, kernel_history, target_history

if TYPE_CHECKING:
    from tests.lifecycle.scenarios.scenario import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *kernel_history.SCENARIOS,
    *target_history.SCENARIOS,
    *derived.SCENARIOS,
)

NOT_IN_THE_MODEL: Final = {
    "one context submits for several cgroups": (
        "BFQ's groups, merging and moving of queues (c1cee4a, 3bc5e683c67d, ea591cd4eb27, 075a53b, "
        "64dc8c7) are another scheduler's structures; what they have in common with the rest is "
        "that a queue is found by a context whose group has changed"
    ),
    "an exiting task may not do I/O": (
        "6e736be7f282's check made requests of exit_files() wait for ever, which 3c9c708c9fc9 "
        "undid; the model allocates at once or not at all, so nothing can wait"
    ),
    "a lock that is tried for ever": (
        "ab96bbab467c: a loop of trylock in the release on PREEMPT_RT; the model's CPUs do not "
        "take turns while one of them spins"
    ),
    "ready is seen before it is true": (
        "1f7337c8a: io_context_ready without barriers; the model's memory is in order. What the "
        "reader then does is played as a command before the keeper is ready"
    ),
}
"""Scenarios by name, each with the reason."""
