"""Text of Login and Text PDUs: key=value pairs, their limits and their value formats.

Spec: RFC 7143 §6.1 (text format), §6.2 (text mode negotiation).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from fairlead.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES_MAX: Final = 63  # Spec: RFC 7143 §6.1, key-name.
VALUE_BYTES_MAX: Final = 8192  # A list may have many items; one simple value is held to 255 below.
SIMPLE_VALUE_BYTES_MAX: Final = 255  # Spec: RFC 7143 §6.1.
BINARY_BYTES_MAX: Final = 1024  # Decoded length of a large binary value. Spec: RFC 7143 §12.1.3.

# One negotiation sequence: all PDUs joined by the C bit. Real initiators send under 1 KiB; the
# standard names no maximum, this one bounds what a peer can make us hold before it logged in.
SEQUENCE_BYTES_MAX: Final = 65_536
# A pair may be as short as two bytes ("a="), and each unknown key is answered with a longer one.
PAIRS_MAX: Final = 512

# Answers that stand in place of a value. Spec: RFC 7143 §6.2.
NOT_UNDERSTOOD: Final = "NotUnderstood"
IRRELEVANT: Final = "Irrelevant"
REJECT: Final = "Reject"
REPLIES_WITHOUT_VALUE: Final = frozenset({NOT_UNDERSTOOD, IRRELEVANT, REJECT})

# The standard asks for a capital first letter and then names a key iSCSIProtocolLevel; X# keys
# have a number sign.
_KEY: Final = re.compile(rb"[A-Za-z][A-Za-z0-9.+@_#-]*")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_HEXADECIMAL: Final = re.compile(r"0[xX][0-9A-Fa-f]{1,16}")


class Pair(NamedTuple):
    """One key=value pair."""

    key: str
    value: str


class TextSequence:
    """Join the data segments of one negotiation sequence, then cut them into pairs.

    A pair may be split anywhere between two PDUs, so nothing is parsed before the last one.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """No part of a sequence is held."""
        return not self._buffer

    def receive_segment(self, data: bytes, *, more: bool) -> list[Pair] | None:
        """Take one data segment; return the pairs when it was the last one.

        Args:
            data: the data segment of a Login or Text Request.
            more: its C bit; None is returned then.

        Raises:
            ProtocolError: malformed text, or a sequence of more than 64 KiB or 512 pairs.

        Spec: RFC 7143 §6.2.
        """
        if len(self._buffer) + len(data) > SEQUENCE_BYTES_MAX:
            raise ProtocolError(
                f"text of {len(self._buffer) + len(data)} bytes or more in one sequence, "
                f"limit {SEQUENCE_BYTES_MAX}"
            )
        self._buffer += data
        if more:
            return None
        whole = bytes(self._buffer)
        self._buffer.clear()
        return parse_pairs(whole)


def parse_pairs(data: bytes, *, pairs_max: int = PAIRS_MAX) -> list[Pair]:
    """Cut whole text into pairs, in their order; repeated keys are kept.

    Several terminators in a row count as one ("at least one null" follows each pair).

    Args:
        data: the text of a whole sequence.
        pairs_max: the default is for what initiators send; a list of targets is longer.

    Raises:
        ProtocolError: more than ``pairs_max`` pairs; a pair without "=", without its terminator,
            with a bad key, with a value that is too long, is not UTF-8 or has control characters.

    Spec: RFC 7143 §6.1.
    """
    if data and not data.endswith(b"\0"):
        raise ProtocolError(f"text of {len(data)} bytes does not end with a null")
    parts = [part for part in data.split(b"\0") if part]
    if len(parts) > pairs_max:
        raise ProtocolError(f"{len(parts)} key=value pairs, limit {pairs_max}")
    return [_parse_pair(part) for part in parts]


def encode_pairs(pairs: Iterable[Pair]) -> bytes:
    """Encode pairs for a data segment; ``parse_pairs(encode_pairs(x)) == x``."""
    return b"".join(f"{key}={value}\0".encode() for key, value in pairs)


def parse_number(value: str) -> int | None:
    """Return a decimal or 0x number of at most 64 bits, or None. Spec: RFC 7143 §6.1."""
    if _DECIMAL.fullmatch(value):
        number = int(value)
    elif _HEXADECIMAL.fullmatch(value):
        number = int(value, 16)
    else:
        return None
    return number if number < 1 << 64 else None


def parse_boolean(value: str) -> bool | None:
    """Return the claim of "Yes" or "No", or None. Spec: RFC 7143 §6.1."""
    return {"Yes": True, "No": False}.get(value)


def parse_list(value: str) -> tuple[str, ...]:
    """Return the items of a comma-separated list, in the sender's order of preference."""
    return tuple(value.split(","))


def parse_binary(value: str) -> bytes | None:
    """Return the bytes of a 0x (hex) or 0b (base64) value, or None when it is malformed.

    At most 1,024 bytes; checked on the text, before anything is decoded.

    Spec: RFC 7143 §6.1, §12.1.3.
    """
    prefix, digits = value[:2].lower(), value[2:]
    if len(digits) > 2 * BINARY_BYTES_MAX:
        return None
    try:
        if prefix == "0x":
            # fromhex would skip white space, which the grammar has not.
            decoded = bytes.fromhex(digits) if digits.isalnum() else b""
        elif prefix == "0b":
            decoded = base64.b64decode(digits.encode("ascii"), validate=True)
        else:
            return None
    except (ValueError, binascii.Error):
        return None
    return decoded if 0 < len(decoded) <= BINARY_BYTES_MAX else None


def format_binary(data: bytes) -> str:
    """Encode bytes as a 0x value, the form that every initiator reads."""
    return "0x" + data.hex()


def format_boolean(*, claim: bool) -> str:
    """Encode a claim as "Yes" or "No"."""
    return "Yes" if claim else "No"


def _parse_pair(part: bytes) -> Pair:
    key, equals, value = part.partition(b"=")
    if not equals:
        raise ProtocolError(f"text without '=': {_shown(part)}")
    if len(key) > KEY_BYTES_MAX:
        raise ProtocolError(f"key of {len(key)} bytes, limit {KEY_BYTES_MAX}: {_shown(key)}")
    if not _KEY.fullmatch(key):
        raise ProtocolError(f"key with a character it must not have: {_shown(key)}")
    name = key.decode("ascii")
    if len(value) > VALUE_BYTES_MAX:
        raise ProtocolError(f"{name} has a value of {len(value)} bytes, limit {VALUE_BYTES_MAX}")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError(f"{name} has a value that is not UTF-8: {_shown(value)}") from None
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ProtocolError(f"{name} has a value with a control character: {_shown(value)}")
    return Pair(name, text)


def _shown(data: bytes) -> str:
    """For messages: bounded and printable."""
    return ascii(data[:40])[1:] + ("..." if len(data) > 40 else "")
