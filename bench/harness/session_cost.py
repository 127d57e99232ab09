"""What sessions cost that do no I/O: logins per second, and the memory of idle sessions."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.harness import process
from bench.harness.login import LoginFailedError, Session, log_in
from bench.harness.percentile import percentile_ns

if TYPE_CHECKING:
    from bench.harness.server import IscsiServer

_INITIATOR = "iqn.2000-01.invalid.fairlead.bench:login"
_LOGIN_S = 60.0
_AT_ONCE = 100
_SETTLE_S = 20.0
_WARM_UP_SESSIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginCost:
    """Logins of one server: ``count`` of them, ``at_once`` running together.

    Times are from the start of the connection to the final Login Response; ``server_cpu_ms`` is
    for each login with its logout. ``failures`` counts logins that did not succeed.
    """

    server: str
    count: int
    at_once: int
    logins_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    server_cpu_ms: float
    failures: int
    first_failure: str | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleCost:
    """Memory of sessions that are logged in and silent.

    ``resident_bytes_each``: growth of the server's resident memory for each session.
    ``machine_bytes_each``: what the whole machine lost for each, with the kernel's memory for both
    ends of the connection and the client's objects. ``server_cores``: CPU while all are idle.
    """

    server: str
    wanted: int
    sessions: int
    resident_bytes_each: float
    machine_bytes_each: float
    server_cores: float
    threads: int
    first_failure: str | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def raise_descriptor_limit(wanted: int) -> int:
    """Raise our (and thereby a started server's) descriptor limit; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, min(hard, wanted))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def measure_logins(server: IscsiServer, *, count: int, at_once: int) -> LoginCost:
    """Log in and out ``count`` times, ``at_once`` connections at any moment."""
    return asyncio.run(_measure_logins(server, count=count, at_once=at_once))


def measure_idle(server: IscsiServer, *, sessions: int) -> IdleCost:
    """Hold ``sessions`` idle sessions and see what they cost."""
    return asyncio.run(_measure_idle(server, wanted=sessions))


class _Attempts:
    """Numbers sessions, so that no two have one ISID, and notes how each login went."""

    def __init__(self, server: IscsiServer) -> None:
        self._server = server
        self._number = 0
        self.sessions: list[Session] = []
        self.times_ns: list[int] = []
        self.failures = 0
        self.first_failure: str | None = None

    async def one(self) -> Session | None:
        self._number += 1
        target = self._server.target
        started_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(_LOGIN_S):
                session = await log_in(
                    target.host,
                    target.port,
                    number=self._number,
                    initiator=_INITIATOR,
                    target=target.name,
                )
        except (LoginFailedError, OSError, TimeoutError) as error:
            self.failures += 1
            self.first_failure = self.first_failure or str(error) or type(error).__name__
            return None
        self.times_ns.append(time.monotonic_ns() - started_ns)
        self.sessions.append(session)
        return session

    def at_ms(self, fraction: float) -> float:
        bins: dict[int, int] = {}
        for time_ns in self.times_ns:
            bins[time_ns] = bins.get(time_ns, 0) + 1
        return percentile_ns(bins, fraction, max_ns=max(self.times_ns, default=0)) / 1e6


async def _measure_logins(server: IscsiServer, *, count: int, at_once: int) -> LoginCost:
    attempts = _Attempts(server)
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            if session := await attempts.one():
                session.log_out()
                await _until_ended(session)

    cpu_before_s = process.cpu_s(server.pid)
    started = time.monotonic()
    async with asyncio.TaskGroup() as jobs:
        for _ in range(at_once):
            jobs.create_task(worker())
    elapsed_s = time.monotonic() - started
    cpu_used_s = process.cpu_s(server.pid) - cpu_before_s
    succeeded = len(attempts.times_ns)
    return LoginCost(
        server=server.label,
        count=count,
        at_once=at_once,
        logins_per_s=succeeded / elapsed_s,
        p50_ms=attempts.at_ms(0.5),
        p99_ms=attempts.at_ms(0.99),
        max_ms=attempts.at_ms(1.0),
        server_cpu_ms=cpu_used_s * 1e3 / max(succeeded, 1),
        failures=attempts.failures,
        first_failure=attempts.first_failure,
    )


async def _until_ended(session: Session) -> None:
    """Wait for the connection's end; a target that keeps it open after a logout loses it."""
    try:
        async with asyncio.timeout(2.0):
            await session.ended
    except TimeoutError:
        session.close()
        await session.ended


async def _measure_idle(server: IscsiServer, *, wanted: int) -> IdleCost:
    attempts = _Attempts(server)
    for _ in range(_WARM_UP_SESSIONS):  # What the server allocates once is not a session's.
        await attempts.one()
    held_before = len(attempts.sessions)
    resident_before = await _settled_resident_bytes(server)
    available_before = process.available_bytes()
    left = wanted

    async def worker() -> None:
        nonlocal left
        while left > 0 and attempts.failures < _AT_ONCE:
            left -= 1
            await attempts.one()

    async with asyncio.TaskGroup() as jobs:
        for _ in range(_AT_ONCE):
            jobs.create_task(worker())
    held = len(attempts.sessions) - held_before
    resident_after = await _settled_resident_bytes(server)
    machine_bytes = available_before - process.available_bytes()
    cores = await _idle_cores(server)
    threads = process.thread_count(server.pid)
    for session in attempts.sessions:
        session.log_out()
    async with asyncio.TaskGroup() as jobs:
        for session in attempts.sessions:
            jobs.create_task(_until_ended(session))
    return IdleCost(
        server=server.label,
        wanted=wanted,
        sessions=held,
        resident_bytes_each=(resident_after - resident_before) / max(held, 1),
        machine_bytes_each=machine_bytes / max(held, 1),
        server_cores=cores,
        threads=threads,
        first_failure=attempts.first_failure,
    )


async def _settled_resident_bytes(server: IscsiServer) -> int:
    """Return the resident memory once it has not moved for a second (or SETTLE_S have passed)."""
    seen = process.resident_bytes(server.pid)
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        await asyncio.sleep(1.0)
        now = process.resident_bytes(server.pid)
        if abs(now - seen) <= 64 * 1024:
            return now
        seen = now
    return seen


async def _idle_cores(server: IscsiServer) -> float:
    before_s = process.cpu_s(server.pid)
    started = time.monotonic()
    await asyncio.sleep(2.0)
    return (process.cpu_s(server.pid) - before_s) / (time.monotonic() - started)
