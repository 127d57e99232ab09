from __future__ import annotations

import pytest

from fairlead.control.device_facts import NoAnswerError, NoUnitError, ask_device
from fairlead.dataplane.pass_through import LinkAnswer
from tests.support.scsi_device import NOT_SUPPORTED, FakeScsiDevice

INQUIRY, CAPACITY_10, CAPACITY_16 = 0x12, 0x25, 0x9E


def asked(device: FakeScsiDevice) -> list[int]:
    return [cdb[0] for cdb in device.asked]


def test_a_disk_says_what_it_is() -> None:
    facts = ask_device(FakeScsiDevice())
    assert (facts.vendor, facts.product, facts.revision) == ("ACME", "Disk of 2 GiB", "1.0")
    assert (facts.serial, facts.designator) == ("SN1", "naa.5000c500a1b2c3d4")
    assert (facts.type_name, facts.size_bytes) == ("disk", 2 << 30)
    assert facts.pages.supported == bytes((0x00, 0x80, 0x83, 0xB0))
    assert facts.pages.block_limits == bytes(60)
    assert facts.words() == (
        "disk ACME Disk of 2 GiB 1.0, serial number SN1, 2G in blocks of 512 bytes"
    )
    assert facts.document() == {
        "type": "disk",
        "vendor": "ACME",
        "product": "Disk of 2 GiB",
        "revision": "1.0",
        "serial": "SN1",
        "designator": "naa.5000c500a1b2c3d4",
        "logical_block_bytes": 512,
        "link": {"interface": "made up"},
    }


@pytest.mark.parametrize(
    ("version", "blocks", "commands"),
    [
        (6, 1 << 22, [CAPACITY_16]),
        (2, 1 << 22, [CAPACITY_10]),
        (2, 1 << 33, [CAPACITY_10, CAPACITY_16]),
    ],
)
def test_capacity_is_asked_as_the_device_can_tell(
    version: int, blocks: int, commands: list[int]
) -> None:
    device = FakeScsiDevice(version=version, blocks=blocks)
    assert ask_device(device).size_bytes == blocks * 512
    assert [opcode for opcode in asked(device) if opcode != INQUIRY] == commands
    assert all(len(cdb) == {0x1: 10, 0x4: 16, 0x0: 6}[cdb[0] >> 5] for cdb in device.asked)


def test_an_old_device_is_asked_for_no_page() -> None:
    device = FakeScsiDevice(version=2)
    facts = ask_device(device)
    assert (facts.serial, facts.designator, facts.pages.supported) == (None, None, b"")
    assert asked(device).count(INQUIRY) == 1


def test_a_tape_has_no_capacity_and_no_block_limits() -> None:
    device = FakeScsiDevice(peripheral=1)
    facts = ask_device(device)
    assert (facts.type_name, facts.size_bytes) == ("tape", None)
    assert facts.pages.block_limits is None
    assert facts.words().endswith("serial number SN1, without capacity")
    assert set(asked(device)) == {INQUIRY}


def test_a_device_without_medium_has_no_capacity() -> None:
    facts = ask_device(FakeScsiDevice(blocks=None))
    assert (facts.capacity, facts.pages.block_bytes) == (None, 0)
    assert facts.document()["logical_block_bytes"] is None


def test_unit_attentions_are_taken_and_the_question_asked_again() -> None:
    assert ask_device(FakeScsiDevice(attentions=3)).size_bytes == 2 << 30
    assert ask_device(FakeScsiDevice(attentions=99)).size_bytes is None


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (FakeScsiDevice(failure="it timed out"), "it timed out"),
        (FakeScsiDevice(inquiry=LinkAnswer(status=8)), "status 08h with 0 bytes"),
        (FakeScsiDevice(inquiry=LinkAnswer(status=0, data=bytes(5))), "status 00h with 5 bytes"),
        (FakeScsiDevice(inquiry=LinkAnswer(status=2, sense=b"\x70")), "CHECK CONDITION 0/00/00"),
    ],
)
def test_a_device_that_does_not_answer(device: FakeScsiDevice, message: str) -> None:
    with pytest.raises(NoAnswerError, match=message):
        ask_device(device)


@pytest.mark.parametrize(
    "device",
    [
        FakeScsiDevice(peripheral=0x7F),
        FakeScsiDevice(inquiry=LinkAnswer(status=2, sense=NOT_SUPPORTED)),
    ],
)
def test_a_lun_without_a_unit(device: FakeScsiDevice) -> None:
    with pytest.raises(NoUnitError):
        ask_device(device)
