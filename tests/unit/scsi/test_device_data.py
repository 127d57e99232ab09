from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.scsi.device_data import (
    BLOCK_LIMITS_BYTES,
    Capacity,
    StandardInquiry,
    clamp_block_limits,
    decode_capacity_10,
    decode_capacity_16,
    decode_designator,
    decode_page,
    decode_serial,
)

DISK = bytes((0, 0, 6, 2, 31, 0, 0, 2)) + b"ATA     " + b"Disk of 1 TB    " + b"1.0 "
MIB = 1 << 20


def limits(**fields: int) -> bytes:
    """Block Limits behind the header, by the offsets that SBC gives, which count the header."""
    page = bytearray(64)
    places = {"caw": (5, 1), "granularity": (6, 2), "most": (8, 4), "optimal": (12, 4)}
    places |= {"prefetch": (16, 4), "unmap": (20, 4), "atomic": (44, 4), "atomic_boundary": (56, 4)}
    for name, value in fields.items():
        offset, length = places[name]
        page[offset : offset + length] = value.to_bytes(length)
    return bytes(page[4:])


def test_standard_data_is_read() -> None:
    found = StandardInquiry.decode(DISK)
    assert found is not None
    assert (found.vendor, found.product, found.revision) == ("ATA", "Disk of 1 TB", "1.0")
    assert (found.has_unit, found.type_name, found.has_blocks) == (True, "disk", True)
    assert StandardInquiry.decode(DISK[:35]) is None


@pytest.mark.parametrize(
    ("peripheral", "has_unit", "type_name", "has_blocks"),
    [
        (0x7F, False, "device of type 1Fh", False),
        (0x20, True, "disk", True),
        (0x01, True, "tape", False),
        (0x08, True, "changer", False),
        (0x14, True, "zoned disk", True),
    ],
)
def test_types(peripheral: int, has_unit: bool, type_name: str, has_blocks: bool) -> None:
    found = StandardInquiry.decode(bytes((peripheral,)) + DISK[1:])
    assert found is not None
    assert (found.has_unit, found.type_name) == (has_unit, type_name)
    assert found.has_blocks is has_blocks


def test_capacities() -> None:
    assert decode_capacity_10(struct.pack(">II", 99, 512)) == Capacity(100, 512)
    assert decode_capacity_10(struct.pack(">II", 0xFFFFFFFF, 512)) is None
    found = decode_capacity_16(struct.pack(">QI", 2**33 - 1, 4096) + bytes(20))
    assert found == Capacity(2**33, 4096)
    assert found.size_bytes == 2**45
    assert decode_capacity_16(b"\xff" * 8 + bytes(24)) is None
    assert decode_capacity_10(b"") is decode_capacity_16(bytes(11)) is None


def test_pages_are_what_was_asked_for() -> None:
    assert decode_page(bytes((0, 0x80, 0, 3)) + b"ABCDE", 0x80) == b"ABC"
    assert decode_page(bytes((0, 0x80, 0, 9)) + b"ABC", 0x80) == b"ABC"
    # A device that does not know EVPD sends standard data.
    assert decode_page(DISK, 0x80) is None
    assert decode_page(b"\0\x80", 0x80) is None
    assert decode_serial(b"  W\x01 12\0\0") == "W? 12"


def designator(kind: int, code_set: int, value: bytes, association: int = 0) -> bytes:
    return bytes((code_set, association << 4 | kind, 0, len(value))) + value


NAA, T10 = bytes.fromhex("5000c500a1b2c3d4"), b"ATA     Disk"


def test_the_best_designator_of_the_unit_is_taken() -> None:
    port = designator(3, 1, bytes(8), association=1)
    t10, naa = designator(1, 2, T10), designator(3, 1, NAA)
    assert decode_designator(port + t10 + naa) == "naa.5000c500a1b2c3d4"
    assert decode_designator(port + t10) == "t10.ATA     Disk"
    assert decode_designator(designator(8, 3, b"iqn.2026-01.example:x\0\0\0")) == (
        "iqn.2026-01.example:x"
    )
    assert decode_designator(port) is decode_designator(b"") is None


def test_no_command_transfers_more_than_passes() -> None:
    said = limits(caw=255, granularity=4096, most=65535, optimal=32768, prefetch=7, unmap=2**32 - 1)
    page = clamp_block_limits(said, block_bytes=512, transfer_bytes_max=MIB)
    assert page == limits(
        caw=255, granularity=2048, most=2048, optimal=2048, prefetch=7, unmap=2**32 - 1
    )


def test_what_is_small_enough_stays_and_nothing_said_is_a_limit_too() -> None:
    said = limits(caw=1, granularity=8, most=256, optimal=128, atomic=16, atomic_boundary=8)
    assert clamp_block_limits(said, block_bytes=4096, transfer_bytes_max=MIB) == said
    nothing = clamp_block_limits(None, block_bytes=4096, transfer_bytes_max=MIB)
    assert nothing == limits(most=256)
    atomic = limits(atomic=1024, atomic_boundary=1024)
    assert clamp_block_limits(atomic, block_bytes=4096, transfer_bytes_max=MIB) == limits(
        most=256, atomic=256, atomic_boundary=256
    )


def test_compare_and_write_sends_its_blocks_twice() -> None:
    page = clamp_block_limits(limits(caw=255), block_bytes=4096, transfer_bytes_max=MIB)
    assert page == limits(caw=128, most=256)


@given(
    st.binary(max_size=100) | st.none(), st.sampled_from((0, 512, 520, 4096)), st.integers(512, MIB)
)
def test_whatever_a_device_says_is_a_page(body: bytes | None, block: int, most: int) -> None:
    page = clamp_block_limits(body, block_bytes=block, transfer_bytes_max=most)
    assert len(page) >= BLOCK_LIMITS_BYTES
    assert 1 <= int.from_bytes(page[4:8]) <= max(1, most // max(block, 1))


@given(st.binary(max_size=300))
def test_whatever_a_device_says_is_survived(data: bytes) -> None:
    StandardInquiry.decode(data)
    decode_page(data, 0x83)
    text = (decode_designator(data) or "") + decode_serial(data)
    assert text.isprintable()
