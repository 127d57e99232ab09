"""Opcodes and their two directions."""

from __future__ import annotations

from typing import get_args

from fairlead.proto.iscsi.opcode import Opcode
from fairlead.proto.iscsi.pdu import InitiatorPdu, TargetPdu


def test_direction_agrees_with_the_pdu_types() -> None:
    """Spec: RFC 7143 §11.2.1.2."""
    assert {pdu.OPCODE for pdu in get_args(InitiatorPdu)} == {
        opcode for opcode in Opcode if opcode.is_from_initiator
    }
    assert {pdu.OPCODE for pdu in get_args(TargetPdu)} == {
        opcode for opcode in Opcode if not opcode.is_from_initiator
    }
