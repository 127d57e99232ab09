"""Ports that stay a test's own over restarts."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

# Below those that the kernel gives to whoever asks for any: a target that is started again has to
# get its own back.
_PORTS: Final = range(20_000, 30_000)


def lasting_port() -> int:
    """Return a port of the loopback interface that nobody has, and nobody gets by chance."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("a hundred ports were all taken")
