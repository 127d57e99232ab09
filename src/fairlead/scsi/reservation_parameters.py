"""What PERSISTENT RESERVE IN returns and PERSISTENT RESERVE OUT brings, as bytes.

Spec: SPC-4 r37 §6.15 and §6.16 (PERSISTENT RESERVE IN and OUT), §7.6.4 (TransportID).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from typing_extensions import override

from fairlead.errors import CheckCondition
from fairlead.scsi.sense import Asc, FieldPointer, Sense, SenseKey, invalid_cdb_field

if TYPE_CHECKING:
    from collections.abc import Iterable

PARAMETER_LIST_BYTES: Final = 24
"""Of PERSISTENT RESERVE OUT without TransportIDs."""

# reservation key | service action reservation key | obsolete | SPEC_I_PT, ALL_TG_PT, APTPL
_PARAMETER_LIST = struct.Struct(">QQ4xB3x")
SERVICE_ACTION_KEY_OFFSET: Final = 8
_FLAGS_OFFSET: Final = 20
_SPEC_I_PT, _ALL_TG_PT, _APTPL = 0x08, 0x04, 0x01

_LU_SCOPE: Final = 0

# PRGENERATION | ADDITIONAL LENGTH
_HEADER = struct.Struct(">II")
# reservation key | obsolete | SCOPE and TYPE | obsolete
_RESERVATION = struct.Struct(">Q5xB2x")
# reservation key | ALL_TG_PT, R_HOLDER | SCOPE and TYPE | relative target port | length
_FULL_STATUS = struct.Struct(">Q4xBB4xHI")
_R_HOLDER: Final = 0x01

_TMV: Final = 0x80
# TEST UNIT READY is permitted beside every type, and what only reads beside the Write Exclusive.
_ALLOW_COMMANDS: Final = 0b011 << 4
# Bits 7..0, then 15..8 of the PERSISTENT RESERVATION TYPE MASK: the six types, by their numbers.
_TYPE_MASK: Final = bytes((0b1110_1010, 0b0000_0001))

_TRANSPORT_ID_ISCSI_PORT: Final = 0x45
"""Format 01b: an initiator port; protocol 5h: iSCSI."""
_TRANSPORT_ID_NAME_BYTES_MIN: Final = 20


class ReservationType(IntEnum):
    """Spec: SPC-4 r37, persistent reservation type codes."""

    WRITE_EXCLUSIVE = 0x1
    EXCLUSIVE_ACCESS = 0x3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 0x6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 0x7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 0x8


@dataclass(frozen=True, slots=True, order=True)
class ItNexus:
    """An I_T nexus: an initiator port and a target port. It outlives its sessions.

    Attributes:
        initiator_name: normalised.
        isid: 6 bytes; with the initiator's name they name its port.
        target_name: normalised; all portals are one portal group, so one target port.

    Spec: RFC 7143 §4.4.2 (SCSI architecture model); SAM-5, I_T nexus.
    """

    initiator_name: str
    isid: bytes
    target_name: str

    def transport_id(self) -> bytes:
        """Return the TransportID of the initiator port. Spec: SPC-4 r37 §7.6.4.6."""
        name = f"{self.initiator_name},i,0x{self.isid.hex()}".encode()
        # NUL-terminated, and padded to a multiple of four.
        length_bytes = max(_TRANSPORT_ID_NAME_BYTES_MIN, len(name) + 4 - len(name) % 4)
        header = bytes((_TRANSPORT_ID_ISCSI_PORT, 0)) + length_bytes.to_bytes(2)
        return header + name.ljust(length_bytes, b"\0")

    @override
    def __str__(self) -> str:
        return f"{self.initiator_name},i,0x{self.isid.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutParameters:
    """The basic parameter list of PERSISTENT RESERVE OUT; keys are 0..2**64-1."""

    key: int
    service_action_key: int

    @classmethod
    def decode(cls, cdb: bytes, data: bytes, *, registers: bool) -> Self:
        """Decode and check a parameter list.

        Args:
            cdb: of the command, whose PARAMETER LIST LENGTH is in bytes 5 to 8.
            data: the data-out buffer, whole.
            registers: the service action is one that SPEC_I_PT, ALL_TG_PT and APTPL belong to;
                for the others they are ignored.

        Raises:
            CheckCondition: PARAMETER LIST LENGTH ERROR unless the list has 24 bytes; INVALID
                FIELD IN PARAMETER LIST for a bit that REPORT CAPABILITIES says is not served.
        """
        # A list with TransportIDs is longer; its bit is refused, whatever its length.
        flags = data[_FLAGS_OFFSET] if registers and len(data) > _FLAGS_OFFSET else 0
        for bit in (_SPEC_I_PT, _ALL_TG_PT, _APTPL):
            if flags & bit:
                raise CheckCondition(invalid_parameter(_FLAGS_OFFSET, bit.bit_length() - 1))
        length_bytes = int.from_bytes(cdb[5:9])
        if length_bytes != PARAMETER_LIST_BYTES or len(data) != PARAMETER_LIST_BYTES:
            raise CheckCondition(Sense(SenseKey.ILLEGAL_REQUEST, Asc.PARAMETER_LIST_LENGTH_ERROR))
        key, service_action_key, _ = _PARAMETER_LIST.unpack(data)
        return cls(key=key, service_action_key=service_action_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullStatus:
    """A registration as READ FULL STATUS tells it; ``holds`` is None where it holds nothing."""

    nexus: ItNexus
    key: int
    relative_target_port: int
    holds: ReservationType | None

    def encode(self) -> bytes:
        """Encode as a full status descriptor."""
        transport_id = self.nexus.transport_id()
        head = _FULL_STATUS.pack(
            self.key,
            0 if self.holds is None else _R_HOLDER,
            0 if self.holds is None else self.holds,
            self.relative_target_port,
            len(transport_id),
        )
        return head + transport_id


def reservation_type(scope_and_type: int) -> ReservationType:
    """Return the type in byte 2 of a CDB.

    Raises:
        CheckCondition: INVALID FIELD IN CDB for a scope other than LU_SCOPE, or an obsolete or
            reserved type.
    """
    if scope_and_type >> 4 != _LU_SCOPE:
        raise CheckCondition(invalid_cdb_field(2, 7))
    try:
        return ReservationType(scope_and_type & 0x0F)
    except ValueError:
        raise CheckCondition(invalid_cdb_field(2, 3)) from None


def invalid_parameter(offset_bytes: int, bit: int | None = None) -> Sense:
    """Return INVALID FIELD IN PARAMETER LIST, pointing at the field."""
    field = FieldPointer(offset_bytes, bit, in_cdb=False)
    return Sense(SenseKey.ILLEGAL_REQUEST, Asc.INVALID_FIELD_IN_PARAMETER_LIST, field=field)


def read_keys(generation: int, keys: Iterable[int]) -> bytes:
    """Return READ KEYS parameter data, untruncated."""
    return _with_header(generation, b"".join(key.to_bytes(8) for key in keys))


def read_reservation(generation: int, held: tuple[int, ReservationType] | None) -> bytes:
    """Return READ RESERVATION parameter data: the holder's key and the type, or no descriptor."""
    return _with_header(generation, b"" if held is None else _RESERVATION.pack(*held))


def report_capabilities() -> bytes:
    """Return REPORT CAPABILITIES parameter data.

    CRH, SIP_C, ATP_C, PTPL_C and RLR_C are 0: RESERVE and RELEASE conflict with registrations, a
    registration is of the nexus that it comes by, and it ends when the target stops.
    """
    return (8).to_bytes(2) + bytes((0, _TMV | _ALLOW_COMMANDS)) + _TYPE_MASK + bytes(2)


def read_full_status(generation: int, registrations: Iterable[FullStatus]) -> bytes:
    """Return READ FULL STATUS parameter data, untruncated."""
    return _with_header(generation, b"".join(one.encode() for one in registrations))


def _with_header(generation: int, body: bytes) -> bytes:
    return _HEADER.pack(generation, len(body)) + body
