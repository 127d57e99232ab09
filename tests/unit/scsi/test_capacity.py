"""READ CAPACITY data, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from fairlead.scsi import capacity
from tests.support.logical_unit import logical_unit, logical_units, thin_logical_unit

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit


@pytest.mark.parametrize(
    ("blocks", "last_lba"),
    [
        (1, "00000000"),
        (2**32 - 1, "FFFFFFFE"),
        (2**32, "FFFFFFFF"),
        (2**32 + 1, "FFFFFFFF"),
        (2**64 - 1, "FFFFFFFF"),
    ],
)
def test_read_capacity_10(blocks: int, last_lba: str) -> None:
    data = capacity.read_capacity_10(logical_unit(blocks=blocks))
    assert data == bytes.fromhex(last_lba + "00000200")


@given(logical_units())
def test_read_capacity_16(lu: LogicalUnit) -> None:
    data = capacity.read_capacity_16(lu)
    assert len(data) == 32
    assert int.from_bytes(data[:8]) == lu.blocks - 1
    assert int.from_bytes(data[8:12]) == lu.logical_block_bytes
    assert data[12] == 0  # P_TYPE, PROT_EN
    assert data[13] >> 4 == 0
    assert lu.logical_block_bytes << (data[13] & 0x0F) == lu.physical_block_bytes
    assert bool(data[14] & 0x80) == lu.thin
    assert bool(data[14] & 0x40) == lu.lbprz
    assert int.from_bytes(data[14:16]) & 0x3FFF == 0  # lowest aligned LBA
    assert data[16:] == bytes(16)


def test_provisioning_bits() -> None:
    assert capacity.read_capacity_16(logical_unit())[14] == 0x00
    assert capacity.read_capacity_16(thin_logical_unit(lbprz=False))[14] == 0x80
    assert capacity.read_capacity_16(thin_logical_unit())[14] == 0xC0
