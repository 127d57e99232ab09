"""VPD pages, taken apart by a parser of the test's own."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from fairlead.scsi import inquiry, vpd
from tests.support.logical_unit import (
    TARGET_NAME,
    logical_unit,
    logical_units,
    thin_logical_unit,
)

if TYPE_CHECKING:
    from fairlead.scsi.logical_unit import LogicalUnit


@dataclass(frozen=True)
class Designator:
    protocol: int | None
    code_set: int
    association: int
    kind: int
    value: bytes


def page(lu: LogicalUnit, code: int) -> bytes:
    return vpd.render(lu)[inquiry.key(code)]


def designators(data: bytes) -> list[Designator]:
    found = []
    rest = data[4:]
    while rest:
        length = rest[3]
        found.append(
            Designator(
                protocol=rest[0] >> 4 if rest[1] & 0x80 else None,
                code_set=rest[0] & 0x0F,
                association=rest[1] >> 4 & 0x03,
                kind=rest[1] & 0x0F,
                value=rest[4 : 4 + length],
            )
        )
        rest = rest[4 + length :]
    return found


@given(logical_units())
def test_every_page_has_a_true_header(lu: LogicalUnit) -> None:
    pages = vpd.render(lu)
    assert len(pages) == len(vpd.PAGES)
    for key, data in pages.items():
        assert key[:2] == bytes.fromhex("12 01")
        assert data[0] == 0x00
        assert data[1] == key[2]
        assert int.from_bytes(data[2:4]) == len(data) - 4


def test_supported_pages_lists_every_page_in_order() -> None:
    listed = page(logical_unit(), 0x00)[4:]
    assert listed == bytes.fromhex("00 80 83 86 87 B0 B1 B2")
    assert {inquiry.key(code) for code in listed} == vpd.render(logical_unit()).keys()


def test_unit_serial_number() -> None:
    assert page(logical_unit(), 0x80) == bytes.fromhex("00 80 0004") + b"SN-1"


def test_device_identification() -> None:
    lu = logical_unit(portal_group_tag=0x1F, relative_target_port=2, target_port_group=0x1234)
    port_name = f"{TARGET_NAME},t,0x001f".encode()
    assert designators(page(lu, 0x83)) == [
        Designator(None, 1, 0, 3, lu.identity.naa),
        Designator(None, 2, 0, 1, b"FAIRLEADSN-1"),
        Designator(5, 1, 1, 4, bytes.fromhex("0000 0002")),
        Designator(5, 1, 1, 5, bytes.fromhex("0000 1234")),
        Designator(5, 3, 1, 8, port_name.ljust(40, b"\0")),
        Designator(5, 3, 2, 8, TARGET_NAME.encode().ljust(32, b"\0")),
    ]


@given(logical_units())
def test_name_strings_end_with_nul_on_a_word(lu: LogicalUnit) -> None:
    """Spec: SPC-4, SCSI name string designator."""
    names = [entry.value for entry in designators(page(lu, 0x83)) if entry.kind == 8]
    assert [name.rstrip(b"\0").decode() for name in names] == [
        f"{lu.target_name},t,0x{lu.portal_group_tag:04x}",
        lu.target_name,
    ]
    for name in names:
        assert len(name) % 4 == 0
        assert 1 <= len(name) - len(name.rstrip(b"\0")) <= 4


@pytest.mark.parametrize(("write_cache", "v_sup"), [(True, 1), (False, 0)])
def test_extended_inquiry(write_cache: bool, v_sup: int) -> None:
    data = page(logical_unit(write_cache=write_cache), 0x86)
    assert len(data) == 64
    assert data[4] == 0  # no protection information
    assert data[5] == 0x01  # SIMPSUP
    assert data[6] == v_sup
    assert data[7:] == bytes(57)


def test_mode_page_policy_is_shared_for_all() -> None:
    assert page(logical_unit(), 0x87) == bytes.fromhex("00 87 0004 3F FF 00 00")


@given(logical_units())
def test_block_limits(lu: LogicalUnit) -> None:
    data = page(lu, 0xB0)
    assert len(data) == 64
    assert data[4] == 0  # WSNZ
    assert data[5] == lu.max_compare_and_write_blocks
    granularity, transfer, optimal, prefetch = struct.unpack_from(">HIII", data, 6)
    per_physical = lu.physical_block_bytes // lu.logical_block_bytes
    assert granularity == (per_physical if per_physical > 1 else 0)
    assert transfer == lu.max_transfer_blocks
    assert optimal == lu.optimal_transfer_blocks
    assert prefetch == lu.max_prefetch_blocks
    unmap = struct.unpack_from(">IIII", data, 20)
    if lu.thin:
        limits = (lu.max_unmap_blocks, lu.max_unmap_descriptors, lu.unmap_granularity_blocks, 0)
        assert unmap == limits
    else:
        assert unmap == (0, 0, 0, 0)
    assert int.from_bytes(data[36:44]) == lu.max_write_same_blocks
    assert data[44:] == bytes(20)


@pytest.mark.parametrize("rate", [0, 1, 7200])
def test_block_device_characteristics(rate: int) -> None:
    data = page(logical_unit(rotation_rate=rate), 0xB1)
    assert len(data) == 64
    assert int.from_bytes(data[4:6]) == rate
    assert data[6:8] == bytes(2)
    assert data[8] == 0x02  # FUAB
    assert data[9:] == bytes(55)


def test_vbuls_where_unmapped_blocks_read_as_zeros() -> None:
    assert page(thin_logical_unit(), 0xB1)[8] == 0x03
    assert page(thin_logical_unit(lbprz=False), 0xB1)[8] == 0x02


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"thin": False, "lbprz": False}, "00 00 00 00"),
        ({"lbprz": False}, "00 E0 02 00"),  # LBPU, LBPWS, LBPWS10; thin
        ({}, "00 E4 02 00"),  # and LBPRZ 001b
    ],
)
def test_logical_block_provisioning(changes: dict[str, bool], body: str) -> None:
    data = page(thin_logical_unit(**changes), 0xB2)
    assert data == bytes.fromhex("00 B2 0004") + bytes.fromhex(body)


def test_supported_pages_of_a_lun_without_logical_unit() -> None:
    assert vpd.supported_pages_without_logical_unit() == bytes.fromhex("7F 00 0001 00")
