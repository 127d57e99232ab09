"""A whole run as one value: what is written to the result file and what reports are made from."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one line of an experiment gave in one round.

    Attributes:
        experiment: its name.
        case: what is varied within it.
        line: who is measured: ``fair``, ``fifo``, a simulated policy, another server.
        round_number: from 1 on; lines of virtual time have one round.
        figures: by name; what they mean is said by the experiment's columns.
        failure: why there are none.
    """

    experiment: str
    case: str
    line: str
    round_number: int
    figures: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(slots=True)
class Results:
    """Everything one run has found.

    Attributes:
        machine: what it was measured on.
        settings: rounds and seconds.
        absent: lines that could not be measured, and why.
        notes: what is to be said of an experiment as it was run here, by experiment.
        rows: every round.
    """

    machine: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def note(self, experiment: str, text: str) -> None:
        """Say something of an experiment, once."""
        notes = self.notes.setdefault(experiment, [])
        if text not in notes:
            notes.append(text)

    def save(self, path: Path) -> None:
        """Write the result file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a result file.

        Raises:
            ValueError: it is of another format.
        """
        plain = json.loads(path.read_text())
        if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
            raise ValueError(f"{path}: not a result file of format {FORMAT}; measure again")
        plain["rows"] = [Row(**row) for row in plain["rows"]]
        return cls(**plain)

    def values(self, experiment: str, case: str, line: str, figure: str) -> list[float]:
        """Return a figure of every round that has it."""
        return [
            row.figures[figure]
            for row in self._select(experiment, case, line)
            if figure in row.figures
        ]

    def median(self, experiment: str, case: str, line: str, figure: str) -> float | None:
        """Return the median over the rounds; None where no round has it."""
        values = self.values(experiment, case, line, figure)
        return statistics.median(values) if values else None

    def ratios(
        self, experiment: str, case: str, lines: tuple[str, str], figure: str
    ) -> list[float]:
        """Return one line's figure divided by the other's, for every round that has both.

        The two of a round were measured within seconds of each other, so a machine that is slow
        for a while slows both.
        """
        below = {
            row.round_number: row.figures[figure]
            for row in self._select(experiment, case, lines[1])
            if row.figures.get(figure)
        }
        return [
            row.figures[figure] / below[row.round_number]
            for row in self._select(experiment, case, lines[0])
            if figure in row.figures and row.round_number in below
        ]

    def _select(self, experiment: str, case: str, line: str) -> Iterable[Row]:
        return (
            row
            for row in self.rows
            if (row.experiment, row.case, row.line) == (experiment, case, line)
        )
