"""GET LBA STATUS. Spec: SBC-3 r36."""

from __future__ import annotations

import pytest

from fairlead.errors import CheckCondition
from fairlead.scsi import pages
from fairlead.scsi.sense import LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE
from tests.support.logical_unit import logical_unit


def cdb(lba: int, allocation_bytes: int = 64) -> bytes:
    """A GET LBA STATUS CDB."""
    return b"\x9e\x12" + lba.to_bytes(8) + allocation_bytes.to_bytes(4) + bytes(2)


def test_one_descriptor_covers_the_rest_of_the_unit() -> None:
    data = pages.upcall(logical_unit(blocks=1000), cdb(10), b"")
    assert int.from_bytes(data[:4]) == len(data) - 4 == 20
    assert int.from_bytes(data[8:16]) == 10
    assert int.from_bytes(data[16:20]) == 990
    assert data[20] & 0x0F == 0


def test_a_unit_beyond_32_bits_of_blocks_is_told_in_parts() -> None:
    data = pages.upcall(logical_unit(blocks=1 << 40), cdb(0), b"")
    assert int.from_bytes(data[16:20]) == 0xFFFF_FFFF


def test_the_answer_is_cut_to_the_allocation_length() -> None:
    assert len(pages.upcall(logical_unit(), cdb(0, 8), b"")) == 8


def test_beyond_the_end_is_out_of_range() -> None:
    with pytest.raises(CheckCondition) as caught:
        pages.upcall(logical_unit(blocks=1000), cdb(1000), b"")
    assert caught.value.sense == LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE
