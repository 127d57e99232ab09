"""iSCSI opcodes. Spec: RFC 7143 §11.2.1.2."""

from __future__ import annotations

import enum
from typing import Final

OPCODE_MASK: Final = 0x3F
"""The bits of byte 0 that hold the opcode."""

IMMEDIATE_BIT: Final = 0x40
"""Byte 0, I bit: deliver at once, outside CmdSN order. Spec: RFC 7143 §11.2.1.1."""


class Opcode(enum.IntEnum):
    """Every opcode the standard defines, with its wire value.

    The vendor-specific ranges 0x1C-0x1E and 0x3C-0x3E are absent: we neither send nor accept them.

    Spec: RFC 7143 §11.2.1.2.
    """

    NOP_OUT = 0x00
    SCSI_COMMAND = 0x01
    TASK_MANAGEMENT_REQUEST = 0x02
    LOGIN_REQUEST = 0x03
    TEXT_REQUEST = 0x04
    DATA_OUT = 0x05
    LOGOUT_REQUEST = 0x06
    SNACK_REQUEST = 0x10
    NOP_IN = 0x20
    SCSI_RESPONSE = 0x21
    TASK_MANAGEMENT_RESPONSE = 0x22
    LOGIN_RESPONSE = 0x23
    TEXT_RESPONSE = 0x24
    DATA_IN = 0x25
    LOGOUT_RESPONSE = 0x26
    R2T = 0x31
    ASYNC_MESSAGE = 0x32
    REJECT = 0x3F

    @property
    def is_from_initiator(self) -> bool:
        """Whether the initiator sends it; the other half is sent by targets."""
        return self < 0x20
