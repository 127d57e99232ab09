"""Runs random commands of several initiators against a volume and its model at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fairlead.testing import cdb
from fairlead.testing.commands import ScsiCommands
from fairlead.testing.outcome import ConnectionClosed, Result, TaskAborted
from tests.durability.commands import CommandSource, Kind, RandomCommand
from tests.support.block_model import BlockModel, Effect, IllegalBlockError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What the scenario asks of an initiator: any that awaits its results.
Initiator: TypeAlias = ScsiCommands[Coroutine[Any, Any, Result]]

MISCOMPARE: Final = 0x0E


class VolumeFailed(Exception):  # noqa: N818 - the expected end of a worker
    """The volume does not answer well any more: the crash has come."""


@dataclass(slots=True)
class Scenario:
    """Commands of some initiators on one volume.

    Attributes:
        model: is told of each command before it leaves and after its answer.
        is_write_through: the volume answers writes when they are on stable storage.
        interrupt_after: total of commands after which ``interrupt`` is called, once.
        interrupt: what to do in the middle; must not wait. No command begins after it.
        counts: how many of each command ended well.
        errors: how commands ended that did not end well.
    """

    model: BlockModel
    is_write_through: bool = False
    interrupt_after: int = 0
    interrupt: Callable[[], None] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    _is_over: bool = field(default=False, init=False)

    async def run(
        self,
        initiators: Sequence[Initiator],
        *,
        seed: int,
        commands: int,
        depth: int = 4,
        without: frozenset[Kind] = frozenset(),
    ) -> None:
        """Run ``commands`` on each initiator, ``depth`` at a time, until done or the volume fails.

        Raises:
            IllegalBlockError: a read or compare saw what was not there.
        """
        self._is_over = False
        work = [
            self._work(
                initiator,
                CommandSource(
                    seed * 1_000_003 + index * 101 + lane,
                    blocks=self.model.blocks,
                    without=without,
                ),
                commands // depth,
            )
            for index, initiator in enumerate(initiators)
            for lane in range(depth)
        ]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _work(self, initiator: Initiator, source: CommandSource, commands: int) -> None:
        try:
            for _ in range(commands):
                if self._is_over:
                    return
                command = source.draw()
                await _RUNNERS[command.kind](self, initiator, command)
                self.counts[command.kind] += 1
                self._interrupt_if_due()
        except (VolumeFailed, ConnectionClosed, ConnectionError, TaskAborted) as end:
            self.errors[repr(end)] += 1

    def _interrupt_if_due(self) -> None:
        if self.interrupt is not None and self.counts.total() >= self.interrupt_after:
            interrupt, self.interrupt = self.interrupt, None
            self._is_over = True
            interrupt()

    # One method for each shape of command.

    async def _read(self, initiator: Initiator, command: RandomCommand) -> None:
        operation = self.model.begin_read(command.lba, command.blocks)
        result = await initiator.read_16(command.lba, command.blocks)
        self._require_good(command, result)
        self.model.check_read(operation, result.data)

    async def _write(self, initiator: Initiator, command: RandomCommand) -> None:
        lba, is_forced = command.lba, command.kind is Kind.WRITE_FUA
        data = self.model.new_data(lba, command.blocks)
        forced = is_forced or self.is_write_through
        operation = self.model.begin_write(lba, data, forced=forced)
        if command.kind is Kind.WRITE_AND_VERIFY:
            answer = initiator.write_and_verify_16(lba, data)
        else:
            answer = initiator.write_16(lba, data, flags=cdb.FUA if is_forced else 0)
        self._require_good(command, await answer)
        self.model.end_write(operation, Effect.HAPPENED)

    async def _write_same(self, initiator: Initiator, command: RandomCommand) -> None:
        lba, blocks, unmaps = command.lba, command.blocks, command.kind is Kind.ZERO
        block = bytes(self.model.block_bytes) if unmaps else self.model.new_same_data()
        forced = self.is_write_through
        operation = self.model.begin_write(lba, block * blocks, forced=forced)
        flags = cdb.UNMAP_BIT if unmaps else 0
        result = await initiator.write_same_16(lba, blocks, block, flags=flags)
        self._require_good(command, result)
        self.model.end_write(operation, Effect.HAPPENED)

    async def _unmap(self, initiator: Initiator, command: RandomCommand) -> None:
        """UNMAP is a hint: a block may be zeros or as it was. Spec: SBC-3, UNMAP."""
        zeros = bytes(command.blocks * self.model.block_bytes)
        operation = self.model.begin_write(command.lba, zeros)
        result = await initiator.unmap([(command.lba, command.blocks)])
        self._require_good(command, result)
        self.model.end_write(operation, Effect.UNKNOWN)

    async def _compare_and_write(self, initiator: Initiator, command: RandomCommand) -> None:
        lba, blocks = command.lba, command.blocks
        expected = self.model.single_value(lba, blocks)
        if expected is None or command.compares_wrong:
            expected = self.model.new_data(lba, blocks)
        data = self.model.new_data(lba, blocks)
        reading = self.model.begin_read(lba, blocks)
        writing = self.model.begin_write(lba, data, forced=self.is_write_through)
        result = await initiator.compare_and_write(lba, expected, data)
        if result.sense_code is not None and result.sense_code[0] == MISCOMPARE:
            self.model.end_write(writing, Effect.NONE)
            if not self.model.may_differ(reading, expected):
                raise IllegalBlockError("compare", lba, "something else, says MISCOMPARE")
            return
        self._require_good(command, result)
        self.model.check_read(reading, expected)
        self.model.end_write(writing, Effect.HAPPENED)

    async def _flush(self, initiator: Initiator, command: RandomCommand) -> None:
        began = self.model.begin_flush()
        self._require_good(command, await initiator.synchronize_cache_16())
        self.model.end_flush(began)

    def _require_good(self, command: RandomCommand, result: Result) -> None:
        """Stop this worker at the first command that fails; what it wrote stays unknown."""
        if not result.is_good:
            raise VolumeFailed(f"{command.kind}: {result.status:#04x} {result.sense_code}")


_RUNNERS: Final = {
    Kind.READ: Scenario._read,
    Kind.WRITE: Scenario._write,
    Kind.WRITE_FUA: Scenario._write,
    Kind.WRITE_AND_VERIFY: Scenario._write,
    Kind.WRITE_SAME: Scenario._write_same,
    Kind.ZERO: Scenario._write_same,
    Kind.UNMAP: Scenario._unmap,
    Kind.COMPARE_AND_WRITE: Scenario._compare_and_write,
    Kind.SYNCHRONIZE_CACHE: Scenario._flush,
}
