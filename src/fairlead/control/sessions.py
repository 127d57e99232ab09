"""Which sessions there are: TSIHs, limits, and reinstatement.

A login that names an initiator, ISID and target which already have a session replaces it: the old
session ends first, with all its I/O, and only then does the new one begin.
Spec: RFC 7143 §6.3.5 (session reinstatement).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from fairlead.errors import LoginError
from fairlead.proto.iscsi.login_status import LoginStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fairlead.control.contexts import HeldContext
    from fairlead.dataplane.api import DataPlane
    from fairlead.proto.iscsi.session import SessionParameters

TSIH_MAX: Final = 0xFFFF

# Initiator name, ISID, target name. All portals are one portal group, so its tag is left out.
NexusKey: TypeAlias = tuple[str, bytes, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A reserved place in the table: a TSIH for one nexus."""

    nexus: NexusKey
    tsih: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """A session in the data plane, and what has to be given back when it ends.

    Attributes:
        session: the data plane's number.
        place: its place in the table.
        peer: ``ADDRESS:PORT``.
        parameters: as it was logged in.
        target_addresses: where its target says it is; TargetAddress values.
        contexts: held in `fairlead.control.contexts.Contexts`.
        ended: set when it is over.
    """

    session: int
    place: Place
    peer: str
    parameters: SessionParameters
    target_addresses: tuple[str, ...]
    contexts: tuple[HeldContext, ...]
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Turn:
    """Logins of one nexus take turns. ``users`` counts holder and waiters."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class SessionTable:
    """The sessions of this process. Used on the event loop's thread only."""

    def __init__(
        self, plane: DataPlane, *, sessions_max: int, reinstatement_timeout_s: float
    ) -> None:
        self._plane = plane
        self._sessions_max = sessions_max
        self._reinstatement_timeout_s = reinstatement_timeout_s
        self._by_id: dict[int, LiveSession] = {}
        self._by_nexus: dict[NexusKey, LiveSession] = {}
        self._places: dict[int, Place] = {}
        self._turns: dict[NexusKey, _Turn] = {}
        self._last_tsih = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, session: int) -> LiveSession | None:
        """Return a session by the data plane's number."""
        return self._by_id.get(session)

    @asynccontextmanager
    async def place(self, nexus: NexusKey, *, tsih: int) -> AsyncIterator[Place]:
        """Reserve a place for a login, ending the session that it replaces.

        The place is given back when the block ends without `started`. Logins of one nexus wait
        for each other.

        Args:
            nexus: who logs in where.
            tsih: what the login request says; 0 for a new session.

        Raises:
            LoginError: with the status to answer: no room, the old session does not end in time,
                or a TSIH that is not 0.
        """
        self._refuse_existing_tsih(nexus, tsih)
        turn = self._turns.setdefault(nexus, _Turn())
        turn.users += 1
        try:
            await self._take_turn(turn, nexus)
            try:
                place = self._reserve(nexus)
                try:
                    yield place
                finally:
                    live = self._by_nexus.get(nexus)
                    is_live = live is not None and live.place is place
                    if not is_live and self._places.get(place.tsih) is place:
                        del self._places[place.tsih]
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[nexus]

    def started(self, live: LiveSession) -> None:
        """Enter a session that the data plane has adopted."""
        self._by_id[live.session] = live
        self._by_nexus[live.place.nexus] = live

    def ended(self, session: int) -> LiveSession | None:
        """Strike out a session that has ended; wakes a login that waits for it."""
        live = self._by_id.pop(session, None)
        if live is not None:
            del self._by_nexus[live.place.nexus]
            del self._places[live.place.tsih]
            live.ended.set()
        return live

    def _refuse_existing_tsih(self, nexus: NexusKey, tsih: int) -> None:
        """Spec: RFC 7143 §6.3.1; MaxConnections is 1 and the error recovery level 0."""
        if tsih == 0:
            return
        place = self._places.get(tsih)
        if place is None or place.nexus != nexus:
            raise LoginError(
                LoginStatus.SESSION_DOES_NOT_EXIST, f"no session with TSIH {tsih} for this name"
            )
        raise LoginError(
            LoginStatus.TOO_MANY_CONNECTIONS,
            f"session with TSIH {tsih} has its one connection; TSIH 0 replaces the session",
        )

    async def _take_turn(self, turn: _Turn, nexus: NexusKey) -> None:
        """Return holding the lock, with no session of this nexus left."""
        is_held = False
        try:
            async with asyncio.timeout(self._reinstatement_timeout_s):
                await turn.lock.acquire()
                is_held = True
                old = self._by_nexus.get(nexus)
                if old is not None:
                    self._plane.end_session(old.session)
                    await old.ended.wait()
        except BaseException as error:
            if is_held:
                turn.lock.release()
            if isinstance(error, TimeoutError):
                raise LoginError(
                    LoginStatus.SERVICE_UNAVAILABLE,
                    "the session to be replaced still has I/O that its device has not answered "
                    f"after {self._reinstatement_timeout_s:g} s",
                ) from None
            raise

    def _reserve(self, nexus: NexusKey) -> Place:
        if len(self._places) >= self._sessions_max:
            raise LoginError(
                LoginStatus.OUT_OF_RESOURCES, f"there are {self._sessions_max} sessions, the limit"
            )
        tsih = self._last_tsih
        while True:  # Ends: sessions_max is at most TSIH_MAX, so one is free.
            tsih = tsih % TSIH_MAX + 1
            if tsih not in self._places:
                break
        self._last_tsih = tsih
        self._places[tsih] = place = Place(nexus=nexus, tsih=tsih)
        return place
