"""A Python initiator for tests: ours, and those of whoever extends fairlead.

``connect`` (and ``connect_async``) logs in over a socket and has a method for each SCSI command;
``Initiator`` is the core without I/O beneath them. Both check every rule of the protocol that an
initiator can check, and both can be told to misbehave.
"""

from fairlead.testing.async_client import AsyncClient, connect_async
from fairlead.testing.chap import Chap, MutualChap, respond_with
from fairlead.testing.client import Client, connect
from fairlead.testing.connection import LoginOptions
from fairlead.testing.initiator import Initiator, State
from fairlead.testing.login import LoginOffer
from fairlead.testing.outcome import (
    Completed,
    ConnectionClosed,
    LoginRefused,
    Notice,
    Result,
    TargetViolation,
    TaskAborted,
    TaskRejected,
    TextResult,
)
from fairlead.testing.task import TaskRequest

__all__ = [
    "AsyncClient",
    "Chap",
    "Client",
    "Completed",
    "ConnectionClosed",
    "Initiator",
    "LoginOffer",
    "LoginOptions",
    "LoginRefused",
    "MutualChap",
    "Notice",
    "Result",
    "State",
    "TargetViolation",
    "TaskAborted",
    "TaskRejected",
    "TaskRequest",
    "TextResult",
    "connect",
    "connect_async",
    "respond_with",
]
