"""A path that can be cut: a TCP relay between the guest and a portal."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_READ_BYTES: Final = 1 << 18


class Relay:
    """Listens on the loopback interface and passes on what comes; a context manager.

    Args:
        portal: ADDRESS:PORT that it leads to.
        port: its own, on 127.0.0.1.
    """

    def __init__(self, portal: str, port: int) -> None:
        address, _, number = portal.rpartition(":")
        self._there: Final = (address, int(number))
        self._port: Final = port
        self._lock: Final = threading.Lock()
        self._open: Final[set[socket.socket]] = set()
        self._listener: socket.socket | None = None
        self.portal: Final = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        """Let through what comes."""
        self.join()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cut it."""
        self.cut()

    def join(self) -> None:
        """Let through what comes, also after `cut`."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        if self._listener is not None:
            # A close alone would not wake who accepts.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._there)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open.update((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                sink.sendall(data)
        for connection in (source, sink):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()
