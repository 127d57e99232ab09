"""Policies: Python that changes what contexts are due, some times a second, from what they did.

A policy is a class with a model `Options` of what stands in its ``[[policies]]`` table, made with
one of these, and with one method, `Policy.step`. Packages add policies by the entry point group
``fairlead.policies``. `fairlead.control.latency_goal` is an example.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import ValidationError

from fairlead.control.latency_goal import LatencyGoal
from fairlead.model.document import DocumentError, Mistake, explain_validation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fairlead.control.measurement import Snapshot
    from fairlead.model.policy import PolicyConfig
    from fairlead.model.shares import ShareChange

ENTRY_POINT_GROUP: Final = "fairlead.policies"
_BUILT_IN: Final[dict[str, type]] = {"latency-goal": LatencyGoal}


class Policy(Protocol):
    """Says what contexts are due beside what an operator says. Runs in a thread of its own."""

    def step(self, snapshot: Snapshot) -> Mapping[str, ShareChange]:
        """Return all that it wants changed now, by context key.

        What is not in it any more is given back. Weights, priorities, limits and bursts may be
        changed; a limit never above the operator's nor below a guarantee. Answers that take longer
        than the interval are dropped; one that raises switches the policy off.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPolicy:
    """A policy that can run.

    Attributes:
        name: its kind, numbered where there are several of it.
        interval_s: between two steps.
        policy: the thing itself.
    """

    name: str
    interval_s: float
    policy: Policy


def load_policies(configs: Sequence[PolicyConfig]) -> list[LoadedPolicy]:
    """Return the policies of a document.

    Raises:
        DocumentError: with every mistake found: no such policy, a broken package, wrong options.
    """
    loaded: list[LoadedPolicy] = []
    mistakes: list[Mistake] = []
    for index, config in enumerate(configs):
        count = sum(earlier.kind == config.kind for earlier in configs[: index + 1])
        name = config.kind if count == 1 else f"{config.kind}-{count}"
        try:
            policy = _load(config, index)
        except DocumentError as error:
            mistakes += error.mistakes
        else:
            loaded.append(LoadedPolicy(name=name, interval_s=config.interval_s, policy=policy))
    if mistakes:
        raise DocumentError(mistakes)
    return loaded


def _load(config: PolicyConfig, index: int) -> Policy:
    kind = _find(config.kind, f"policies[{index}].kind")
    try:
        options = kind.Options.model_validate(config.options)
    except ValidationError as error:
        raise explain_validation(error, kind.Options, where=("policies", index)) from None
    policy: Policy = kind(options)
    return policy


def _find(name: str, where: str) -> Any:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    offered = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in offered:
        known = ", ".join(sorted({*_BUILT_IN, *offered}))
        raise _mistake(name, where, "no such policy", f"there are: {known}")
    try:
        return offered[name].load()
    except Exception as error:
        raise _mistake(
            name,
            where,
            f"{offered[name].value} cannot be loaded: {error}",
            "repair or remove the package that offers it",
        ) from error


def _mistake(name: str, where: str, reason: str, remedy: str) -> DocumentError:
    mistake = Mistake(line=None, where=where, value=f'"{name}"', reason=reason, remedy=remedy)
    return DocumentError([mistake])
