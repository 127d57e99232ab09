"""Reservations as the data plane has them: it enforces a rule, and knows none of what made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.scsi.cdb import Access
    from fairlead.scsi.sense import Asc


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Who may do what with a logical unit.

    Attributes:
        permits: what everybody may do. EVERYTHING: nobody has reserved it.
        nexuses: TSIHs of the sessions that may do everything. By their TSIHs, because a session
            has no number before it is adopted, and then its first commands may be there already.
        ends_with_session: the data plane itself drops the rule when the session of its one nexus
            ends and when the unit is reset, before anybody can see that it has; `NexusLost` and
            `UnitReset` say so.
    """

    permits: Access
    nexuses: tuple[int, ...] = ()
    ends_with_session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusLost:
    """A session takes no more commands; `SessionEnded` follows. May come twice.

    It comes behind the upcalls of that session and before those of everybody who knows of its end.
    """

    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReset:
    """A logical unit was reset, after the upcalls before this event.

    Several resets with no upcall between them come as one.
    """

    logical_unit: int


class ReservationPlane(Protocol):
    """What a data plane does for reservations."""

    def set_access_rule(self, logical_unit: int, rule: AccessRule) -> None:
        """Set the rule of a logical unit, and of all others of its volume.

        When it returns, the rule holds for every command whose turn has not come; what has begun
        may still run.

        Raises:
            DataPlaneError: unknown logical unit.
        """
        ...

    def raise_attention(
        self,
        logical_unit: int,
        asc: Asc,
        *,
        sessions: Sequence[int] | None = None,
        except_session: int = 0,
    ) -> None:
        """Raise a unit attention condition for the nexuses of sessions with a logical unit.

        Args:
            logical_unit: where.
            asc: one that the data plane has a place for; others are not raised.
            sessions: whose; sessions that have ended, or do not have the unit, are passed over.
                None: of all that have it.
            except_session: but not of this one; 0 is none. Only without ``sessions``.

        Raises:
            DataPlaneError: unknown logical unit.
        """
        ...

    def answer_settled(self, upcall: int, logical_unit: int, *, aborted: Sequence[int]) -> None:
        """Answer an upcall with GOOD when what was done for it is done everywhere.

        That is when every submitter has taken in what was raised before this call, and what these
        sessions had under way on the unit is aborted and can no longer touch the medium. The task
        of the upcall itself is not aborted.

        Raises:
            DataPlaneError: unknown logical unit.
        """
        ...
