"""What the data plane's record of a context means: how its requests go to the kernel. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.dataplane.kernel import KernelContextInfo

if TYPE_CHECKING:
    from fairlead.dataplane.kernel import KernelContextState

_KEEPER_GONE = "its keeper is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRecord:
    """What the kernel has of a context, whose device's kernel context is ``ring``.

    Attributes:
        steered: requests that went by its ring.
        rings: that are open.
        keeper: thread id of the keeper that was made for it, if one was.
        is_kept: the keeper runs, or a kernel thread that polls for it.
        is_ending: its last session is over.
        reason: what it has to do without, and why.
    """

    steered: int = 0
    rings: int = 0
    keeper: int | None = None
    is_kept: bool = False
    is_ending: bool = False
    reason: str | None = None


def kernel_context_info(record: KernelRecord, *, submitted: int) -> KernelContextInfo:
    """Return what is told of a context that has submitted so many requests in all."""
    # What a ring without a keeper still takes, the submitter enters: for all alike.
    is_lost = record.keeper is not None and not record.is_kept and not record.is_ending
    return KernelContextInfo(
        state=_state(record),
        ring_requests=record.steered,
        plain_requests=max(submitted - record.steered, 0),
        keeper=record.keeper if record.is_kept else None,
        reason=record.reason or (_KEEPER_GONE if is_lost else None),
    )


def _state(record: KernelRecord) -> KernelContextState:
    if record.is_ending:
        return "ending"
    if not record.is_kept:
        return "plain"
    return "ring" if record.rings else "parked"
