"""What a test initiator knows of its session; the sending and the receiving half share it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairlead.proto.iscsi.pdu import DataOut, InitiatorPdu, frame
from fairlead.testing.negotiated import Parameters
from fairlead.testing.outcome import Completed, Event, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.testing.sequence import Sequence
    from fairlead.testing.task import Task


@dataclass(slots=True)
class Exchange:
    """A request of ours that is no SCSI command: NOP-Out, Text, task management, Logout.

    Attributes:
        sent: the PDU, once it has gone out.
        covered: tags of the tasks outstanding when it went out; what a task management function
            may end.
        text: the target's text so far.
    """

    sent: InitiatorPdu | None = None
    covered: frozenset[int] = frozenset()
    text: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Burst:
    """Data-Out PDUs that are due; built when they leave, with the ExpStatSN of that moment."""

    task_tag: int
    build: Callable[[], list[DataOut]]


@dataclass(slots=True)
class Session:
    """Outstanding requests, numbering, and the two queues towards the driver.

    Attributes:
        sequence: CmdSN, StatSN and the command window.
        parameters: what the login has negotiated.
        tasks: SCSI tasks by Initiator Task Tag.
        exchanges: other requests by Initiator Task Tag.
        raw_tags: tags of PDUs that a test sent unaccounted; their answers become notices.
        due_bursts: Data-Out that may leave.
        events: what has happened.
        outbox: bytes to send.
    """

    sequence: Sequence
    parameters: Parameters = field(default_factory=Parameters)
    tasks: dict[int, Task] = field(default_factory=dict)
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    raw_tags: set[int] = field(default_factory=set)
    due_bursts: deque[Burst] = field(default_factory=deque)
    events: deque[Event] = field(default_factory=deque)
    outbox: bytearray = field(default_factory=bytearray)

    def frame(self, pdu: InitiatorPdu) -> bytes:
        """Encode with the digests negotiated."""
        return frame(pdu, self.parameters.header_digest, self.parameters.data_digest)

    def emit(self, pdu: InitiatorPdu) -> None:
        """Put a PDU into the outbox."""
        self.outbox += self.frame(pdu)

    def complete(self, task_tag: int, outcome: Outcome) -> None:
        """End one of our requests."""
        self.tasks.pop(task_tag, None)
        self.exchanges.pop(task_tag, None)
        self.events.append(Completed(task_tag, outcome))

    def complete_all(self, outcome: Outcome) -> None:
        """End every request that is outstanding."""
        for task_tag in [*self.tasks, *self.exchanges]:
            self.complete(task_tag, outcome)
