"""Asks a SCSI device what it is, before it is served: INQUIRY, READ CAPACITY, a few VPD pages.

A device need not answer anything but INQUIRY: one without medium has no capacity, an old one no
pages. Spec: SPC-4 r37, SBC-3 r36.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fairlead.model.size import format_size
from fairlead.scsi import vpd
from fairlead.scsi.device_data import (
    Capacity,
    StandardInquiry,
    decode_capacity_10,
    decode_capacity_16,
    decode_designator,
    decode_page,
    decode_serial,
)
from fairlead.scsi.pass_through_unit import DevicePages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.dataplane.pass_through import Link, LinkAnswer

# A disk that has to spin up first answers INQUIRY all the same.
QUESTION_TIMEOUT_S: Final = 20.0
_GOOD: Final = 0x00
_CHECK_CONDITION: Final = 0x02
_ILLEGAL_REQUEST, _UNIT_ATTENTION = 0x5, 0x6
_LOGICAL_UNIT_NOT_SUPPORTED: Final = (0x25, 0x00)
# A device that was reset in several ways reports each of them first. Spec: SAM-5, unit attention.
_TRIES_MAX: Final = 5
# Behind SPC, pages may be asked for without harm; SPC-2 is where READ CAPACITY (16) begins.
_VERSION_SPC, _VERSION_SPC_2 = 3, 4

_INQUIRY_BYTES: Final = 36  # More makes some devices that are older than SPC stumble.
_PAGE_BYTES: Final = 252
_CAPACITY_10 = (bytes.fromhex("25000000000000000000"), 8)
_CAPACITY_16 = (bytes.fromhex("9e10000000000000000000000020") + bytes(2), 32)


class NoAnswerError(Exception):
    """The device does not answer INQUIRY; the message says how it ended."""


class NoUnitError(Exception):
    """There is a device, and no logical unit at this LUN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What a device says of itself, for people and for our pages.

    Attributes:
        serial: on page 80h; None where it has none.
        designator: its best name on page 83h: ``naa.5000c500a1b2c3d4``; None where it has none.
        type_name: ``disk``, ``tape``...
        capacity: of its medium; None where it has no medium, or no blocks.
        interface: how it is reached, as the data plane says.
        pages: what our pages are made from.
    """

    vendor: str
    product: str
    revision: str
    serial: str | None
    designator: str | None
    type_name: str
    capacity: Capacity | None
    pages: DevicePages
    interface: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int | None:
        """Of its medium; None where it has said nothing."""
        return None if self.capacity is None else self.capacity.size_bytes

    def log_facts(self) -> dict[str, str]:
        """Return what a line of the log says."""
        said = {
            "type": self.type_name,
            "vendor": self.vendor,
            "product": self.product,
            "serial": self.serial or "-",
        }
        return {**said, "interface": self.interface.get("interface", "-")}

    def words(self) -> str:
        """Return the device in a few words, for people."""
        capacity = self.capacity
        size = "without capacity"
        if capacity is not None:
            size = f"{format_size(capacity.size_bytes)} in blocks of {capacity.block_bytes} bytes"
        who = " ".join(word for word in (self.vendor, self.product, self.revision) if word)
        serial = f", serial number {self.serial}" if self.serial else ""
        return f"{self.type_name} {who}{serial}, {size}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "type": self.type_name,
            "vendor": self.vendor,
            "product": self.product,
            "revision": self.revision,
            "serial": self.serial,
            "designator": self.designator,
            "logical_block_bytes": self.capacity.block_bytes if self.capacity else None,
            "link": dict(self.interface),
        }


def ask_device(link: Link) -> DeviceFacts:
    """Ask a device what it is. Waits for it: call it in a thread.

    Raises:
        NoAnswerError: it does not even answer INQUIRY.
        NoUnitError: nothing is at this LUN.
    """
    standard = _inquire(link)
    supported = b""
    if standard.version >= _VERSION_SPC:
        supported = _page(link, vpd.SUPPORTED_PAGES) or b""
    bodies = {
        code: _page(link, code)
        for code in (vpd.UNIT_SERIAL_NUMBER, vpd.DEVICE_IDENTIFICATION, vpd.BLOCK_LIMITS)
        if code in supported
    }
    capacity = _capacity(link, standard) if standard.has_blocks else None
    return DeviceFacts(
        vendor=standard.vendor,
        product=standard.product,
        revision=standard.revision,
        serial=decode_serial(bodies.get(vpd.UNIT_SERIAL_NUMBER) or b"") or None,
        designator=decode_designator(bodies.get(vpd.DEVICE_IDENTIFICATION) or b""),
        type_name=standard.type_name,
        capacity=capacity,
        pages=DevicePages(
            peripheral=standard.peripheral,
            has_blocks=standard.has_blocks,
            block_bytes=0 if capacity is None else capacity.block_bytes,
            supported=supported,
            block_limits=bodies.get(vpd.BLOCK_LIMITS) if standard.has_blocks else None,
        ),
        interface=dict(link.about()),
    )


def _inquire(link: Link) -> StandardInquiry:
    answer = _execute(link, bytes((0x12, 0, 0, 0, _INQUIRY_BYTES, 0)), _INQUIRY_BYTES)
    if answer.failure is not None:
        raise NoAnswerError(answer.failure)
    if answer.status == _CHECK_CONDITION:
        key, *code = _sense(answer.sense)
        if (key, tuple(code)) == (_ILLEGAL_REQUEST, _LOGICAL_UNIT_NOT_SUPPORTED):
            raise NoUnitError
        raise NoAnswerError(f"CHECK CONDITION {key:X}/{code[0]:02X}/{code[1]:02X}")
    standard = StandardInquiry.decode(answer.data)
    if answer.status != _GOOD or standard is None:
        raise NoAnswerError(f"status {answer.status:02X}h with {len(answer.data)} bytes")
    if not standard.has_unit:
        raise NoUnitError
    return standard


def _capacity(link: Link, standard: StandardInquiry) -> Capacity | None:
    """By the command that the device is likely to know, then by the other."""
    ways = [(_CAPACITY_10, decode_capacity_10), (_CAPACITY_16, decode_capacity_16)]
    if standard.version > _VERSION_SPC_2:
        ways.reverse()
    for (cdb, length), decode in ways:
        answer = _execute(link, cdb, length)
        capacity = decode(answer.data) if _is_good(answer) else None
        if capacity is not None:
            return capacity
    return None


def _page(link: Link, code: int) -> bytes | None:
    cdb = bytes((0x12, 1, code)) + _PAGE_BYTES.to_bytes(2) + bytes(1)
    answer = _execute(link, cdb, _PAGE_BYTES)
    return decode_page(answer.data, code) if _is_good(answer) else None


def _execute(link: Link, cdb: bytes, length_bytes: int) -> LinkAnswer:
    for _ in range(_TRIES_MAX - 1):
        answer = link.execute(cdb, data_in_bytes=length_bytes, timeout_s=QUESTION_TIMEOUT_S)
        is_attention = answer.status == _CHECK_CONDITION and (
            _sense(answer.sense)[0] == _UNIT_ATTENTION
        )
        if answer.failure is not None or not is_attention:
            return answer
    return link.execute(cdb, data_in_bytes=length_bytes, timeout_s=QUESTION_TIMEOUT_S)


def _is_good(answer: LinkAnswer) -> bool:
    return answer.failure is None and answer.status == _GOOD


def _sense(data: bytes) -> tuple[int, int, int]:
    """Sense key, additional sense code and qualifier, in either format; zeros where there is none.

    `fairlead.scsi.sense` knows what we send; a device may send anything. Spec: SPC-4, sense data.
    """
    padded = data.ljust(14, b"\0")
    if padded[0] & 0x7E == 0x72:
        return padded[1] & 0x0F, padded[2], padded[3]
    return padded[2] & 0x0F, padded[12], padded[13]
