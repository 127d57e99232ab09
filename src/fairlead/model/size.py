"""Sizes as people write them: ``1G``, ``512M``, ``65536``. All suffixes count in 1024s."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

# A file offset is a signed 64-bit number; nothing larger can be served.
SIZE_MAX_BYTES: Final = (1 << 63) - 1

_FACTORS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"(\d+)([KMGT]?)(?:iB)?", re.IGNORECASE | re.ASCII)
_RULE: Final = "write a whole number of bytes, or with K, M, G or T (binary: 1K is 1024 bytes)"


def parse_size(text: str) -> int:
    """Return a size in bytes, 1..2**63-1.

    ``1G`` and ``1GiB`` are 2**30 bytes. ``1GB`` is refused, because it means 10**9 elsewhere.

    Raises:
        ValueError: not a size, zero, or too large.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (text.strip()[-2:].lower() == "ib" and not match[2]):
        raise ValueError(f"{text!r} is not a size; {_RULE}")
    return check_size(int(match[1]) * _FACTORS[match[2].upper()], text)


def check_size(size_bytes: int, written: object = None) -> int:
    """Return the size if it can be served.

    Raises:
        ValueError: below 1 or above 2**63-1.
    """
    if not 1 <= size_bytes <= SIZE_MAX_BYTES:
        shown = size_bytes if written is None else written
        raise ValueError(f"size {shown} is out of range; it must be 1 byte to {SIZE_MAX_BYTES}")
    return size_bytes


def format_size(size_bytes: int) -> str:
    """Return the shortest exact text: ``1G``, ``1536M``, ``1000``."""
    for suffix in ("T", "G", "M", "K"):
        count, rest = divmod(size_bytes, _FACTORS[suffix])
        if count and not rest:
            return f"{count}{suffix}"
    return str(size_bytes)


def _read_size(value: object) -> object:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return check_size(value)
    raise ValueError(f"{value!r} is not a size; {_RULE}")


SizeBytes = Annotated[int, BeforeValidator(_read_size)]
