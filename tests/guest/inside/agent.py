"""Runs in the guest and does what the host tells it, over a virtio port.

Both sides write JSON objects, one a line. The host's have a number "id" and a word "do":

- ``start``: run "command" by the shell; its output comes as ``{"id", "output"}`` as it is written,
  its end as ``{"id", "status"}``, negative for a signal.
- ``kill``: send "signal" to the process group of the command "of".
- ``put``: append "data" (base64) to the file "path", first emptied where "first"; "mode" is its
  mode. ``get``: answer with "data", the file's content.

What goes wrong is answered with "error". Bytes of output that are no UTF-8 are replaced.
"""

from __future__ import annotations

import base64
import codecs
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 1 << 16


class Agent:
    """Serves one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def serve(self) -> None:
        """Do what comes until the machine ends."""
        self.send(hello=os.getpid())
        unread = b""
        while True:
            unread += os.read(self._port, READ_BYTES)
            *lines, unread = unread.split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def send(self, **message: object) -> None:
        """Write one message whole."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            while data:
                data = data[os.write(self._port, data) :]

    def _take(self, order: dict[str, Any]) -> None:
        number = order.pop("id")
        try:
            answer = self._do(number, **order)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        if answer is not None:
            self.send(id=number, **answer)

    def _do(self, number: int, do: str, **fields: Any) -> dict[str, object] | None:
        if do == "start":
            self._start(number, **fields)
            return None
        orders: dict[str, Callable[..., dict[str, object]]] = {
            "kill": self._kill,
            "put": self._put,
            "get": self._get,
        }
        return orders[do](**fields)

    def _start(self, number: int, command: str) -> None:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running[number] = process
        threading.Thread(target=self._follow, args=(number, process), daemon=True).start()

    def _follow(self, number: int, process: subprocess.Popen[bytes]) -> None:
        """Pass on what a command writes; it ends when nobody can write any more, and it is dead."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        while data := os.read(descriptor, READ_BYTES):
            if text := decoder.decode(data):
                self.send(id=number, output=text)
        status = process.wait()
        process.stdout.close()
        del self._running[number]
        self.send(id=number, status=status)

    def _kill(self, of: int, signal: int) -> dict[str, object]:
        process = self._running.get(of)
        if process is not None:
            os.killpg(process.pid, signal)
        return {"status": 0}

    def _put(self, path: str, data: str, first: bool, mode: int) -> dict[str, object]:
        with open(path, "wb" if first else "ab") as file:
            file.write(base64.b64decode(data))
        os.chmod(path, mode)
        return {"status": 0}

    def _get(self, path: str) -> dict[str, object]:
        with open(path, "rb") as file:
            return {"data": base64.b64encode(file.read()).decode(), "status": 0}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Agent(os.open(sys.argv[1], os.O_RDWR)).serve()
