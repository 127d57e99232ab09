"""Serial number arithmetic for CmdSN, StatSN and DataSN. Spec: RFC 7143 §4.2.2.1, RFC 1982."""

from __future__ import annotations

from typing import Final

SERIAL_MODULUS: Final = 1 << 32


def advance(serial: int, count: int = 1) -> int:
    """Return the serial number ``count`` steps on (back, where negative)."""
    return (serial + count) % SERIAL_MODULUS


def distance(first: int, second: int) -> int:
    """Return how many steps ``second`` is ahead of ``first``; negative where it is behind.

    Exactly half way round the order is undefined in RFC 1982; we say ahead.
    """
    steps = (second - first) % SERIAL_MODULUS
    return steps if steps <= SERIAL_MODULUS // 2 else steps - SERIAL_MODULUS
