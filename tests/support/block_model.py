"""The dictionary of blocks that knows which values each block may legally hold.

Commands run at the same time, so each has a begin and an end on one logical clock. A value that was
written is out of the question for a reader once a later write surely happened: one that *began*
after the value's write had *ended*, and that ended well. It is out of the question after a crash
only once such a later write is also covered: by a flush that began after the write had ended and
that ended well, or because the write itself was forced to the medium (FUA). Everything else is
legal: writes at the same time may land in any order, an unanswered one may have happened or not,
and uncovered ones may be lost.

Pure: the clock counts the model's own events.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from typing_extensions import override

TOKEN_BYTES: Final = 16
ZERO_TOKEN: Final = bytes(TOKEN_BYTES)
_SAME_EVERYWHERE: Final = (1 << 64) - 1


class Effect(Enum):
    """What is known about a write that has ended."""

    HAPPENED = "happened"
    UNKNOWN = "unknown"
    NONE = "none"


@dataclass(slots=True, eq=False)
class Candidate:
    """A value that a block may hold, with the life of the write that brings it."""

    token: bytes
    began: int
    ended: int | None = None
    happened: bool = False
    is_covered: bool = False

    def replaces(self, older: Candidate) -> bool:
        """Tell whether ``older`` surely lies beneath this value."""
        return self.happened and older.ended is not None and older.ended < self.began


@dataclass(slots=True, eq=False)
class WriteOperation:
    """A write that has begun; ``forced`` ones are durable when they end well."""

    placed: list[tuple[int, Candidate]]
    forced: bool


@dataclass(frozen=True, slots=True)
class ReadOperation:
    """A read that has begun, with what it might have seen at once."""

    lba: int
    began: int
    visible: list[list[Candidate]]


@dataclass(slots=True)
class IllegalBlockError(AssertionError):
    """A block holds what it must not hold."""

    when: str
    lba: int
    found: str
    legal: list[str] = field(default_factory=list)

    @override
    def __str__(self) -> str:
        """Name the block, what it holds and what it might have held."""
        return f"{self.when}: block {self.lba} holds {self.found}, legal: {', '.join(self.legal)}"


class BlockModel:
    """Blocks of ``block_bytes``, all zero and durable at first."""

    def __init__(self, *, blocks: int, block_bytes: int) -> None:
        assert block_bytes % TOKEN_BYTES == 0
        self.blocks: Final = blocks
        self.block_bytes: Final = block_bytes
        self._clock = 0
        self._stamp = 0
        first = Candidate(ZERO_TOKEN, began=0, ended=0, happened=True, is_covered=True)
        self._candidates: list[list[Candidate]] = [[first] for _ in range(blocks)]

    # Contents.

    def new_data(self, lba: int, count: int) -> bytes:
        """Return data for a write, different from every other block's and every other write's."""
        self._stamp += 1
        tokens = (struct.pack(">QQ", self._stamp, lba + index) for index in range(count))
        return b"".join(token * (self.block_bytes // TOKEN_BYTES) for token in tokens)

    def new_same_data(self) -> bytes:
        """Return one block of new data for WRITE SAME."""
        self._stamp += 1
        token = struct.pack(">QQ", self._stamp, _SAME_EVERYWHERE)
        return token * (self.block_bytes // TOKEN_BYTES)

    # Writes.

    def begin_write(self, lba: int, data: bytes, *, forced: bool = False) -> WriteOperation:
        """Note that a write of whole blocks begins; zeros where an UNMAP or zeroing begins."""
        assert len(data) % self.block_bytes == 0
        now = self._tick()
        placed = []
        for index in range(len(data) // self.block_bytes):
            token = self._token(data[index * self.block_bytes :][: self.block_bytes])
            assert token is not None
            candidate = Candidate(token, began=now)
            self._candidates[lba + index].append(candidate)
            placed.append((lba + index, candidate))
        return WriteOperation(placed, forced)

    def end_write(self, operation: WriteOperation, effect: Effect) -> None:
        """Note how a write ended; not calling this leaves it in flight for ever."""
        now = self._tick()
        for lba, candidate in operation.placed:
            if effect is Effect.NONE:
                self._candidates[lba].remove(candidate)
                continue
            candidate.ended = now
            candidate.happened = effect is Effect.HAPPENED
            candidate.is_covered = candidate.happened and operation.forced
            self._prune(lba)

    # Flushes.

    def begin_flush(self) -> int:
        """Note that a flush begins; its number goes to `end_flush`."""
        return self._tick()

    def end_flush(self, began: int) -> None:
        """Note that a flush ended well; one that failed covers nothing and is not reported."""
        for lba, candidates in enumerate(self._candidates):
            if len(candidates) == 1 and candidates[0].is_covered:
                continue
            for candidate in candidates:
                ended_before = candidate.ended is not None and candidate.ended < began
                if candidate.happened and ended_before:
                    candidate.is_covered = True
            self._prune(lba)

    # Reads.

    def begin_read(self, lba: int, count: int) -> ReadOperation:
        """Note that a read of whole blocks begins; the result goes to `check_read`."""
        now = self._tick()
        return ReadOperation(lba, now, [self._visible(lba + index) for index in range(count)])

    def check_read(self, operation: ReadOperation, data: bytes) -> None:
        """Check what a read returned against what was legal from its begin to its end.

        Raises:
            IllegalBlockError: a block held something else.
        """
        self._tick()
        for index, visible in enumerate(operation.visible):
            lba = operation.lba + index
            newer = [c for c in self._candidates[lba] if c.began > operation.began]
            block = data[index * self.block_bytes :][: self.block_bytes]
            self._check("read", lba, block, [*visible, *newer])

    def readable_tokens(self, lba: int) -> set[bytes]:
        """Return the tokens that a reader may see now."""
        return {candidate.token for candidate in self._visible(lba)}

    def may_differ(self, operation: ReadOperation, data: bytes) -> bool:
        """Tell whether the blocks of a read may at some moment have held something else."""
        for index, visible in enumerate(operation.visible):
            lba = operation.lba + index
            token = self._token(data[index * self.block_bytes :][: self.block_bytes])
            newer = [c for c in self._candidates[lba] if c.began > operation.began]
            if any(candidate.token != token for candidate in [*visible, *newer]):
                return True
        return False

    def single_value(self, lba: int, count: int) -> bytes | None:
        """Return the data of blocks in which only one value can be now, None if any has more."""
        values = []
        for index in range(count):
            tokens = self.readable_tokens(lba + index)
            if len(tokens) != 1:
                return None
            values.append(tokens.pop() * (self.block_bytes // TOKEN_BYTES))
        return b"".join(values)

    # Crashes.

    def check_after_crash(self, lba: int, data: bytes) -> None:
        """Check whole blocks read after a crash that may lose what no completed flush covers.

        Raises:
            IllegalBlockError: a block holds what cannot be there.
        """
        for index in range(len(data) // self.block_bytes):
            block = data[index * self.block_bytes :][: self.block_bytes]
            self._check("after a crash", lba + index, block, self._candidates[lba + index])

    def check_after_kill(self, lba: int, data: bytes) -> None:
        """Check whole blocks read after the server, but not the machine, was killed.

        Raises:
            IllegalBlockError: a block holds what cannot be there.
        """
        for index in range(len(data) // self.block_bytes):
            block = data[index * self.block_bytes :][: self.block_bytes]
            self._check("after a kill", lba + index, block, self._visible(lba + index))

    def restart(self, image: bytes, *, is_durable: bool) -> None:
        """Take over what was found (and checked) as the only values from now on.

        After a crash they are durable: they were read from the medium. After a mere kill they may
        still be volatile, and so may what they replaced.
        """
        now = self._tick()
        for lba in range(self.blocks):
            token = self._token(image[lba * self.block_bytes :][: self.block_bytes])
            assert token is not None
            found = Candidate(token, now, now, happened=True, is_covered=is_durable)
            older = [] if is_durable else self._candidates[lba]
            for candidate in older:
                candidate.ended = now - 1
            self._candidates[lba] = [*older, found]

    # Private parts.

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _visible(self, lba: int) -> list[Candidate]:
        candidates = self._candidates[lba]
        return [c for c in candidates if not any(other.replaces(c) for other in candidates)]

    def _prune(self, lba: int) -> None:
        """Drop the values that cannot be seen any more, not even after a crash."""
        candidates = self._candidates[lba]
        covered = [c for c in candidates if c.is_covered]
        self._candidates[lba] = [c for c in candidates if not any(o.replaces(c) for o in covered)]

    def _token(self, block: bytes) -> bytes | None:
        token = block[:TOKEN_BYTES]
        return token if token * (self.block_bytes // TOKEN_BYTES) == block else None

    def _check(self, when: str, lba: int, block: bytes, legal: list[Candidate]) -> None:
        token = self._token(block)
        tokens = {candidate.token for candidate in legal}
        # A read may meet a write half way: then each part is one of the legal values.
        if token is None and when == "read" and self._words(block) <= tokens:
            return
        if token is None or token not in tokens:
            found = _describe(token) if token is not None else f"a mixture ({block[:32].hex()}...)"
            raise IllegalBlockError(when, lba, found, [_describe(c.token) for c in legal])

    def _words(self, block: bytes) -> set[bytes]:
        starts = range(0, len(block), TOKEN_BYTES)
        return {block[start : start + TOKEN_BYTES] for start in starts}


def _describe(token: bytes) -> str:
    if token == ZERO_TOKEN:
        return "zeros"
    stamp, lba = struct.unpack(">QQ", token)
    return f"write {stamp}" if lba == _SAME_EVERYWHERE else f"write {stamp} of block {lba}"
