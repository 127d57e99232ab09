from __future__ import annotations

from dataclasses import replace

from fairlead.scsi import inquiry
from fairlead.scsi.identity import Identity
from fairlead.scsi.pass_through_unit import DevicePages, PassThroughUnit, render
from tests.support.logical_unit import TARGET_NAME

ALL = bytes((0x00, 0x80, 0x83, 0xB0, 0xB1))
DISK = DevicePages(
    peripheral=0, has_blocks=True, block_bytes=512, supported=ALL, block_limits=bytes(60)
)
TAPE = DevicePages(peripheral=1, has_blocks=False, block_bytes=0, supported=ALL)
OWN = Identity.from_serial("SN-1")


def pages(device: DevicePages, identity: Identity | None = None) -> dict[int, bytes]:
    unit = PassThroughUnit(
        device=device, transfer_bytes_max=1 << 20, target_name=TARGET_NAME, identity=identity
    )
    rendered = render(unit)
    assert all(key == inquiry.key(key[2]) for key in rendered)
    assert all(
        (page[0], page[1]) == (device.peripheral, key[2])
        and int.from_bytes(page[2:4]) == len(page) - 4
        for key, page in rendered.items()
    )
    return {key[2]: page[4:] for key, page in rendered.items()}


def test_a_disk_has_its_own_identity_and_our_limit() -> None:
    found = pages(DISK)
    assert list(found) == [0xB0]
    assert int.from_bytes(found[0xB0][4:8]) == 2048


def test_a_disk_without_limits_is_given_one_and_says_so() -> None:
    found = pages(replace(DISK, supported=ALL[:3], block_limits=None))
    assert sorted(found) == [0x00, 0xB0]
    assert found[0x00] == ALL[:4]


def test_a_tape_answers_for_itself() -> None:
    assert pages(TAPE) == {}


def test_an_identity_of_ours_takes_the_devices_place() -> None:
    found = pages(TAPE, OWN)
    assert sorted(found) == [0x80, 0x83]
    assert found[0x80] == b"SN-1"
    assert OWN.naa in found[0x83]
    nameless = pages(replace(TAPE, supported=b""), OWN)
    assert nameless[0x00] == bytes((0x00, 0x80, 0x83))
