"""Random commands for the model test, by a seeded generator."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BLOCKS_MAX: Final = 24
"""Longest command; 96 KiB of 4 KiB blocks, so that unsolicited data and R2Ts both occur."""


class Kind(StrEnum):
    """The commands of the mix."""

    READ = "READ (16)"
    WRITE = "WRITE (16)"
    WRITE_FUA = "WRITE (16) with FUA"
    WRITE_AND_VERIFY = "WRITE AND VERIFY (16)"
    WRITE_SAME = "WRITE SAME (16)"
    ZERO = "WRITE SAME (16) with UNMAP"
    UNMAP = "UNMAP"
    COMPARE_AND_WRITE = "COMPARE AND WRITE"
    SYNCHRONIZE_CACHE = "SYNCHRONIZE CACHE (16)"


_WEIGHTS: Final = {
    Kind.READ: 24,
    Kind.WRITE: 34,
    Kind.WRITE_FUA: 8,
    Kind.WRITE_AND_VERIFY: 2,
    Kind.WRITE_SAME: 5,
    Kind.ZERO: 4,
    Kind.UNMAP: 6,
    Kind.COMPARE_AND_WRITE: 7,
    Kind.SYNCHRONIZE_CACHE: 10,
}
THIN_ONLY: Final = frozenset({Kind.ZERO, Kind.UNMAP})
"""Commands that a volume without thin provisioning does not have."""


@dataclass(frozen=True, slots=True)
class RandomCommand:
    """One command to be run; ``compares_wrong`` makes COMPARE AND WRITE compare with other data."""

    kind: Kind
    lba: int
    blocks: int
    compares_wrong: bool = False


class CommandSource:
    """Draws commands; the same seed draws the same ones.

    Args:
        seed: of everything.
        blocks: size of the volume.
        without: commands not to draw.
    """

    def __init__(self, seed: int, *, blocks: int, without: frozenset[Kind] = frozenset()) -> None:
        self._rng: Final = random.Random(seed)
        self._blocks: Final = blocks
        weights = {kind: weight for kind, weight in _WEIGHTS.items() if kind not in without}
        self._kinds: Final = list(weights)
        self._weights: Final = list(weights.values())

    def draw(self) -> RandomCommand:
        """Draw one command; short ones are likelier."""
        kind = self._rng.choices(self._kinds, self._weights)[0]
        longest = 2 if kind is Kind.COMPARE_AND_WRITE else BLOCKS_MAX
        blocks = min(self._rng.randint(1, longest), self._rng.randint(1, longest))
        lba = self._rng.randrange(self._blocks - blocks + 1)
        return RandomCommand(kind, lba, blocks, compares_wrong=self._rng.random() < 0.2)
