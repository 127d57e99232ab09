"""What the synchronous and the asyncio client share: addresses, offers, and sorting of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from fairlead.testing.login import LoginOffer
from fairlead.testing.outcome import Completed, Notice, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.proto.iscsi.pdu import TargetPdu
    from fairlead.testing.chap import Chap
    from fairlead.testing.initiator import Initiator
    from fairlead.testing.outcome import Outcome

RECEIVE_BYTES: Final = 256 * 1024
"""One read of the socket."""

TIMEOUT_S: Final = 30.0
"""How long a test waits for an answer before it fails."""

DEFAULT_PORT: Final = 3260

Portal = str | tuple[str, int]
"""``"host:port"``, ``"[address]:port"``, or both apart."""

KeyValue = str | int | None
"""Value of a text key; None takes the key out of the offer."""


class LoginOptions(TypedDict, total=False):
    """How to log in, apart from names and text keys: fields of ``LoginOffer``."""

    chap: Chap | None
    isid: bytes
    tsih: int
    cid: int
    cmd_sn: int
    begins_operational: bool
    segment_bytes_max: int


def parse_portal(portal: Portal) -> tuple[str, int]:
    """Return host and port; without a port it is 3260."""
    if not isinstance(portal, str):
        return portal
    host, separator, port = portal.rpartition(":")
    if not separator or port.endswith("]"):
        host, port = portal, str(DEFAULT_PORT)
    return host.strip("[]"), int(port)


def make_offer(
    target: str | None,
    initiator_name: str,
    options: LoginOptions | None,
    keys: Mapping[str, KeyValue],
) -> LoginOffer:
    """Make the login's offer from the arguments of ``connect``."""
    text = {name: None if value is None else str(value) for name, value in keys.items()}
    return LoginOffer(
        initiator_name=initiator_name, target_name=target, keys=text, **(options or {})
    )


def expect_result(outcome: Outcome) -> Result:
    """Return the result of a SCSI command, or raise how it ended instead.

    Raises:
        TaskRejected, TaskAborted, ConnectionClosed: it has no result.
    """
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Result)
    return outcome


class Mailbox:
    """Sorts an initiator's events: outcomes by task tag, notices in their order.

    Attributes:
        outcomes: ends of requests that nobody has asked for yet.
        notices: PDUs that answer none of our requests.
    """

    def __init__(self, initiator: Initiator) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.notices: list[TargetPdu] = []
        self._initiator = initiator

    def collect(self) -> list[int]:
        """Take all events; return the tags of the requests that have ended."""
        ended: list[int] = []
        while (event := self._initiator.next_event()) is not None:
            match event:
                case Completed(task_tag, outcome):
                    self.outcomes[task_tag] = outcome
                    ended.append(task_tag)
                case Notice(pdu):
                    self.notices.append(pdu)
        return ended
