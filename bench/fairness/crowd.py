"""Many sessions that are logged in and silent, held while others are measured."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from bench.harness.login import LoginFailedError, Session, log_in
from bench.harness.session_cost import raise_descriptor_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.harness.server import Target

_LOGINS_AT_ONCE = 50
_LOGIN_S = 60.0
_LOGOUT_S = 5.0
_DESCRIPTORS_SPARE = 1000


class CrowdError(OSError):
    """Not all of them could log in."""


class Crowd:
    """Sessions, each of an initiator of its own, from ``with`` to its end.

    They are held on a thread with an event loop, which answers the target's pings; it has nothing
    to do otherwise.
    """

    def __init__(self, target: Target, initiators: Sequence[str]) -> None:
        self._target = target
        self._initiators = initiators
        self._sessions: list[Session] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        """Log all of them in.

        Raises:
            CrowdError: one cannot.
        """
        raise_descriptor_limit(len(self._initiators) + _DESCRIPTORS_SPARE)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._log_in(), self._loop).result()
        except (LoginFailedError, OSError, TimeoutError) as error:
            self._leave()
            raise CrowdError(
                f"{len(self._sessions)} of {len(self._initiators)} idle sessions logged in: "
                f"{str(error) or type(error).__name__}"
            ) from error
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        asyncio.run_coroutine_threadsafe(self._log_out(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _log_in(self) -> None:
        waiting = list(enumerate(self._initiators, start=1))
        async with asyncio.timeout(_LOGIN_S):
            jobs = [asyncio.create_task(self._worker(waiting)) for _ in range(_LOGINS_AT_ONCE)]
            try:
                await asyncio.gather(*jobs)
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)

    async def _worker(self, waiting: list[tuple[int, str]]) -> None:
        while waiting:
            number, initiator = waiting.pop()
            session = await log_in(
                self._target.host,
                self._target.port,
                number=number,
                initiator=initiator,
                target=self._target.name,
            )
            self._sessions.append(session)

    async def _log_out(self) -> None:
        for session in self._sessions:
            session.log_out()
        ends = [session.ended for session in self._sessions]
        if ends:
            _, late = await asyncio.wait(ends, timeout=_LOGOUT_S)
            for session in self._sessions:
                session.close()
            if late:
                await asyncio.wait(late, timeout=_LOGOUT_S)
