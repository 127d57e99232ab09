"""Sense data: why a command did not end with GOOD. Spec: SPC-4 r37, sense data.

`Asc` names every additional sense code the target sends, those of the data plane included, so that
logs, tests and the test initiator call them alike.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Self

from typing_extensions import override

from fairlead.errors import ProtocolError

FIXED_BYTES: Final = 18
"""Length of fixed format sense data as sent here."""

_FIXED_CURRENT: Final = 0x70
_DESCRIPTOR_CURRENT: Final = 0x72
_VALID: Final = 0x80
_SKSV: Final = 0x80
_IN_CDB: Final = 0x40
_BIT_POINTER_VALID: Final = 0x08

# response code | obsolete | sense key | INFORMATION | additional length | command-specific |
# ASC | ASCQ | FRU | sense key specific
_FIXED = struct.Struct(">BBBIBIBBB3s")
_DESCRIPTOR_HEADER = struct.Struct(">BBBB3xB")
_INFORMATION_DESCRIPTOR = struct.Struct(">BBBxQ")
_SENSE_KEY_SPECIFIC_DESCRIPTOR = struct.Struct(">BB2x3sx")
_INFORMATION_TYPE: Final = 0x00
_SENSE_KEY_SPECIFIC_TYPE: Final = 0x02


class SenseKey(IntEnum):
    """Spec: SPC-4 r37, sense key descriptions."""

    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    BLANK_CHECK = 0x8
    VENDOR_SPECIFIC = 0x9
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF


class Asc(Enum):
    """(additional sense code, additional sense code qualifier). Spec: SPC-4 r37, ASC and ASCQ."""

    NO_ADDITIONAL_SENSE_INFORMATION = (0x00, 0x00)
    LOGICAL_UNIT_NOT_READY_CAUSE_NOT_REPORTABLE = (0x04, 0x00)
    LOGICAL_UNIT_IS_IN_PROCESS_OF_BECOMING_READY = (0x04, 0x01)
    LOGICAL_UNIT_NOT_READY_MANUAL_INTERVENTION_REQUIRED = (0x04, 0x03)
    LOGICAL_UNIT_COMMUNICATION_FAILURE = (0x08, 0x00)
    WRITE_ERROR = (0x0C, 0x00)
    WRITE_ERROR_UNEXPECTED_UNSOLICITED_DATA = (0x0C, 0x0C)
    WRITE_ERROR_NOT_ENOUGH_UNSOLICITED_DATA = (0x0C, 0x0D)
    UNRECOVERED_READ_ERROR = (0x11, 0x00)
    PARAMETER_LIST_LENGTH_ERROR = (0x1A, 0x00)
    MISCOMPARE_DURING_VERIFY_OPERATION = (0x1D, 0x00)
    INVALID_COMMAND_OPERATION_CODE = (0x20, 0x00)
    LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE = (0x21, 0x00)
    INVALID_FIELD_IN_CDB = (0x24, 0x00)
    LOGICAL_UNIT_NOT_SUPPORTED = (0x25, 0x00)
    INVALID_FIELD_IN_PARAMETER_LIST = (0x26, 0x00)
    INVALID_RELEASE_OF_PERSISTENT_RESERVATION = (0x26, 0x04)
    WRITE_PROTECTED = (0x27, 0x00)
    SPACE_ALLOCATION_FAILED_WRITE_PROTECT = (0x27, 0x07)
    POWER_ON_RESET_OR_BUS_DEVICE_RESET_OCCURRED = (0x29, 0x00)
    POWER_ON_OCCURRED = (0x29, 0x01)
    BUS_DEVICE_RESET_FUNCTION_OCCURRED = (0x29, 0x03)
    I_T_NEXUS_LOSS_OCCURRED = (0x29, 0x07)
    MODE_PARAMETERS_CHANGED = (0x2A, 0x01)
    RESERVATIONS_PREEMPTED = (0x2A, 0x03)
    RESERVATIONS_RELEASED = (0x2A, 0x04)
    REGISTRATIONS_PREEMPTED = (0x2A, 0x05)
    CAPACITY_DATA_HAS_CHANGED = (0x2A, 0x09)
    COMMAND_SEQUENCE_ERROR = (0x2C, 0x00)
    COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = (0x2F, 0x00)
    SAVING_PARAMETERS_NOT_SUPPORTED = (0x39, 0x00)
    INQUIRY_DATA_HAS_CHANGED = (0x3F, 0x03)
    REPORTED_LUNS_DATA_HAS_CHANGED = (0x3F, 0x0E)
    INTERNAL_TARGET_FAILURE = (0x44, 0x00)
    PROTOCOL_SERVICE_CRC_ERROR = (0x47, 0x05)
    OVERLAPPED_COMMANDS_ATTEMPTED = (0x4E, 0x00)
    SYSTEM_RESOURCE_FAILURE = (0x55, 0x00)
    INSUFFICIENT_RESOURCES = (0x55, 0x03)
    INSUFFICIENT_REGISTRATION_RESOURCES = (0x55, 0x04)


@dataclass(frozen=True, slots=True)
class FieldPointer:
    """Which field of an ILLEGAL REQUEST is at fault. Spec: SPC-4 r37, field pointer.

    Attributes:
        offset_bytes: 0..65535, the first byte of the field.
        bit: 0..7, its most significant bit, or None when the byte alone is meant.
        in_cdb: the field is in the CDB; otherwise it is in the parameter data.
    """

    offset_bytes: int
    bit: int | None = None
    in_cdb: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.offset_bytes <= 0xFFFF:
            raise ValueError(f"offset_bytes {self.offset_bytes}: must be 0..65535")
        if self.bit is not None and not 0 <= self.bit <= 7:
            raise ValueError(f"bit {self.bit}: must be 0..7")

    def encode(self) -> bytes:
        """Return the 3 sense key specific bytes."""
        first = _SKSV | (_IN_CDB if self.in_cdb else 0)
        if self.bit is not None:
            first |= _BIT_POINTER_VALID | self.bit
        return bytes((first,)) + self.offset_bytes.to_bytes(2)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Decode 3 sense key specific bytes; None when SKSV says there is nothing."""
        first = data[0]
        if not first & _SKSV:
            return None
        return cls(
            offset_bytes=int.from_bytes(data[1:3]),
            bit=first & 0x07 if first & _BIT_POINTER_VALID else None,
            in_cdb=bool(first & _IN_CDB),
        )


