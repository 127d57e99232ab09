"""iSCSI names: check, normalise, match. Spec: RFC 7143 §4.2.7, RFC 3722 (the stringprep profile).

Inside fairlead a name is always the normalised string that ``normalise`` returned, so that names
are compared with ``==``.
"""

from __future__ import annotations

import enum
import fnmatch
import re
import stringprep
import unicodedata
from typing import TYPE_CHECKING, Final

from fairlead.errors import InvalidNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_BYTES_MAX: Final = 223  # UTF-8, terminator excluded. Spec: RFC 7143 §4.2.7.1.

# The date must be one the naming authority can have owned its domain in: a year and a real month.
_IQN: Final = re.compile(r"iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[^.:][^:]*(?::.+)?")
_EUI: Final = re.compile(r"eui\.[0-9a-f]{16}")
_NAA: Final = re.compile(r"naa\.(?:[0-9a-f]{16}|[0-9a-f]{32})")

# RFC 3722 leaves letters, digits and these three of ASCII. The underscore is ours: the standard
# forbids it, but initiators build names from host names and volume names that have one, and every
# target they meet lets it pass.
_ASCII_PUNCTUATION: Final = frozenset("-.:_")

_PROHIBITED: Final = (
    stringprep.in_table_c11_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class NameKind(enum.Enum):
    """Who guarantees that a name is unique. The value is its prefix."""

    IQN = "iqn"  # the owner of a domain
    EUI = "eui"  # an IEEE EUI-64
    NAA = "naa"  # a T11 network address authority


def normalise(text: str) -> str:
    """Return the name in the one spelling we compare: case folded, NFKC.

    Args:
        text: a name as an operator or a peer wrote it.

    Raises:
        InvalidNameError: not an iqn., eui. or naa. name, a character that the profile forbids, or
            more than 223 bytes; the message has the name (cut to 223 characters).

    Spec: RFC 7143 §4.2.7, RFC 3722 §3 to §6.
    """
    if len(text) > NAME_BYTES_MAX:  # Before the costly steps: a peer chooses the length.
        raise InvalidNameError(
            f"{_shown(text)} has {len(text)} characters, limit {NAME_BYTES_MAX} bytes"
        )
    mapped = "".join(map(_fold, text))
    name = unicodedata.normalize("NFKC", mapped)
    size_bytes = len(name.encode("utf-8", "surrogatepass"))
    if size_bytes > NAME_BYTES_MAX:
        raise InvalidNameError(f"{_shown(text)} has {size_bytes} bytes, limit {NAME_BYTES_MAX}")
    for character in name:
        if _is_prohibited(character):
            raise InvalidNameError(f"{_shown(text)} has the character {character!a}")
    if not _is_bidi_consistent(name):
        raise InvalidNameError(f"{_shown(text)} mixes writing directions")
    if not any(pattern.fullmatch(name) for pattern in (_IQN, _EUI, _NAA)):
        raise InvalidNameError(
            f"{_shown(text)} is not an iSCSI name: expected iqn.YYYY-MM.DOMAIN[:STRING], "
            "eui. and 16 hex digits, or naa. and 16 or 32 hex digits"
        )
    return name


def kind(name: str) -> NameKind:
    """Return the kind of a normalised name."""
    return NameKind(name[:3])


def normalise_pattern(text: str) -> str:
    """Return a wildcard pattern in the spelling ``matches`` expects.

    Patterns are fnmatch's: ``*``, ``?``, ``[seq]``, ``[!seq]``; a name without any of them is a
    pattern that matches itself.

    Raises:
        InvalidNameError: empty, or longer than a name can be.
    """
    pattern = unicodedata.normalize("NFKC", "".join(map(_fold, text)))
    if not pattern:
        raise InvalidNameError("an initiator pattern is empty; '*' matches every name")
    if len(pattern) > NAME_BYTES_MAX:
        raise InvalidNameError(
            f"pattern {_shown(text)} has {len(pattern)} characters, limit {NAME_BYTES_MAX}"
        )
    return pattern


def matches(name: str, pattern: str) -> bool:
    """Tell whether a normalised name matches a normalised pattern, as a whole."""
    return fnmatch.fnmatchcase(name, pattern)


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a normalised name matches at least one of these normalised patterns."""
    return any(matches(name, pattern) for pattern in patterns)


def _fold(character: str) -> str:
    if stringprep.in_table_b1(character):
        return ""
    if "A" <= character <= "Z":
        return character.lower()
    return character if character.isascii() else stringprep.map_table_b2(character)


def _is_prohibited(character: str) -> bool:
    if character.isascii():
        return not (character.isalnum() or character in _ASCII_PUNCTUATION)
    # U+3002, the ideographic full stop, looks like the separator of a domain.
    return character == "\u3002" or any(table(character) for table in _PROHIBITED)


def _is_bidi_consistent(name: str) -> bool:
    """Spec: RFC 3454 §6. Names begin with a Latin prefix, so any right-to-left letter mixes."""
    return not any(map(stringprep.in_table_d1, name))


def _shown(text: str) -> str:
    """For messages: bounded, and without what a terminal would act on."""
    return ascii(text if len(text) <= NAME_BYTES_MAX else text[:NAME_BYTES_MAX] + "...")
