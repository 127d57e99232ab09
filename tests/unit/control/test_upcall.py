from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.control.reservations import ReservationBook
from fairlead.control.upcall import answer_upcall
from fairlead.dataplane.api import EngineOptions, Upcall
from fairlead.scsi import pages
from fairlead.scsi.identity import Identity
from fairlead.scsi.logical_unit import LogicalUnit
from fairlead.scsi.sense import INVALID_COMMAND_OPERATION_CODE, Asc, Sense

if TYPE_CHECKING:
    import pytest

    from fairlead.dataplane.fake import Answer
    from tests.unit.control.conftest import Planes

UNIT = LogicalUnit(
    blocks=8,
    logical_block_bytes=512,
    physical_block_bytes=512,
    identity=Identity.from_serial("S"),
    target_name="iqn.t",
)
# REPORT SUPPORTED OPERATION CODES, all commands, 64 KiB.
REPORT = bytes.fromhex("a3 0c 00 00 00 00 00 01 00 00 00 00")


def answer(planes: Planes, cdb: bytes, logical_unit: int = 1) -> Answer:
    plane = planes(EngineOptions(commands=()))
    call = Upcall(id=9, session=1, logical_unit=logical_unit, lun=0, cdb=cdb, data=b"")
    answer_upcall(plane, call, {1: UNIT}, ReservationBook(plane))
    return plane.answers[9]


def test_a_command_of_the_table_is_answered(planes: Planes) -> None:
    found = answer(planes, REPORT)
    assert (found.status, found.sense) == (0, b"")
    assert int.from_bytes(found.data[:4]) == len(found.data) - 4 > 0


def test_a_refusal_becomes_fixed_format_sense(planes: Planes) -> None:
    found = answer(planes, bytes(16))
    assert (found.status, found.data) == (2, b"")
    assert Sense.decode(found.sense) == INVALID_COMMAND_OPERATION_CODE


def test_a_logical_unit_that_has_gone_is_said_so(planes: Planes) -> None:
    assert Sense.decode(answer(planes, REPORT, 2).sense).asc is Asc.LOGICAL_UNIT_NOT_SUPPORTED


def test_a_bug_of_ours_is_answered_and_logged(
    planes: Planes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(pages, "upcall", broken)
    assert Sense.decode(answer(planes, REPORT).sense).asc is Asc.INTERNAL_TARGET_FAILURE
    [record] = caplog.records
    assert record.getMessage() == f"scsi.upcall.failed cdb={REPORT.hex()} lun=0"