@dataclass(frozen=True, slots=True)
class Sense:
    """Current sense data.

    Attributes:
        information: 0..2**64-1, for block commands the first LBA in error, or None.
        field: the field at fault; ILLEGAL REQUEST only.
    """

    key: SenseKey
    asc: Asc
    information: int | None = None
    field: FieldPointer | None = None

    def encode_fixed(self) -> bytes:
        """Encode as fixed format: 18 bytes.

        INFORMATION has 4 bytes there: a larger value is left out, as the standard asks.
        Spec: SPC-4 r37, fixed format sense data.
        """
        fits = self.information is not None and self.information <= 0xFFFF_FFFF
        return _FIXED.pack(
            _FIXED_CURRENT | (_VALID if fits else 0),
            0,
            self.key,
            self.information if self.information is not None and fits else 0,
            FIXED_BYTES - 8,
            0,
            *self.asc.value,
            0,
            bytes(3) if self.field is None else self.field.encode(),
        )

    def encode_descriptor(self) -> bytes:
        """Encode as descriptor format: 8 bytes, plus 12 with INFORMATION and 8 with a field.

        Spec: SPC-4 r37, descriptor format sense data.
        """
        descriptors = b""
        if self.information is not None:
            descriptors += _INFORMATION_DESCRIPTOR.pack(
                _INFORMATION_TYPE, 10, _VALID, self.information
            )
        if self.field is not None:
            descriptors += _SENSE_KEY_SPECIFIC_DESCRIPTOR.pack(
                _SENSE_KEY_SPECIFIC_TYPE, 6, self.field.encode()
            )
        header = _DESCRIPTOR_HEADER.pack(
            _DESCRIPTOR_CURRENT, self.key, *self.asc.value, len(descriptors)
        )
        return header + descriptors

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode current sense data of either format, cut short or not.

        Raises:
            ProtocolError: not current sense data, too short to hold a sense key and ASC, or a key
                or ASC that is not in the tables here.
        """
        response_code = data[0] & 0x7F if data else 0
        if response_code == _FIXED_CURRENT and len(data) >= 14:
            return cls._decode_fixed(data)
        if response_code == _DESCRIPTOR_CURRENT and len(data) >= 8:
            return cls._decode_descriptors(data)
        raise ProtocolError(
            f"sense data of {len(data)} bytes with response code {response_code:#04x}: "
            "current sense data has 0x70 (at least 14 bytes) or 0x72 (at least 8 bytes)"
        )

    @classmethod
    def _decode_fixed(cls, data: bytes) -> Self:
        fields = _FIXED.unpack(data[:FIXED_BYTES].ljust(FIXED_BYTES, b"\0"))
        key, asc = _named(fields[2] & 0x0F, fields[6], fields[7])
        information = fields[3] if data[0] & _VALID else None
        return cls(key, asc, information, _pointer(key, fields[9]))

    @classmethod
    def _decode_descriptors(cls, data: bytes) -> Self:
        key, asc = _named(data[1] & 0x0F, data[2], data[3])
        information: int | None = None
        field: FieldPointer | None = None
        rest = data[8 : 8 + data[7]]
        while len(rest) >= 2 and len(rest) >= 2 + rest[1]:
            body = rest[2 : 2 + rest[1]]
            if rest[0] == _INFORMATION_TYPE and len(body) >= 10 and body[0] & _VALID:
                information = int.from_bytes(body[2:10])
            elif rest[0] == _SENSE_KEY_SPECIFIC_TYPE and len(body) >= 5:
                field = _pointer(key, body[2:5])
            rest = rest[2 + rest[1] :]
        return cls(key, asc, information, field)

    @override
    def __str__(self) -> str:
        code, qualifier = self.asc.value
        return f"{self.key.name}, {self.asc.name} ({self.key:X}/{code:02X}/{qualifier:02X})"


def _named(key: int, code: int, qualifier: int) -> tuple[SenseKey, Asc]:
    try:
        return SenseKey(key), Asc((code, qualifier))
    except ValueError:
        raise ProtocolError(f"unknown sense {key:X}/{code:02X}/{qualifier:02X}") from None


def _pointer(key: SenseKey, data: bytes) -> FieldPointer | None:
    """Other sense keys use the 3 bytes for other things."""
    return FieldPointer.decode(data) if key is SenseKey.ILLEGAL_REQUEST else None


INVALID_FIELD_IN_CDB: Final = Sense(SenseKey.ILLEGAL_REQUEST, Asc.INVALID_FIELD_IN_CDB)
LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE: Final = Sense(
    SenseKey.ILLEGAL_REQUEST, Asc.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE
)
INVALID_COMMAND_OPERATION_CODE: Final = Sense(
    SenseKey.ILLEGAL_REQUEST, Asc.INVALID_COMMAND_OPERATION_CODE
)
SAVING_PARAMETERS_NOT_SUPPORTED: Final = Sense(
    SenseKey.ILLEGAL_REQUEST, Asc.SAVING_PARAMETERS_NOT_SUPPORTED
)


def invalid_cdb_field(offset_bytes: int, bit: int | None = None) -> Sense:
    """Return INVALID FIELD IN CDB, pointing at the field."""
    return Sense(
        SenseKey.ILLEGAL_REQUEST, Asc.INVALID_FIELD_IN_CDB, field=FieldPointer(offset_bytes, bit)
    )
