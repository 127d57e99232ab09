"""Runs policies beside the target: each in a thread, so that none holds anything up.

A policy that raises is switched off. One that is late is reported and its answer dropped; while
it does not come back it is not asked again, and after a while what it has changed is taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from fairlead.control.log import logger
from fairlead.control.measurement import measure
from fairlead.model.shares import ShareChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.control.contexts import Contexts
    from fairlead.control.measurement import Reading, Snapshot
    from fairlead.control.policies import LoadedPolicy, Policy

LATE_INTERVALS_MAX: Final = 10
"""So long an old answer may stand in for a new one."""
# Reading some thousands of contexts takes the event loop a while, and logins need it too: at
# least so many times as long are left to others.
_LEFT_TO_OTHERS: Final = 4

log = logger(__name__)


class PolicyRunner:
    """One policy on the event loop. `step` is one round; `start` makes them come by the clock."""

    def __init__(
        self,
        loaded: LoadedPolicy,
        contexts: Contexts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = loaded.name
        self._clock = clock
        self._reading_s = 0.0
        self._interval_s = loaded.interval_s
        self._contexts = contexts
        self._worker = _Worker(loaded.policy, loaded.name)
        self._before: Reading | None = None
        self._intervals_late = 0
        self._job: asyncio.Task[None] | None = None
        self.is_on = True

    def start(self) -> None:
        """Begin to run, until `stop` or the policy's end."""
        self._job = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop, and take back what the policy has changed. Waits for no policy."""
        if self._job is not None:
            self._job.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._job
        self._worker.close()
        self._contexts.drop_policy(self._name)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next step: the interval, or more where reading takes long."""
        return max(self._interval_s, _LEFT_TO_OTHERS * self._reading_s)

    async def step(self) -> None:
        """Ask the policy once, unless it is still busy, and do what it says if it is in time."""
        if self._worker.is_busy:
            self._is_late()
            return
        if self._worker.error is None:
            started_s = self._clock()
            after = self._contexts.read()
            before, self._before = self._before, after
            if before is None:
                return
            snapshot = measure(before, after)
            self._reading_s = self._clock() - started_s
            answer = await self._ask(snapshot)
            if answer is not None and self._worker.error is None:
                try:
                    changes = _checked(answer.changes)
                except TypeError as error:
                    self._worker.error = error
                else:
                    self._contexts.set_policy(self._name, changes, after.contexts)
        if self._worker.error is not None:
            self._switch_off(self._worker.error)

    async def _run(self) -> None:
        while self.is_on:
            await asyncio.sleep(self.pause_s)
            try:
                await self.step()
            except Exception as error:
                self._switch_off(error)

    async def _ask(self, snapshot: Snapshot) -> _Answer | None:
        try:
            async with asyncio.timeout(self._interval_s):
                answer = await self._worker.ask(snapshot)
        except TimeoutError:
            self._is_late()
            return None
        self._intervals_late = 0
        return answer

    def _is_late(self) -> None:
        self._intervals_late += 1
        if self._intervals_late == 1:
            log.warning(
                "policy.late",
                policy=self._name,
                reason=f"no answer within {self._interval_s:g} s; a late one is dropped",
            )
        elif self._intervals_late == LATE_INTERVALS_MAX:
            self._contexts.drop_policy(self._name)
            log.warning(
                "policy.withdrawn",
                policy=self._name,
                reason=f"no answer for {LATE_INTERVALS_MAX} intervals; its changes are taken back",
            )

    def _switch_off(self, error: BaseException) -> None:
        self.is_on = False
        self._worker.close()
        self._contexts.drop_policy(self._name)
        log.error("policy.failed", policy=self._name, reason=repr(error), exc_info=error)


@dataclass(frozen=True, slots=True)
class _Answer:
    changes: object


class _Worker:
    """The policy's thread. Nobody waits for it, not even the interpreter's end."""

    def __init__(self, policy: Policy, name: str) -> None:
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[tuple[Snapshot, asyncio.Future[_Answer]] | None] = SimpleQueue()
        self.is_busy = False
        self.error: BaseException | None = None
        threading.Thread(target=self._run, name=f"policy {name}", daemon=True).start()

    def ask(self, snapshot: Snapshot) -> asyncio.Future[_Answer]:
        """Begin a step. The future may be given up; the policy is busy until it comes back."""
        future: asyncio.Future[_Answer] = self._loop.create_future()
        self.is_busy = True
        self._work.put((snapshot, future))
        return future

    def close(self) -> None:
        """End the thread after its step."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            snapshot, future = work
            answer, raised = _Answer(None), None
            try:
                answer = _Answer(self._policy.step(snapshot))
            except BaseException as error:  # Also one that exits.
                raised = error
            try:
                self._loop.call_soon_threadsafe(self._finish, future, answer, raised)
            except RuntimeError:
                return  # The loop has ended meanwhile.

    def _finish(
        self, future: asyncio.Future[_Answer], answer: _Answer, raised: BaseException | None
    ) -> None:
        self.is_busy = False
        self.error = raised
        if not future.done():
            future.set_result(answer)


def _checked(changes: object) -> Mapping[str, ShareChange]:
    """Return what a policy has answered if it is what it should be.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(changes, Mapping):
        raise TypeError(f"a policy answers changes by context, not {changes!r:.80}")
    for key, change in changes.items():
        if not isinstance(key, str) or not isinstance(change, ShareChange):
            raise TypeError(f"a policy answers changes by context, not {key!r}: {change!r:.80}")
    return changes
