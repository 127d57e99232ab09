"""The books: what every context and session has done, also those that have ended.

Ended ones are kept one by one, the newest `ENDED_MAX` of each; older ones are added up, so that
totals stay right and memory bounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fairlead.dataplane.api import ContextInfo, SessionInfo

# A few hundred bytes each: together below 2 MiB.
ENDED_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session that is over."""

    initiator_name: str
    target_name: str
    tsih: int
    peer: str
    auth_user: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over contexts of which no single account is kept any more."""

    contexts: int = 0
    commands_read: int = 0
    commands_write: int = 0
    commands_other: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def plus(self, context: ContextInfo) -> Totals:
        """Return the sums with one context more."""
        return Totals(
            contexts=self.contexts + 1,
            commands_read=self.commands_read + context.commands_read,
            commands_write=self.commands_write + context.commands_write,
            commands_other=self.commands_other + context.commands_other,
            bytes_read=self.bytes_read + context.bytes_read,
            bytes_written=self.bytes_written + context.bytes_written,
        )


class AccountBook:
    """Remembers ended sessions and released contexts, bounded."""

    def __init__(self, *, ended_max: int = ENDED_MAX) -> None:
        self._ended_max = ended_max
        self._released: deque[ContextInfo] = deque()
        self._earlier = Totals()
        self._sessions: deque[EndedSession] = deque(maxlen=ended_max)
        self._sessions_ended = 0

    def context_released(self, context: ContextInfo) -> None:
        """Keep a context's last accounts."""
        if len(self._released) >= self._ended_max:
            self._earlier = self._earlier.plus(self._released.popleft())
        self._released.append(replace(context, state="released"))

    def session_ended(self, session: EndedSession) -> None:
        """Keep who it was and why it ended."""
        self._sessions.append(session)
        self._sessions_ended += 1

    def released(self) -> list[ContextInfo]:
        """Return the newest released contexts, oldest first."""
        return list(self._released)

    def document(
        self, contexts: Iterable[ContextInfo], sessions: Iterable[SessionInfo]
    ) -> dict[str, Any]:
        """Return the whole book as JSON types, with what is live now.

        Returns:
            ``contexts`` (live ones, then released ones), ``released_earlier`` (sums of older
            ones), ``sessions`` (live), ``sessions_ended`` (the newest), ``sessions_ended_count``.
        """
        live = [{**asdict(session), "isid": session.isid.hex()} for session in sessions]
        return {
            "contexts": [asdict(context) for context in (*contexts, *self._released)],
            "released_earlier": asdict(self._earlier),
            "sessions": live,
            "sessions_ended": [asdict(session) for session in self._sessions],
            "sessions_ended_count": self._sessions_ended,
        }
