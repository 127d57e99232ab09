"""The exception tree: every error fairlead raises on purpose.

An error that ends up on a wire carries its wire form (a login status, sense data), so that the
code which answers the peer translates nothing. A peer's mistake is a ProtocolError, never a bug of
ours; a broken invariant of ours is an AssertionError and belongs to no branch of this tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import enum


class SenseData(Protocol):
    """What CheckCondition asks of sense data; ``fairlead.scsi.sense`` has it.

    A protocol, because this module lies below every other one and imports none of them.
    """

    def encode_fixed(self) -> bytes:
        """Encode in fixed format. Spec: SPC-4, sense data."""
        ...


class FairleadError(Exception):
    """Root of the tree."""


class ConfigError(FairleadError):
    """What the operator asked for cannot be done as written.

    Attributes:
        reason: what is wrong, with the offending value.
        where: path of the field ("targets[2].luns[0].volume"), or None.
        remedy: what would fix it, or None.
    """

    def __init__(self, reason: str, *, where: str | None = None, remedy: str | None = None) -> None:
        place = f"{where}: " if where else ""
        advice = f" ({remedy})" if remedy else ""
        super().__init__(f"{place}{reason}{advice}")
        self.reason = reason
        self.where = where
        self.remedy = remedy


class InvalidNameError(FairleadError, ValueError):
    """A string is not an iSCSI name. Also a ValueError, which validators of models expect."""


class ProtocolError(FairleadError):
    """A peer broke the rules of its protocol. The message names the value and the limit."""


class LoginError(ProtocolError):
    """An iSCSI login is refused; ``status`` goes into the Login Response.

    Attributes:
        status: a ``fairlead.proto.iscsi.login_status.LoginStatus``.
        reason: for the log; the standard has no place for it on the wire.

    Spec: RFC 7143 §11.13.5.
    """

    def __init__(self, status: enum.IntEnum, reason: str) -> None:
        super().__init__(f"{status.name} ({status.value:#06x}): {reason}")
        self.status = status
        self.reason = reason


class CheckCondition(FairleadError):  # noqa: N818 - the standard's own name for it
    """A SCSI command ends with CHECK CONDITION. An answer, never logged as a fault of ours."""

    def __init__(self, sense: SenseData) -> None:
        super().__init__(str(sense))
        self.sense = sense


class DataPlaneError(FairleadError):
    """The data plane refused or could not do what it was asked; the message is its reason."""
