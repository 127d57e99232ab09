"""What is measured: the table of workloads."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One workload, the same for every server.

    ``depth`` is for each initiator; every initiator is a program of its own with its own name and
    one session. ``read_percent`` 100 only reads.
    """

    name: str
    request_bytes: int
    read_percent: int
    depth: int
    initiators: int = 1
    sequential: bool = False

    def load_options(self) -> list[str]:
        """Return the options that both load programs take for this workload."""
        return [
            "--sequential" if self.sequential else "--random",
            f"--size={self.request_bytes}",
            f"--read-share={self.read_percent}",
            f"--depth={self.depth}",
        ]


READ_4K_D1 = Scenario(name="4k-read-d1", request_bytes=4 * KIB, read_percent=100, depth=1)
READ_4K_D32 = Scenario(name="4k-read-d32", request_bytes=4 * KIB, read_percent=100, depth=32)
READ_4K_D32_X4 = Scenario(
    name="4k-read-d32-x4", request_bytes=4 * KIB, read_percent=100, depth=32, initiators=4
)
READ_1M = Scenario(name="1m-read-d8", request_bytes=MIB, read_percent=100, depth=8, sequential=True)

SCENARIOS = (
    READ_4K_D1,
    Scenario(name="4k-write-d1", request_bytes=4 * KIB, read_percent=0, depth=1),
    READ_4K_D32,
    Scenario(name="4k-write-d32", request_bytes=4 * KIB, read_percent=0, depth=32),
    Scenario(name="64k-mixed-d16", request_bytes=64 * KIB, read_percent=70, depth=16),
    READ_1M,
    Scenario(name="1m-write-d8", request_bytes=MIB, read_percent=0, depth=8, sequential=True),
    READ_4K_D32_X4,
    Scenario(name="4k-write-d32-x4", request_bytes=4 * KIB, read_percent=0, depth=32, initiators=4),
    Scenario(
        name="64k-mixed-d16-x4", request_bytes=64 * KIB, read_percent=70, depth=16, initiators=4
    ),
    Scenario(
        name="1m-read-d8-x4",
        request_bytes=MIB,
        read_percent=100,
        depth=8,
        initiators=4,
        sequential=True,
    ),
)

# Where two settings of one server are compared: one initiator, several, and large requests.
ENGINE_SCENARIOS = (READ_4K_D1, READ_4K_D32, READ_4K_D32_X4, READ_1M)

# Where no medium is behind the volume: what protocol and client allow at most.
NULL_SCENARIOS = (READ_4K_D1, READ_4K_D32, READ_4K_D32_X4)
