"""The process under test: a `fairlead.Target` that a test asks through its standard input.

``python -m tests.support.target_child`` reads one JSON line, the configuration; starts; writes one
line with where it listens; then answers each line ``{"command": ...}`` with one line. SIGTERM or
the end of its input stops it as the command line does. The log goes to standard error.

A process of its own, so that it can be killed, and measured apart from the test.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import signal
import sys
from collections import deque
from typing import Any, Final

from fairlead.control.target import Target
from fairlead.model.config import Config

_EVENTS_KEPT: Final = 4096
_LINE_BYTES_MAX: Final = 1 << 20


class Child:
    """Answers a test's questions about a running target."""

    def __init__(self, target: Target) -> None:
        self._target: Final = target
        self._events: Final[deque[dict[str, Any]]] = deque(maxlen=_EVENTS_KEPT)

    async def listen(self) -> None:
        """Keep what happens, for `answer` to tell."""
        async for event in self._target.events():
            self._events.append({"event": type(event).__name__, **_plain(event)})

    async def answer(self, command: str, arguments: dict[str, Any]) -> Any:
        """Answer one question; the names are those of `Target`."""
        target = self._target
        match command:
            case "contexts" | "sessions" | "volumes":
                return [_plain(item) for item in getattr(target, command)()]
            case "report":
                return target.report()
            case "events":
                taken = list(self._events)
                self._events.clear()
                return taken
            case "end_session":
                return await target.end_session(**arguments)
            case "clear_fault":
                target.clear_fault(**arguments)
                return None
        raise ValueError(f"unknown command {command}")


async def main() -> None:
    """Serve until told to stop."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    config = Config.model_validate_json(await reader.readline())
    async with Target(config) as target:
        child = Child(target)
        luns = [{"target": lun.target, "lun": lun.lun, "volume": lun.volume} for lun in target.luns]
        _write({"portals": [str(portal) for portal in target.portals], "luns": luns})
        jobs = [
            asyncio.create_task(child.listen()),
            asyncio.create_task(_converse(reader, child, stopped)),
        ]
        await stopped.wait()
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def _converse(reader: asyncio.StreamReader, child: Child, stopped: asyncio.Event) -> None:
    while line := await reader.readline():
        arguments = json.loads(line)
        try:
            answer = {"result": await child.answer(arguments.pop("command"), arguments)}
        except Exception as error:
            answer = {"error": repr(error)}
        _write(answer)
    stopped.set()


def _plain(item: Any) -> dict[str, Any]:
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in dataclasses.asdict(item).items()
    }


def _write(document: Any) -> None:
    print(json.dumps(document, default=str), flush=True)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(main())
