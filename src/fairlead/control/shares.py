"""What each context is due: rules, policies and live changes put together, and admission.

Pure books: no data plane, no clock. Each field of a context's settings is what said something
about it last, in this order: its default, the rules of the document, policies, and what an
operator has changed since. So a policy never overrides an operator, nor a limit of the document
upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from fairlead.control.admission import NOTHING, Admission
from fairlead.errors import ConfigError
from fairlead.model.shares import FIELDS, Value, build_settings, matches, merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fairlead.model.shares import DeviceConfig, ShareChange, ShareRule
    from fairlead.sched.settings import Rate, Settings

CHANGES_MAX: Final = 1024
"""Live changes that are remembered, each of one pattern; more belong into the document."""
POLICY_FIELDS: Final = frozenset(
    {"weight", "priority", "limit.iops", "limit.bytes_per_s", "burst_s"}
)
"""What policies may change. Guarantees and queues are promises of the operator."""

_RATE_FIELDS: Final = frozenset(field for field in FIELDS if "." in field)
_GUARANTEE_FIELDS: Final = frozenset(field for field in FIELDS if field.startswith("guarantee."))

Said: TypeAlias = dict[str, Value]
Name: TypeAlias = tuple[str, str]
"""A context: its key and its device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who has said what a field is.

    Attributes:
        kind: ``change``: an operator, since the start.
        by: the pattern of the rule or the change, or the policy's name.
        rule: number of the rule in the document, from 0.
    """

    kind: Literal["default", "rule", "policy", "change"]
    by: str = ""
    rule: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a context of a name is due.

    Attributes:
        settings: all in all.
        configured: without what policies say.
        origins: where each field that is not at its default comes from.
        refusal: why it does not have the guarantee that it should have; None: it has.
    """

    settings: Settings
    configured: Settings
    origins: Mapping[str, Origin]
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A context that is due something else from now on.

    ``refusal``: why it does not have the guarantee that it should, None if it has.
    """

    key: str
    device: str
    settings: Settings
    refusal: str | None = None


@dataclass(slots=True)
class _Live:
    """A context that exists. ``uses``: sessions and LUNs that do I/O in it."""

    due: Due
    settings: Settings
    refusal: str | None
    uses: int = 1


class Shares:
    """The settings of every context that exists, and of those to come."""

    def __init__(
        self, rules: Sequence[ShareRule] = (), devices: Iterable[DeviceConfig] = ()
    ) -> None:
        self._rules = [
            (rule.contexts, Origin(kind="rule", by=rule.contexts, rule=index), rule.said())
            for index, rule in enumerate(rules)
        ]
        self._changes: list[tuple[str, Said]] = []
        self._policies: dict[str, dict[str, Said]] = {}
        self._live: dict[Name, _Live] = {}
        self._admission = Admission(devices)

    # Contexts come and go.

    def acquire(self, key: str, device: str) -> Changed:
        """Note that one more session does I/O in a context; return what it is due.

        A guarantee that its device cannot hold any more is left out, and ``refusal`` says so to
        the first who comes.
        """
        live = self._live.get((key, device))
        if live is not None:
            live.uses += 1
            return Changed(key=key, device=device, settings=live.settings)
        due = self.due(key)
        refusal = self._admission.ask(key, device, due.settings.guarantee)
        live = _Live(due, _granted(due.settings, refusal), refusal)
        self._live[key, device] = live
        return Changed(key=key, device=device, settings=live.settings, refusal=refusal)

    def release(self, key: str, device: str) -> list[Changed]:
        """Take back one `acquire`. Returns who gets a guarantee that has found room now."""
        live = self._live[key, device]
        live.uses -= 1
        if live.uses:
            return []
        del self._live[key, device]
        self._admission.give_back(key, device)
        for said in self._policies.values():
            if key in said and not any(key == other for other, _ in self._live):
                del said[key]
        return self._settle([], devices={device})

    # What is said about them.

    def set(self, pattern: str, change: ShareChange) -> list[Changed]:
        """Change what contexts are due whose names match, now and later.

        Raises:
            ConfigError: a guarantee would be above its limit, or beyond what a device can hold; or
                there are too many changes. Nothing is changed then.
        """
        said = change.said()
        before = self._changes
        changes = _added(before, pattern, said)
        if len(changes) > CHANGES_MAX:
            raise ConfigError(
                f"there are {CHANGES_MAX} live changes, the limit",
                remedy="reset some, or write them as [[shares]] into the document",
            )
        self._changes = changes
        names = [name for name in self._live if matches(name[0], pattern)]
        guarantees: dict[str, Rate] = {}
        try:
            if _RATE_FIELDS.intersection(said):
                guarantees = self._guarantees({key for key, _ in names})
            if _GUARANTEE_FIELDS.intersection(said):
                self._check(names, guarantees)
        except ConfigError:
            self._changes = before
            raise
        return self._settle(names, devices={device for _, device in names})

    def reset(self, pattern: str) -> list[Changed]:
        """Forget what was changed by `set` with just this pattern."""
        self._changes = [(other, said) for other, said in self._changes if other != pattern]
        names = [name for name in self._live if matches(name[0], pattern)]
        return self._settle(names, devices={device for _, device in names})

    def set_policy(self, policy: str, changes: Mapping[str, ShareChange]) -> list[Changed]:
        """Let a policy say all that it says now, by context; what it said before is forgotten."""
        keys = {key for key, _ in self._live}
        said = {key: _of_policy(change) for key, change in changes.items() if key in keys}
        before = self._policies.get(policy, {})
        self._policies[policy] = said
        affected = {key for key in keys if said.get(key) != before.get(key)}
        return self._settle([name for name in self._live if name[0] in affected])

    def drop_policy(self, policy: str) -> list[Changed]:
        """Forget a policy and all that it says."""
        changed = self.set_policy(policy, {})
        self._policies.pop(policy, None)
        return changed

    # What comes of it.

    def due(self, key: str) -> Due:
        """Return what a context of this name is due, as far as its device can hold it."""
        values = self._configured(key)
        configured = _fitted(values)
        by_policies = merge(
            (Origin(kind="policy", by=policy), _clamped(contexts[key], configured))
            for policy, contexts in self._policies.items()
            if key in contexts
        )
        # What an operator has said since the start stands.
        for field, (value, origin) in by_policies.items():
            if field not in values or values[field][1].kind != "change":
                values[field] = (value, origin)
        return Due(
            settings=_fitted(values),
            configured=configured,
            origins={field: origin for field, (_, origin) in values.items()},
        )

    def of(self, key: str, device: str) -> Due:
        """Return what an existing context has been granted; of another what it would be due."""
        live = self._live.get((key, device))
        if live is None:
            return self.due(key)
        return replace(
            live.due,
            settings=live.settings,
            configured=_granted(live.due.configured, live.refusal),
            refusal=live.refusal,
        )

    def _configured(self, key: str) -> dict[str, tuple[Value, Origin]]:
        rules = ((origin, said) for pattern, origin, said in self._rules if matches(key, pattern))
        changes = (
            (Origin(kind="change", by=pattern), said)
            for pattern, said in self._changes
            if matches(key, pattern)
        )
        return merge((*rules, *changes))

    def _guarantees(self, keys: Iterable[str]) -> dict[str, Rate]:
        """What these contexts are guaranteed, where it is not above their limit."""
        guarantees = {}
        for key in keys:
            values = {field: value for field, (value, _) in self._configured(key).items()}
            try:
                guarantees[key] = build_settings(values).guarantee
            except ConfigError as error:
                raise ConfigError(f"{error.reason} for {key}", remedy=error.remedy) from None
        return guarantees

    def _check(self, names: Iterable[Name], guarantees: Mapping[str, Rate]) -> None:
        wanted: dict[str, dict[str, Rate]] = {}
        for key, device in names:
            wanted.setdefault(device, {})[key] = guarantees[key]
        for device, of_keys in wanted.items():
            self._admission.check(device, of_keys)

    def _settle(self, names: Sequence[Name], devices: Iterable[str] = ()) -> list[Changed]:
        """Work out again what these contexts are due, and who waits for room on these devices.

        Who has a guarantee keeps its turn.
        """
        waiting = [(key, device) for device in devices for key in self._admission.waiting(device)]
        ordered = sorted(
            dict.fromkeys((*names, *waiting)), key=lambda name: not self._admission.has(*name)
        )
        for name in ordered:
            self._admission.give_back(*name)
        dues: dict[str, Due] = {}
        changed = []
        for key, device in ordered:
            if key not in dues:
                dues[key] = self.due(key)
            live, due = self._live[key, device], dues[key]
            refusal = self._admission.ask(key, device, due.settings.guarantee)
            settings = _granted(due.settings, refusal)
            if settings != live.settings or (refusal and not live.refusal):
                changed.append(Changed(key=key, device=device, settings=settings, refusal=refusal))
            live.due, live.settings, live.refusal = due, settings, refusal
        return changed


def _added(changes: list[tuple[str, Said]], pattern: str, said: Said) -> list[tuple[str, Said]]:
    """One change more: the newest. What one of the same pattern says about its fields goes."""
    kept = [
        (other, {f: v for f, v in older.items() if f not in said} if other == pattern else older)
        for other, older in changes
    ]
    return [*((other, older) for other, older in kept if older), (pattern, said)]


def _of_policy(change: ShareChange) -> Said:
    return {field: value for field, value in change.said().items() if field in POLICY_FIELDS}


def _clamped(said: Said, configured: Settings) -> Said:
    """What a policy says, kept between what is guaranteed and what is allowed at most."""
    result: Said = {}
    for field, value in said.items():
        name, _, kind = field.partition(".")
        if name != "limit":
            result[field] = value
        elif isinstance(value, int):
            most, least = getattr(configured.limit, kind), getattr(configured.guarantee, kind)
            result[field] = max(least or 0, min(value, most or value))
    return result


def _fitted(values: Mapping[str, tuple[Value, Origin]]) -> Settings:
    """Settings of merged fields; rules that nobody saw meet may guarantee more than they allow."""
    plain = {field: value for field, (value, _) in values.items()}
    for kind in ("iops", "bytes_per_s"):
        least, most = plain.get(f"guarantee.{kind}"), plain.get(f"limit.{kind}")
        if isinstance(least, int) and isinstance(most, int):
            plain[f"guarantee.{kind}"] = min(least, most)
    return build_settings(plain)


def _granted(settings: Settings, refusal: str | None) -> Settings:
    return settings if refusal is None else replace(settings, guarantee=NOTHING)
