"""The host's end of the channel to the agent in the guest: JSON lines over a Unix socket."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

_READ_BYTES: Final = 1 << 20


class GuestGoneError(Exception):
    """The guest is off, or its agent does not answer any more."""


class Conversation:
    """What the guest has said about one order; filled by the link's thread.

    Attributes:
        output: what the command has written so far.
        status: how it ended, None while it goes on.
        answer: the fields of the message that ended it.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed: Final = changed
        self.output = ""
        self.status: int | None = None
        self.answer: dict[str, Any] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Add one message; called with the condition held."""
        self.output += message.get("output", "")
        if "status" in message:
            self.status, self.answer = message["status"], message
        elif "error" in message:
            self.status, self.answer = 127, message


class Link:
    """Sends orders and collects what comes back.

    Attributes:
        changed: held while conversations are read or changed, and notified after each change.
        is_up: the agent has said that it is there.
        is_gone: nothing will come any more.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection: Final = connection
        self._conversations: Final[dict[int, Conversation]] = {}
        self._last_id = 0
        self.changed: Final = threading.Condition()
        self.is_up = False
        self.is_gone = False
        self._thread: Final = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def order(self, do: str, **fields: object) -> tuple[int, Conversation]:
        """Send an order and return its number and what will be said about it.

        Raises:
            GuestGoneError: the guest is off.
        """
        with self.changed:
            if self.is_gone:
                raise GuestGoneError(f"{do}: the guest is off")
            self._last_id += 1
            number = self._last_id
            conversation = self._conversations[number] = Conversation(self.changed)
            line = json.dumps({"id": number, "do": do, **fields}).encode() + b"\n"
            try:
                self._connection.sendall(line)
            except OSError as error:
                raise GuestGoneError(f"{do}: {error}") from error
        return number, conversation

    def close(self) -> None:
        """Wait for the last words of a guest that is off."""
        self._thread.join()
        self._connection.close()

    def _read(self) -> None:
        unread = b""
        while True:
            try:
                data = self._connection.recv(_READ_BYTES)
            except OSError:
                data = b""
            with self.changed:
                if not data:
                    self.is_gone = True
                    self.changed.notify_all()
                    return
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
                self.changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            self.is_up = True
        elif conversation := self._conversations.get(message["id"]):
            conversation.take(message)
            if conversation.status is not None:
                del self._conversations[message["id"]]
