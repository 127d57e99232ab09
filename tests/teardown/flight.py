"""Hundreds of commands in flight on one session, and a model of what each may have done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.testing import cdb
from fairlead.testing.outcome import Result, TaskRejected
from tests.support.block_model import BlockModel, Effect, ReadOperation, WriteOperation

if TYPE_CHECKING:
    import random

    from fairlead.testing.client import AsyncClient

_BLOCKS_MAX: Final = 16
_BUSY: Final = 0x08
_TASK_SET_FULL: Final = 0x28


@dataclass(slots=True)
class Flight:
    """Commands that were sent and whose ends are not accounted for yet.

    Attributes:
        model: of the volume.
        client: the session.
        ends: the jobs that wait for the commands' ends.
    """

    model: BlockModel
    client: AsyncClient
    ends: dict[int, asyncio.Task[object]] = field(default_factory=dict)
    _writes: dict[int, WriteOperation] = field(default_factory=dict)
    _reads: dict[int, ReadOperation] = field(default_factory=dict)

    def launch(self, rng: random.Random, commands: int) -> None:
        """Send reads, writes and flushes of up to 64 KiB all at once."""
        for _ in range(commands):
            blocks = rng.randint(1, _BLOCKS_MAX)
            lba = rng.randrange(self.model.blocks - blocks + 1)
            kind = rng.choices(("read", "write", "forced", "flush"), (45, 45, 5, 5))[0]
            if kind == "flush":
                tag = self.client.submit(0, cdb.rw_16(0x91, 0, 0))
            elif kind == "read":
                reading = self.model.begin_read(lba, blocks)
                length = blocks * self.model.block_bytes
                tag = self.client.submit(0, cdb.rw_16(0x88, lba, blocks), b"", length)
                self._reads[tag] = reading
            else:
                data = self.model.new_data(lba, blocks)
                writing = self.model.begin_write(lba, data)
                flags = cdb.FUA if kind == "forced" else 0
                tag = self.client.submit(0, cdb.rw_16(0x8A, lba, blocks, flags=flags), data)
                self._writes[tag] = writing
            self.ends[tag] = asyncio.create_task(self.client.wait_outcome(tag))

    async def wait_for_answers(self, count: int) -> None:
        """Wait until so many commands have ended; the others are on their way then."""
        pending = set(self.ends.values())
        ended = 0
        while ended < count and pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            ended += len(done)

    async def account(self) -> int:
        """Tell the model how every command ended; return how many had no answer.

        To be called when the session is over for the target as well: whatever is unknown now has
        either happened or will never happen.

        Raises:
            IllegalBlockError: a read saw what was not there.
        """
        await asyncio.wait(self.ends.values())
        unanswered = 0
        for tag, job in self.ends.items():
            outcome = job.exception() or job.result()
            is_good = isinstance(outcome, Result) and outcome.is_good
            unanswered += not isinstance(outcome, Result)
            if tag in self._writes:
                self.model.end_write(self._writes[tag], _effect(outcome, is_good=is_good))
            elif tag in self._reads and is_good:
                assert isinstance(outcome, Result)
                self.model.check_read(self._reads[tag], outcome.data)
        return unanswered


def _effect(outcome: object, *, is_good: bool) -> Effect:
    if is_good:
        return Effect.HAPPENED
    was_refused = isinstance(outcome, Result) and outcome.status in {_BUSY, _TASK_SET_FULL}
    return Effect.NONE if was_refused or isinstance(outcome, TaskRejected) else Effect.UNKNOWN
