"""Answers the commands that the data plane sends up, from the device server's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.control.log import logger
from fairlead.errors import CheckCondition
from fairlead.scsi import pages, reservation_commands
from fairlead.scsi.sense import Asc, Sense, SenseKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.control.reservations import ReservationBook
    from fairlead.dataplane.api import DataPlane, Upcall
    from fairlead.scsi.logical_unit import LogicalUnit

GOOD: Final = 0x00
CHECK_CONDITION: Final = 0x02

_NO_LOGICAL_UNIT: Final = Sense(SenseKey.ILLEGAL_REQUEST, Asc.LOGICAL_UNIT_NOT_SUPPORTED)
_INTERNAL_FAILURE: Final = Sense(SenseKey.HARDWARE_ERROR, Asc.INTERNAL_TARGET_FAILURE)

log = logger(__name__)


def answer_upcall(
    plane: DataPlane,
    upcall: Upcall,
    logical_units: Mapping[int, LogicalUnit],
    reservations: ReservationBook,
) -> None:
    """Answer one command, whatever happens: an unanswered one would hold its session's window.

    Spec: SAM-5, status; SPC-4, fixed format sense data (the control mode page says D_SENSE 0).
    """
    try:
        _run(plane, upcall, logical_units, reservations)
    except CheckCondition as error:
        plane.answer(upcall.id, status=CHECK_CONDITION, sense=error.sense.encode_fixed(), data=b"")


def _run(
    plane: DataPlane,
    upcall: Upcall,
    logical_units: Mapping[int, LogicalUnit],
    reservations: ReservationBook,
) -> None:
    try:
        command = reservation_commands.find(upcall.cdb)
        if command is not None:
            reservations.answer(command, upcall)
        else:
            data = pages.upcall(_addressed(upcall, logical_units), upcall.cdb, upcall.data)
            plane.answer(upcall.id, status=GOOD, sense=b"", data=data)
    except CheckCondition:
        raise
    except Exception as error:
        # A bug of ours in a rare command must not take the other clients down.
        log.exception("scsi.upcall.failed", cdb=upcall.cdb.hex(), lun=upcall.lun)
        raise CheckCondition(_INTERNAL_FAILURE) from error


def _addressed(upcall: Upcall, logical_units: Mapping[int, LogicalUnit]) -> LogicalUnit:
    logical_unit = logical_units.get(upcall.logical_unit)
    if logical_unit is None:
        raise CheckCondition(_NO_LOGICAL_UNIT)
    return logical_unit
