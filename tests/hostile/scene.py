"""What the tests of bad input share: being a hostile peer, and what the target says of it."""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fairlead.proto.iscsi.lun import encode_lun
from fairlead.proto.iscsi.pdu_notice import Reject
from fairlead.proto.iscsi.pdu_scsi import ScsiCommand
from fairlead.testing.client import connect
from fairlead.testing.connection import parse_portal
from fairlead.testing.initiator import State
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from fairlead.proto.iscsi.pdu import TargetPdu
    from fairlead.proto.iscsi.reject import RejectReason
    from fairlead.testing.client import Client
    from tests.support.target_process import TargetProcess

VICTIM: Final = "victim"
CALM: Final = "calm"
VOLUME_BYTES: Final = 64 << 20
BLOCK_BYTES: Final = 512
MEMORY_LIMIT_BYTES: Final = 64 << 20
NOP_S: Final = 1.0
LOGIN_TIMEOUT_S: Final = 3.0
DISCOVERY_TIMEOUT_S: Final = 3.0
PENDING_LOGINS_MAX: Final = 2048
# The target notices a silent peer after the interval and the timeout of its own pings.
SILENCE_S: Final = 2 * NOP_S
_MARGIN_S: Final = 5.0
_ANSWER_S: Final = 10.0
# One line of the complaint itself, and one that the session has ended for it.
_LINES_MAX: Final = 2


@dataclass(slots=True)
class Scene:
    """The target under attack, and the connections of the attackers."""

    target: TargetProcess
    clients: list[Client] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    lines_before: int = field(init=False)
    """Lines in the log when the scene began. The kernel gives an earlier attacker's port again."""

    def __post_init__(self) -> None:
        """Look where the log stands."""
        self.lines_before = len(self.target.log_lines())

    def attacker(self, name: str = "one", **keys: Any) -> Client:
        """Log in to the victim's volume, with no unit attention pending."""
        initiator = f"iqn.2026-01.example.hostile:{name}"
        target_name = self.target.target_name(VICTIM)
        client = connect(self.target.portal, target_name, initiator, timeout_s=_ANSWER_S, **keys)
        self.clients.append(client)
        client.block_bytes = BLOCK_BYTES
        client.test_unit_ready()
        return client

    def raw_connection(self) -> socket.socket:
        """Connect without logging in."""
        sock = socket.create_connection(parse_portal(self.target.portal), _ANSWER_S)
        self.sockets.append(sock)
        return sock

    def close(self) -> None:
        """Close every attacker's connection."""
        for client in self.clients:
            client.close()
        for sock in self.sockets:
            sock.close()

    def wait_until_nothing_is_left(self) -> None:
        """Wait until no session and no context is there."""
        wait_until(lambda: not self.target.sessions(), "every session is over", limit_s=15.0)
        wait_until(lambda: not self.target.contexts(), "every context is released", limit_s=15.0)

    def expect_one_complaint(self, peer: str, *, limit_s: float = _ANSWER_S) -> str:
        """Return the log line that tells this peer's fault; there is one, not a flood."""
        wait_until(lambda: bool(self.complaints(peer)), f"a log line about {peer}", limit_s=limit_s)
        lines = self.complaints(peer)
        assert len(lines) <= _LINES_MAX, f"{len(lines)} lines about one fault:\n" + "\n".join(lines)
        return lines[0]

    def complaints(self, peer: str) -> list[str]:
        """Return the log lines that name a peer and a reason."""
        return self.target.log_lines(f"peer={peer} ", "reason=", after=self.lines_before)


def peer_of(client: Client | socket.socket) -> str:
    """Return ADDRESS:PORT of our end, as the target's log names it. Before closing."""
    sock = client if isinstance(client, socket.socket) else client._sock
    address, port = sock.getsockname()[:2]
    return f"{address}:{port}"


def expect_refusal(client: Client, *reasons: RejectReason) -> TargetPdu | None:
    """Wait for a Reject with one of the reasons, or for the end of the connection (None)."""

    def is_over() -> bool:
        rejected = any(isinstance(pdu, Reject) for pdu in client.notices)
        return rejected or client.initiator.state is State.CLOSED

    client.pump(is_over)
    rejects = [pdu for pdu in client.notices if isinstance(pdu, Reject)]
    if not rejects:
        return None
    assert rejects[0].reason in reasons, f"rejected with reason {rejects[0].reason:#04x}"
    client.notices.remove(rejects[0])
    return rejects[0]


def expect_closed_by_target(sock: socket.socket, *, limit_s: float) -> bytes:
    """Read until the target closes the connection; return what came.

    Raises:
        AssertionError: it is still open after the limit.
    """
    deadline = time.monotonic() + limit_s
    received = b""
    sock.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while True:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"still open after {limit_s:g} s"
            if not selector.select(left_s):
                continue
            try:
                data = sock.recv(1 << 16)
            except ConnectionResetError:
                return received
            if not data:
                return received
            received += data


def command(client: Client, cdb: bytes, **fields: object) -> ScsiCommand:
    """Build a SCSI Command with the next numbers and its own tag; any field may be replaced."""
    sequence = client.initiator.sequence
    values: dict[str, object] = {
        "initiator_task_tag": 0x7000_0001,
        "lun_field": encode_lun(0),
        "cmd_sn": sequence.next_cmd_sn,
        "exp_stat_sn": sequence.acknowledged_stat_sn,
        "cdb": cdb,
    }
    return ScsiCommand(**(values | fields))  # type: ignore[arg-type]


def is_alive(client: Client) -> bool:
    """Tell whether the session still answers a ping."""
    return client.initiator.state is State.FULL_FEATURE and client.ping(b"alive").data == b"alive"


SILENCE_LIMIT_S: Final = SILENCE_S + _MARGIN_S
LOGIN_LIMIT_S: Final = LOGIN_TIMEOUT_S + _MARGIN_S
