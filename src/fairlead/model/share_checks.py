"""What groups and share rules say about one another and about the rest of the document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from fairlead.model.group import GROUP_PREFIX, has_wildcards
from fairlead.model.shares import Value, matches, merge
from fairlead.model.source_lines import KeyPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fairlead.model.config import Config

Mistake: TypeAlias = tuple[KeyPath, object, str]
"""Where, what is written there, and what is wrong with it; the remedy stands behind "; "."""

_WILDCARD: Final = re.compile(r"\[(!?)(.)[^\]]*\]|[*?]")


def check_groups(config: Config) -> Iterator[Mistake]:
    """Find groups without an effect and users that nobody can log in as."""
    if config.groups and "grouping" not in config.model_fields_set:
        yield (
            ("groups", 0, "name"),
            config.groups[0].name,
            f"groups have no effect with grouping {config.grouping!r}; "
            'set grouping = "group" at the top of the document',
        )
    users = {account.user for account in config.chap_accounts}
    for index, group in enumerate(config.groups):
        for position, user in enumerate(group.chap):
            if not has_wildcards(user) and user not in users:
                path = ("groups", index, "chap", position)
                yield path, user, explain_unknown("CHAP account", user, users)


def check_shares(config: Config) -> Iterator[Mistake]:
    """Find rules for groups that are not there, and guarantees above the limit they end up with."""
    contexts = {group.context for group in config.groups}
    has_groups = config.grouping == "group" or "grouping" not in config.model_fields_set
    for index, rule in enumerate(config.shares):
        is_of_group = rule.contexts.startswith(GROUP_PREFIX)
        if is_of_group and has_groups and not any(matches(c, rule.contexts) for c in contexts):
            name = rule.contexts.removeprefix(GROUP_PREFIX)
            known = {group.name for group in config.groups}
            path = ("shares", index, "contexts")
            yield path, rule.contexts, explain_unknown("group", name, known)
    yield from _check_guarantees(config, contexts)


def _check_guarantees(config: Config, contexts: set[str]) -> Iterator[Mistake]:
    """Rules overlap; each is tried on the groups and on a name that it matches."""
    told: set[KeyPath] = set()
    for rule in config.shares:
        names = [name for name in sorted(contexts) if matches(name, rule.contexts)]
        if matches(example := _example(rule.contexts), rule.contexts):
            names.append(example)
        for name in names:
            for path, value, reason in _check_merged(config, name):
                if path not in told:
                    told.add(path)
                    yield path, value, reason


def _check_merged(config: Config, name: str) -> Iterator[Mistake]:
    said = [
        (index, rule.said())
        for index, rule in enumerate(config.shares)
        if matches(name, rule.contexts)
    ]
    nothing: tuple[Value, int] = (None, 0)
    fields = merge(said)
    for kind in ("iops", "bytes_per_s"):
        least, by_guarantee = fields.get(f"guarantee.{kind}", nothing)
        most, by_limit = fields.get(f"limit.{kind}", nothing)
        if not (isinstance(least, int) and isinstance(most, int) and least > most):
            continue
        # The later one has spoilt it.
        later, value = ("limit", most) if by_limit > by_guarantee else ("guarantee", least)
        yield (
            ("shares", max(by_limit, by_guarantee), later, kind),
            value,
            f"context {name!r} would get guarantee.{kind} {least} of shares[{by_guarantee}] "
            f"and limit.{kind} {most} of shares[{by_limit}]; lower the guarantee, raise the limit, "
            f'or say limit.{kind} = "none" in shares[{max(by_limit, by_guarantee)}]',
        )


def explain_unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return that there is no such thing, and what there is."""
    names = ", ".join(sorted(known))
    return f"no {what} {name!r}; " + (f"there are: {names}" if names else "there are none")


def _example(pattern: str) -> str:
    """A name that the pattern matches, unless it is an odd one."""
    return _WILDCARD.sub(lambda found: found[2] if found[2] and not found[1] else "x", pattern)
