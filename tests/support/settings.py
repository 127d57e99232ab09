"""How much the random and repeated tests do; everyday defaults here, more by the environment."""

from __future__ import annotations

import os
from typing import Final


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


SEED: Final = _number("FAIRLEAD_SEED", 1)
"""Of every random test; each prints what it takes from it."""

MODEL_ROUNDS: Final = _number("FAIRLEAD_MODEL_ROUNDS", 3)
"""Crashes or kills of one volume, one after the other, in each cell of the model tests."""

MODEL_COMMANDS: Final = _number("FAIRLEAD_MODEL_COMMANDS", 1500)
"""Commands of each initiator between two crashes, at most."""

TEARDOWNS: Final = _number("FAIRLEAD_TEARDOWNS", 50)
"""Ends of sessions with commands in flight, for each driver and pool."""

HOSTILE_PEERS: Final = _number("FAIRLEAD_HOSTILE_PEERS", 200)
"""Initiators that misbehave at the same time."""

SILENT_CONNECTIONS: Final = _number("FAIRLEAD_SILENT_CONNECTIONS", 10_000)
"""Connections that never log in."""

GUEST_MIB: Final = _number("FAIRLEAD_GUEST_MIB", 12)
"""What fio writes and verifies at a time in the guest."""

GUEST_ROUNDS: Final = _number("FAIRLEAD_GUEST_ROUNDS", 1)
"""Power cuts, kills and other faults of each kind in the guest."""
