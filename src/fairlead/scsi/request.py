"""A command that comes up from the data plane to be answered by a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit


@dataclass(frozen=True, slots=True)
class Request:
    """One command and what it is sent to.

    Attributes:
        cdb: at least as long as its command's; the data plane has checked the bits that must be
            zero.
        data: the data-out buffer, whole.
    """

    lu: LogicalUnit
    cdb: bytes
    data: bytes = b""
