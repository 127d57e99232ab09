"""The 8-byte LUN field. Spec: SAM-5, single level LUN structure; RFC 7143 §11.2.1.7."""

from __future__ import annotations

from typing import Final

from fairlead.proto.iscsi.reject import PduError, RejectReason

LUN_FIELD_BYTES: Final = 8

PERIPHERAL_MAX: Final = 0xFF
"""The largest LUN in peripheral device addressing."""

FLAT_SPACE_MAX: Final = 0x3FFF
"""The largest LUN in flat space addressing."""

_METHOD_MASK: Final = 0xC0
_PERIPHERAL: Final = 0x00
_FLAT_SPACE: Final = 0x40


def encode_lun(lun: int) -> bytes:
    """Encode a LUN: peripheral device addressing up to 255, flat space above.

    Args:
        lun: 0 to 16,383.

    Raises:
        ValueError: the LUN is outside that range.
    """
    if not 0 <= lun <= FLAT_SPACE_MAX:
        raise ValueError(f"LUN {lun}, range 0 to {FLAT_SPACE_MAX}")
    method = _PERIPHERAL if lun <= PERIPHERAL_MAX else _FLAT_SPACE
    return bytes((method | lun >> 8, lun & 0xFF)) + bytes(6)


def decode_lun(lun_field: bytes) -> int:
    """Decode the LUN field of a PDU.

    Both addressing methods are accepted for every number: initiators differ in where they change
    from one to the other.

    Args:
        lun_field: 8 bytes.

    Raises:
        PduError: another addressing method, a bus number, or more than one level.
    """
    method = lun_field[0] & _METHOD_MASK
    lun = (lun_field[0] & ~_METHOD_MASK) << 8 | lun_field[1]
    is_single_level = len(lun_field) == LUN_FIELD_BYTES and not any(lun_field[2:])
    is_known = method == _FLAT_SPACE or (method == _PERIPHERAL and lun <= PERIPHERAL_MAX)
    if not (is_single_level and is_known):
        raise PduError(
            RejectReason.INVALID_PDU_FIELD, f"LUN {lun_field.hex(' ')}: not a single level LUN"
        )
    return lun
