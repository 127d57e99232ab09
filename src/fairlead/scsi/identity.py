"""The lasting identity of a logical unit: what an initiator recognises a volume by.

An initiator that sees another identity takes the volume for another disk, and one that sees the
same identity twice takes two paths for one disk. So the identity depends on nothing but the
volume's configured serial number or, without one, on the volume's name and a UUID that was made
once and is kept with the configuration. No clock, address or process state goes into it.

Spec: SPC-4 r37, Device Identification VPD page and Unit Serial Number VPD page.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from uuid import UUID

VENDOR_ID: Final = b"FAIRLEAD"
"""T10 VENDOR IDENTIFICATION, 8 ASCII bytes."""

SERIAL_CHARACTERS_MAX: Final = 36
"""A UUID in text form fits; Linux tools and udev links cut or garble much longer ones."""

_SERIAL = re.compile(rf"[0-9A-Za-z._:-]{{1,{SERIAL_CHARACTERS_MAX}}}")

_NAA_LOCALLY_ASSIGNED: Final = 0x3
_NAA_VALUE_BITS: Final = 60
_DERIVED_SERIAL_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Names of one logical unit, as they go into the VPD pages.

    Attributes:
        unit_serial: PRODUCT SERIAL NUMBER, 1..36 ASCII characters.
        naa: 8 bytes, NAA 3h (locally assigned): we own no OUI, which NAA 2h, 5h and 6h need. The
            60 bits below are a hash of the serial number.
    """

    unit_serial: str
    naa: bytes

    @classmethod
    def from_serial(cls, serial: str) -> Self:
        """Return the identity of a volume with a serial number of its own.

        Args:
            serial: 1..36 of the characters ``0-9 A-Z a-z . _ : -``. Two volumes with the same
                serial number are one volume to an initiator: give a replica the serial number of
                its original only where they hold the same data.

        Raises:
            ValueError: other characters, or none, or more than 36.
        """
        if not _SERIAL.fullmatch(serial):
            raise ValueError(
                f"serial number {serial!r}: must be 1..{SERIAL_CHARACTERS_MAX} of the characters "
                "0-9 A-Z a-z . _ : -"
            )
        digest = hashlib.sha256(b"fairlead naa\0" + serial.encode("ascii")).digest()
        value = int.from_bytes(digest) >> (8 * len(digest) - _NAA_VALUE_BITS)
        return cls(serial, (_NAA_LOCALLY_ASSIGNED << _NAA_VALUE_BITS | value).to_bytes(8))

    @classmethod
    def from_name(cls, name: str, *, installation: UUID) -> Self:
        """Return the identity of a volume that has no serial number configured.

        Args:
            name: the volume's name, unique in its installation.
            installation: made once at random and kept; two installations with volumes of one name
                must differ in it.
        """
        digest = hashlib.sha256(b"fairlead serial\0" + installation.bytes + name.encode()).digest()
        return cls.from_serial(digest[:_DERIVED_SERIAL_BYTES].hex())

    @property
    def t10_vendor_id(self) -> bytes:
        """Designator of type 1h: the vendor, then what is unique within the vendor."""
        return VENDOR_ID + self.unit_serial.encode("ascii")

    @property
    def naa_text(self) -> str:
        """The NAA as an iSCSI name (RFC 3980) and udev write it: ``naa.`` and 16 hex digits."""
        return f"naa.{self.naa.hex()}"
