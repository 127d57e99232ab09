"""A whole run as one value: what is written to the result file and what reports are made from."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bench.harness.measure import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FORMAT = 1


@dataclass(slots=True)
class Results:
    """Everything one run has found.

    ``comparison``, ``engine`` and ``null`` hold measurements of every round; ``syscalls`` is by
    scenario and server (a text says why there is none); ``iscsi_perf`` pairs iscsi-perf's IOPS with
    ours; ``logins``, ``idle`` and ``profiles`` are rows as their modules make them.
    """

    machine: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    comparison: list[Measurement] = field(default_factory=list)
    engine: list[Measurement] = field(default_factory=list)
    null: list[Measurement] = field(default_factory=list)
    syscalls: dict[str, dict[str, float | str]] = field(default_factory=dict)
    iscsi_perf: list[dict[str, Any]] = field(default_factory=list)
    logins: list[dict[str, Any]] = field(default_factory=list)
    idle: list[dict[str, Any]] = field(default_factory=list)
    profiles: dict[str, list[dict[str, Any]] | str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the result file."""
        plain = {
            "format": FORMAT,
            **{
                name: getattr(self, name)
                for name in self.__slots__
                if name not in ("comparison", "engine", "null")
            },
            **{
                name: [row.to_json() for row in getattr(self, name)]
                for name in ("comparison", "engine", "null")
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plain, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a result file.

        Raises:
            ValueError: it is of another format.
        """
        plain = json.loads(path.read_text())
        if plain.pop("format", None) != FORMAT:
            raise ValueError(f"{path}: not a result file of format {FORMAT}; run the bench again")
        for name in ("comparison", "engine", "null"):
            plain[name] = [Measurement.from_json(row) for row in plain[name]]
        return cls(**plain)


def select(rows: Iterable[Measurement], server: str, scenario: str) -> list[Measurement]:
    """Return the successful rounds of one server with one scenario, in the order of the rounds."""
    return sorted(
        (
            row
            for row in rows
            if row.server == server and row.scenario == scenario and row.failure is None
        ),
        key=lambda row: row.round_number,
    )


def median(
    rows: Iterable[Measurement], server: str, scenario: str, value: Callable[[Measurement], float]
) -> float | None:
    """Return the median over the rounds; None where no round succeeded."""
    values = [value(row) for row in select(rows, server, scenario)]
    return statistics.median(values) if values else None


def spread(
    rows: Iterable[Measurement], server: str, scenario: str, value: Callable[[Measurement], float]
) -> tuple[float, float] | None:
    """Return the smallest and the largest round; None where no round succeeded."""
    values = [value(row) for row in select(rows, server, scenario)]
    return (min(values), max(values)) if values else None


def ratio(
    rows: Iterable[Measurement],
    servers: tuple[str, str],
    scenario: str,
    value: Callable[[Measurement], float],
) -> float | None:
    """Return the median over the rounds of the first server's value divided by the second's.

    The two values of a round were measured within seconds of each other, so a machine that is slow
    for a while slows both; rounds in which one of the two failed are left out.
    """
    rows = list(rows)
    below = {row.round_number: value(row) for row in select(rows, servers[1], scenario)}
    quotients = [
        value(row) / below[row.round_number]
        for row in select(rows, servers[0], scenario)
        if below.get(row.round_number)
    ]
    return statistics.median(quotients) if quotients else None
