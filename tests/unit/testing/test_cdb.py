"""CDBs, byte by byte. Spec: SPC-4 and SBC-3."""

from __future__ import annotations

import pytest

from fairlead.testing import cdb


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (cdb.rw_6(0x08, 0x1F2345, 0), "08 1f 23 45 00 00"),
        (cdb.rw_10(0x28, 0x01020304, 0x0506, flags=cdb.FUA), "28 08 01 02 03 04 00 05 06 00"),
        (cdb.rw_12(0xA8, 1, 0x02030405), "a8 00 00 00 00 01 02 03 04 05 00 00"),
        (
            cdb.rw_16(0x8A, 0x0102030405060708, 0x090A0B0C, flags=cdb.DPO),
            "8a 10 01 02 03 04 05 06 07 08 09 0a 0b 0c 00 00",
        ),
        (cdb.compare_and_write(0x0102, 3), "89 00 00 00 00 00 00 00 01 02 00 00 00 03 00 00"),
        (cdb.unmap(0x0102), "42 00 00 00 00 00 00 01 02 00"),
        (cdb.unmap(0x0102, anchor=True), "42 01 00 00 00 00 00 01 02 00"),
        (
            cdb.unmap_parameter_list([(0x01, 0x02)]),
            "00 16 00 10 00 00 00 00  00 00 00 00 00 00 00 01  00 00 00 02  00 00 00 00",
        ),
        (cdb.inquiry(0x0102), "12 00 00 01 02 00"),
        (cdb.inquiry(255, page=0x83), "12 01 83 00 ff 00"),
        (
            cdb.mode_sense_6(0x08, subpage=1, control=2, dbd=True, length=252),
            "1a 08 88 01 fc 00",
        ),
        (
            cdb.mode_sense_10(0x3F, subpage=0xFF, control=0, dbd=False, length=0x0102),
            "5a 00 3f ff 00 00 00 01 02 00",
        ),
        (cdb.persistent_reserve_out(4, scope_and_type=0x05), "5f 04 05 00 00 00 00 00 18 00"),
        (
            cdb.persistent_reserve_out_list(1, 0x0203040506070809),
            "00 00 00 00 00 00 00 01 02 03 04 05 06 07 08 09 00 00 00 00 00 00 00 00",
        ),
        (cdb.report_luns(0x01020304, select=2), "a0 00 02 00 00 00 01 02 03 04 00 00"),
        (
            cdb.service_action_in_16(0x10, 1, 32),
            "9e 10 00 00 00 00 00 00 00 01 00 00 00 20 00 00",
        ),
        (
            cdb.report_supported_operation_codes(
                0x0102, options=0x82, opcode=0x9E, service_action=0x10
            ),
            "a3 0c 82 9e 00 10 00 00 01 02 00 00",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cdb(built: bytes, expected: str) -> None:
    assert built == bytes.fromhex(expected)


def test_values_that_do_not_fit() -> None:
    with pytest.raises(OverflowError, match="LBA 2097152 of 21 bits"):
        cdb.rw_6(0x08, 1 << 21, 1)
    with pytest.raises(OverflowError, match="values"):
        cdb.rw_10(0x28, 0, 1 << 16)
