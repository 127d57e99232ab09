"""Text negotiation: from what both sides can accept to what holds. Pure.

``answer`` is the standard's result functions for one key. ``Negotiation`` is one connection's
dialogue about all of them: it knows what was said, so that a key said twice is noticed, and what
each key stands at.

Spec: RFC 7143 §6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.keys import KEYS, RANK, Form, Key, Phase, Result, Sender, find_key
from fairlead.proto.iscsi.text import (
    IRRELEVANT,
    NOT_UNDERSTOOD,
    REJECT,
    REPLIES_WITHOUT_VALUE,
    SIMPLE_VALUE_BYTES_MAX,
    Pair,
    format_boolean,
    parse_boolean,
    parse_list,
    parse_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fairlead.proto.iscsi.keys import Offer, Value


class Answer(NamedTuple):
    """What becomes of one key that the initiator sent."""

    reply: str | None  # goes back; None for a declaration
    value: Value | None  # holds from now on; None leaves what held before


_REJECTED: Final = Answer(REJECT, None)


def answer(key: Key, text: str, ours: Offer | None) -> Answer:
    """Apply the result function of ``key`` to the initiator's offer and our own.

    A value that the key cannot have, or no word in common, is answered Reject.

    Args:
        key: its row; not one of the dialogue keys.
        text: the initiator's value, as received.
        ours: what we can accept; None for declarations and obsolete keys.

    Spec: RFC 7143 §6.2.1 (lists), §6.2.2 (simple values), §13.25 (obsolete keys).
    """
    if key.result is Result.OBSOLETE:
        return _REJECTED
    value = parse_value(key, text, ours)
    if value is None:
        return _REJECTED
    if key.result is Result.DECLARATIVE:
        return Answer(None, value)
    value = combine(key, value, ours)
    return Answer(format_value(value), value)


def combine(key: Key, offered: Value, ours: Offer | None) -> Value:
    """Return the value that an offer and our limit make together."""
    match key.result, offered, ours:
        case Result.AND, bool(), bool():
            return offered and ours
        case Result.OR, bool(), bool():
            return offered or ours
        case Result.MINIMUM, int(), int():
            return min(offered, ours)
        case Result.MAXIMUM, int(), int():
            return max(offered, ours)
        case Result.LIST, str(), tuple():
            return offered
        case _:
            raise AssertionError(f"{key.name}: {offered!r} against {ours!r}")


def parse_value(key: Key, text: str, ours: Offer | None) -> Value | None:
    """Return the initiator's value if the key can have it, or None.

    From a list it is the first word that we accept: the originator's preference decides.
    """
    if key.form is Form.BOOLEAN:
        return parse_boolean(text)
    if key.form is Form.NUMBER:
        number = parse_number(text)
        return number if number is not None and key.minimum <= number <= key.maximum else None
    if key.form is Form.LIST:
        accepted = ours if isinstance(ours, tuple) else ()
        return next((word for word in parse_list(text) if word in accepted), None)
    return text if 0 < len(text.encode()) <= SIMPLE_VALUE_BYTES_MAX else None


def format_value(value: Value | Offer) -> str:
    """Encode a value, or an offer of several."""
    if isinstance(value, bool):
        return format_boolean(claim=value)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def is_within(key: Key, value: Value, ours: Offer) -> bool:
    """Tell whether a value respects our limit."""
    match key.result, ours:
        case Result.LIST, tuple():
            return value in ours
        case _, bool() | int():
            return combine(key, value, ours) == value
        case _:
            raise AssertionError(f"{key.name} has no limit")


@dataclass(frozen=True, slots=True)
class Replies:
    """What came of one batch of pairs."""

    pairs: list[Pair]  # answers, in the order of the offers
    dialogue: dict[str, str]  # keys with rules of their own, for the caller to answer


class Negotiation:
    """One connection's negotiation, from the first Login Request to the end of the login.

    Memory is bounded by the number of different keys, which the caller bounds by limiting the
    total length of the text it passes in.
    """

    def __init__(self, offers: Mapping[str, Offer]) -> None:
        self._offers = offers
        self._values: dict[str, Value] = {
            key.name: key.default for key in KEYS if key.default is not None
        }
        self._heard: dict[str, str] = {}  # every key the initiator sent, with its text
        self._declared: set[str] = set()  # our declarations; the initiator may answer them
        self._offered: dict[str, Offer] = {}  # our offers without an answer so far
        self.discovery = False

    @property
    def awaits_reply(self) -> bool:
        """An offer of ours is without an answer, so the stage cannot end."""
        return bool(self._offered)

    def value(self, name: str) -> Value | None:
        """Return what a key stands at; a declaration of ours does not count."""
        return self._values.get(name)

    def number(self, name: str) -> int:
        """Return what a numeric key stands at."""
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise AssertionError(name)  # noqa: TRY004 - the table's mistake, not the peer's
        return value

    def claim(self, name: str) -> bool:
        """Return what a boolean key stands at."""
        value = self._values[name]
        if not isinstance(value, bool):
            raise AssertionError(name)  # noqa: TRY004 - the table's mistake, not the peer's
        return value

    def declare(self, name: str, value: Value) -> Pair:
        """Return a declaration of ours."""
        self._declared.add(name)
        return Pair(name, format_value(value))

    def receive_pairs(self, pairs: Iterable[Pair], phase: Phase) -> Replies:
        """Answer one batch. The results do not depend on the order of the pairs.

        Raises:
            ProtocolError: a key sent twice, a reply to nothing we said, a reply that is beyond
                our offer.

        Spec: RFC 7143 §6.2, §6.3.
        """
        dialogue: dict[str, str] = {}
        texts: dict[int, Pair] = {}
        numbered = list(enumerate(pairs))
        for index, pair in sorted(numbered, key=lambda item: RANK.get(item[1].key, len(RANK))):
            reply = self._receive_pair(pair, phase, dialogue)
            if reply is not None:
                texts[index] = Pair(pair.key, reply)
        return Replies([texts[index] for index in sorted(texts)], dialogue)

    def originate(self) -> list[Pair]:
        """Return our own offers, each at most once.

        Only for keys which the initiator did not mention and whose default is beyond our limit: an
        offer costs a round trip, and some initiators answer none.
        """
        pairs = []
        for key in KEYS:
            if not key.originated or key.name in self._heard or key.name in self._offered:
                continue
            ours = self._offers[key.name]
            if not self._is_irrelevant(key) and not is_within(key, self._values[key.name], ours):
                self._offered[key.name] = ours
                pairs.append(Pair(key.name, format_value(ours)))
        return pairs

    def check_limits(self) -> None:
        """See to it that what was agreed is within our limits.

        Raises:
            ProtocolError: the initiator insists on a value that we cannot serve.
        """
        for key in KEYS:
            if not key.originated or self._is_irrelevant(key):
                continue
            value, ours = self._values[key.name], self._offers[key.name]
            if not is_within(key, value, ours):
                raise ProtocolError(
                    f"{key.name} is {format_value(value)}, our limit is {format_value(ours)}"
                )

    def _receive_pair(self, pair: Pair, phase: Phase, dialogue: dict[str, str]) -> str | None:
        """Return the reply to one pair, or None where there is none."""
        if self._is_reply(pair):
            return None
        key = find_key(pair.key)
        if key is not None and not _may_send(key, phase):
            return REJECT  # Not counted as sent: the key may yet come when its time is.
        if self._is_repeated(key, pair):
            return None
        self._heard[pair.key] = pair.value
        if key is None:
            return NOT_UNDERSTOOD
        if key.result is Result.DIALOGUE:
            dialogue[pair.key] = pair.value
            return None
        return self._receive_offer(key, pair.value)

    def _is_reply(self, pair: Pair) -> bool:
        """Tell whether this pair answers what we said, and take it if it does.

        Raises:
            ProtocolError: it looks like an answer, and we said nothing.
        """
        if pair.key in self._offered:
            self._receive_reply(pair)
            return True
        if pair.value not in REPLIES_WITHOUT_VALUE:
            return False
        if pair.key not in self._declared:
            raise ProtocolError(f"{pair.key}={pair.value} answers nothing that was asked")
        return True

    def _receive_offer(self, key: Key, text: str) -> str | None:
        if self._is_irrelevant(key):
            return IRRELEVANT
        reply, value = answer(key, text, self._limit(key))
        if value is not None:
            self._values[key.name] = value
        return reply

    def _is_repeated(self, key: Key | None, pair: Pair) -> bool:
        """Tell whether this declaration was made before.

        Raises:
            ProtocolError: it was, and may not come again, or not with another value.
        """
        before = self._heard.get(pair.key)
        if before is None:
            return False
        if key is not None and key.repeatable and before == pair.value:
            return True
        raise ProtocolError(f"{pair.key} sent twice, as {before[:80]!a} and as {pair.value[:80]!a}")

    def _receive_reply(self, pair: Pair) -> None:
        """Take the answer to an offer of ours; without a value the key keeps its default."""
        ours = self._offered.pop(pair.key)
        self._heard[pair.key] = pair.value
        if pair.value in REPLIES_WITHOUT_VALUE:
            return
        key = find_key(pair.key)
        value = None if key is None else parse_value(key, pair.value, ours)
        if key is None or value is None or not is_within(key, value, ours):
            raise ProtocolError(
                f"{pair.key}={pair.value[:80]!a} is no answer to our offer {format_value(ours)}"
            )
        self._values[pair.key] = value

    def _limit(self, key: Key) -> Offer | None:
        if key.name == "FirstBurstLength":  # It must not exceed MaxBurstLength. Spec: §13.14.
            ours = self._offers[key.name]
            return min(int(ours), self.number("MaxBurstLength")) if isinstance(ours, int) else ours
        return self._offers.get(key.name)

    def _is_irrelevant(self, key: Key) -> bool:
        if key.name == "FirstBurstLength" and not self.discovery:
            return self.claim("InitialR2T") and not self.claim("ImmediateData")
        return self.discovery and key.irrelevant_in_discovery


def _may_send(key: Key, phase: Phase) -> bool:
    """Tell whether an initiator may send this key in this phase."""
    return bool(key.phases & phase) and Sender.INITIATOR in key.sender
