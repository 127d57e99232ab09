"""Standard INQUIRY data, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from fairlead.scsi import inquiry
from tests.support.logical_unit import logical_unit, logical_units

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit


def test_standard_data() -> None:
    data = inquiry.standard(logical_unit(product="A DISK", revision="42"))
    assert len(data) == 96
    assert data[0] == 0x00  # connected direct access block device
    assert data[1] == 0x00  # RMB
    assert data[2] == 0x06  # SPC-4
    assert data[3] == 0x12  # HISUP, format 2; AERC, TRMTSK and NORMACA clear
    assert data[4] == 91
    assert data[5] == 0x00  # SCCS, TPGS, 3PC, PROTECT
    assert data[6] == 0x00  # ENCSERV, MULTIP
    assert data[7] == 0x02  # CMDQUE
    assert data[8:16] == b"FAIRLEAD"
    assert data[16:32] == b"A DISK          "
    assert data[32:36] == b"42  "
    assert data[36:58] == bytes(22)
    assert data[58:66] == bytes.fromhex("00A0 0460 04C0 0960")  # SAM-5, SPC-4, SBC-3, iSCSI
    assert data[66:] == bytes(30)


@given(logical_units())
def test_additional_length_reaches_the_end(lu: LogicalUnit) -> None:
    data = inquiry.standard(lu)
    assert data[4] == len(data) - 5


def test_a_lun_without_logical_unit() -> None:
    data = inquiry.standard_without_logical_unit()
    assert data[0] == 0x7F
    assert data[1:16] == inquiry.standard(logical_unit())[1:16]
    assert data[16:36] == b" " * 20


def test_keys_are_masked_cdbs() -> None:
    assert inquiry.key() == bytes.fromhex("12 00 00")
    assert inquiry.key(0x83) == bytes.fromhex("12 01 83")
