"""A target that says exactly what a test tells it to, for tests of the initiator."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from fairlead.proto.iscsi.pdu import (
    DataIn,
    InitiatorPdu,
    LoginRequest,
    LoginResponse,
    NopIn,
    Pdu,
    PduReader,
    R2t,
    TargetPdu,
    frame,
)
from fairlead.testing.initiator import Initiator
from fairlead.testing.login import LoginOffer
from fairlead.testing.negotiated import decode_keys, encode_keys

INITIATOR = "iqn.2004-10.com.example:host-1"
TARGET = "iqn.2025-01.com.example.storage:disk"

_Kind = TypeVar("_Kind", bound=Pdu)


def offer(**changes: Any) -> LoginOffer:
    """A normal session's offer."""
    values: dict[str, Any] = {"initiator_name": INITIATOR, "target_name": TARGET}
    return LoginOffer(**values | changes)


class ScriptedTarget:
    """The other end of one initiator, without a network.

    Every PDU it says has the next numbers unless the test gives others; numbers that a test gives
    are not checked by anybody here.

    Attributes:
        initiator: the initiator under test.
        stat_sn: the next StatSN.
        exp_cmd_sn: the ExpCmdSN it says.
        window: MaxCmdSN - ExpCmdSN + 1.
    """

    def __init__(self, initiator: Initiator, *, exp_cmd_sn: int = 1, window: int = 32) -> None:
        self.initiator = initiator
        self.stat_sn = 100
        self.exp_cmd_sn = exp_cmd_sn
        self.window = window
        self._reader = PduReader(1 << 24)

    def heard(self) -> list[InitiatorPdu]:
        """Take everything that the initiator has sent; count the commands among it."""
        self._reader.header_digest = self.initiator.parameters.header_digest
        self._reader.data_digest = self.initiator.parameters.data_digest
        self._reader.receive_data(self.initiator.data_to_send())
        pdus: list[InitiatorPdu] = []
        while (pdu := self._reader.next_pdu()) is not None:
            assert isinstance(pdu, InitiatorPdu)
            if not getattr(pdu, "immediate", True) and getattr(pdu, "cmd_sn", -1) == (
                self.exp_cmd_sn
            ):
                self.exp_cmd_sn = (self.exp_cmd_sn + 1) % (1 << 32)
            pdus.append(pdu)
        assert self._reader.trailing_data() == b""
        return pdus

    def hears(self, kind: type[_Kind]) -> _Kind:
        """Take the one PDU that the initiator has sent, which is of that type."""
        (pdu,) = self.heard()
        assert isinstance(pdu, kind)
        return pdu

    def says(self, kind: type[TargetPdu], **values: Any) -> None:
        """Send one PDU."""
        self.initiator.receive_data(self.encode(kind, **values))

    def encode(self, kind: type[TargetPdu], **values: Any) -> bytes:
        """Encode one PDU with the next numbers."""
        numbers = {
            "stat_sn": self.stat_sn,
            "exp_cmd_sn": self.exp_cmd_sn,
            "max_cmd_sn": (self.exp_cmd_sn + self.window - 1) % (1 << 32),
        }
        known = {field.name for field in fields(kind)}
        pdu = kind(**{name: numbers[name] for name in numbers if name in known} | values)
        self.stat_sn += _uses_status(pdu)
        parameters = self.initiator.parameters
        return frame(pdu, parameters.header_digest, parameters.data_digest)

    def answers_login(self, keys: dict[str, str] | None = None, **values: Any) -> None:
        """Answer the Login Request that is due; agree to its stages unless told otherwise."""
        request = self.hears(LoginRequest)
        agreed: dict[str, Any] = {
            "transit": request.transit,
            "csg": request.csg,
            "nsg": request.nsg,
            "isid": request.isid,
            "tsih": 0x77 if request.nsg == 3 else 0,
            "initiator_task_tag": request.initiator_task_tag,
            "data": encode_keys(keys or {}),
        }
        self.says(LoginResponse, **agreed | values)

    def logs_in(self, **operational: str) -> None:
        """Lead the whole login; the offers are accepted, unless ``operational`` says otherwise."""
        self.answers_login({"AuthMethod": "None", "TargetPortalGroupTag": "1"})
        request = self.hears(LoginRequest)
        keys = decode_keys(request.data)
        self.answers_login_to(request, keys | operational)

    def answers_login_to(self, request: LoginRequest, keys: dict[str, str]) -> None:
        """End the login with these operational keys."""
        self.says(
            LoginResponse,
            transit=True,
            csg=1,
            nsg=3,
            isid=request.isid,
            tsih=0x77,
            initiator_task_tag=request.initiator_task_tag,
            data=encode_keys(keys),
        )


def _uses_status(pdu: Pdu) -> bool:
    if isinstance(pdu, R2t):
        return False
    if isinstance(pdu, DataIn):
        return pdu.has_status
    return not (isinstance(pdu, NopIn) and pdu.initiator_task_tag == 0xFFFF_FFFF)


def logged_in(
    *, window: int = 32, target_keys: dict[str, str] | None = None, **offered: Any
) -> tuple[Initiator, ScriptedTarget]:
    """Return an initiator in full-feature phase and its target.

    Args:
        window: command window of the target.
        target_keys: the target's answers where they differ from the offer.
        offered: operational keys that the initiator offers.
    """
    initiator = Initiator(offer(keys=offered))
    target = ScriptedTarget(initiator, window=window)
    target.logs_in(**target_keys or {})
    return initiator, target
