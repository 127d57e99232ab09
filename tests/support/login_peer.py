"""An initiator's side of a login, for tests of the target's: it says exactly what it is told to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairlead.proto.iscsi.chap import ChapAccount, ChapPolicy
from fairlead.proto.iscsi.login import LoginCore
from fairlead.proto.iscsi.login_policy import LoginPolicy, Portal, TargetPolicy
from fairlead.proto.iscsi.pdu import LoginRequest, LoginResponse, PduReader, frame
from fairlead.proto.iscsi.session import Refused
from fairlead.proto.iscsi.text import Pair, encode_pairs, parse_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

INITIATOR = "iqn.2004-10.com.example:host-1"
TARGET = "iqn.2025-01.com.example.storage:disk"
SECURED = "iqn.2025-01.com.example.storage:secured"
ISID = bytes.fromhex("00023d000001")
USER, SECRET = "alice", b"correct horse battery"
TARGET_USER, TARGET_SECRET = "storage", b"another long secret"
PORTAL = Portal(address="192.0.2.10")

NAMES = {"InitiatorName": INITIATOR, "TargetName": TARGET, "SessionType": "Normal"}
DISCOVERY = {"InitiatorName": INITIATOR, "SessionType": "Discovery"}

CHAP = ChapPolicy(
    accounts={USER: SECRET, "bob": b"secret of somebody else"},
    mutual=ChapAccount(user=TARGET_USER, secret=TARGET_SECRET),
)


def policy(**changes: Any) -> LoginPolicy:
    """Two targets on one portal: TARGET is open, SECURED asks for CHAP."""
    values: dict[str, Any] = {
        "targets": {TARGET: TargetPolicy(), SECURED: TargetPolicy(chap=CHAP)},
        "portal": PORTAL,
    }
    return LoginPolicy(**values | changes)


class Challenges:
    """Predictable stand-in for a source of random bytes: different at each call."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, length: int) -> bytes:
        self._calls += 1
        block = hashlib.sha256(self._calls.to_bytes(4)).digest()
        return (block * (length // len(block) + 1))[:length]


def login_core(login_policy: LoginPolicy | None = None) -> LoginCore:
    return LoginCore(login_policy or policy(), challenge=Challenges())


def request(keys: Mapping[str, str] | bytes = b"", **fields: Any) -> LoginRequest:
    """A Login Request: operational stage, asking for the full-feature phase, unless told else."""
    if isinstance(keys, bytes):
        data = keys
    else:
        data = encode_pairs(Pair(key, value) for key, value in keys.items())
    values: dict[str, Any] = {
        "transit": True,
        "csg": 1,
        "nsg": 3,
        "isid": ISID,
        "initiator_task_tag": 0x1234,
        "cid": 7,
        "cmd_sn": 100,
        "data": data,
    }
    return LoginRequest(**values | fields)


def security(keys: Mapping[str, str] | bytes = b"", **fields: Any) -> LoginRequest:
    """A Login Request of the security stage that asks for the operational one."""
    return request(keys, **{"csg": 0, "nsg": 1} | fields)


@dataclass
class LoginPeer:
    """Sends Login Requests to a core, returns the responses."""

    core: LoginCore

    def send(self, login_request: LoginRequest) -> LoginResponse:
        responses = self.send_bytes(frame(login_request))
        assert len(responses) == 1, f"{len(responses)} responses to one request"
        return responses[0]

    def send_bytes(self, data: bytes) -> list[LoginResponse]:
        self.core.receive_data(data)
        return self.responses()

    def responses(self) -> list[LoginResponse]:
        reader = PduReader(8192)
        reader.receive_data(self.core.data_to_send())
        found = []
        while (pdu := reader.next_pdu()) is not None:
            assert isinstance(pdu, LoginResponse)
            found.append(pdu)
        assert reader.trailing_data() == b""
        return found

    def ask(self, login_request: LoginRequest) -> None:
        """Send the request after which the core asks its caller."""
        assert self.send_bytes(frame(login_request)) == []
        assert self.core.pending is not None

    def accept(self, *, tsih: int = 0x55, command_window: int = 1) -> LoginResponse:
        self.core.accept(tsih=tsih, command_window=command_window)
        (response,) = self.responses()
        return response


def peer(login_policy: LoginPolicy | None = None) -> LoginPeer:
    return LoginPeer(login_core(login_policy))


def keys_of(response: LoginResponse) -> dict[str, str]:
    pairs = parse_pairs(response.data)
    keys = dict(pairs)
    assert len(keys) == len(pairs), "a key twice in one response"
    return keys


def refusal(core: LoginCore) -> Refused:
    assert isinstance(core.outcome, Refused)
    return core.outcome
