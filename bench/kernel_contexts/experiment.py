"""What is asked of the lines: experiments as tables of cells, and how one is measured."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.fairness import sample
from bench.fairness.experiment import Question, cases_in_turn
from bench.harness.rotation import say
from bench.kernel_contexts.counting import ThreadCounter, submitters_of
from bench.kernel_contexts.lines import OFF_FIFO, Line, LineServer, why_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench.fairness.rows import Results
    from bench.fairness.sample import Sample
    from bench.harness.server import IscsiServer
    from bench.kernel_contexts.block_disk import BlockDisk
    from bench.kernel_contexts.progress import Progress
    from fairlead.sim.client import ClientConfig

_LOGIN_S: Final = 0.25
_START_S: Final = 0.8
_CALLS_S: Final = 0.5


class On(Enum):
    """Which disk an experiment is on."""

    SEEKING = "a disk with a head"
    MEMORY = "a fast device in memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What clients do at the same time, below one elevator.

    Attributes:
        case: its name in the table.
        elevator: of the kernel, above the disk.
        clients: who; a client that is called as a volume works there.
        seconds: how long.
        options: of every load program.
        counts_calls: count what the target's submitter does, in a run of its own.
    """

    case: str
    elevator: str
    clients: tuple[ClientConfig, ...]
    seconds: float
    options: tuple[str, ...] = ()
    counts_calls: bool = False

    @property
    def turn_s(self) -> float:
        """About how long it takes, with logins."""
        calls_s = _CALLS_S + 1.0 if self.counts_calls else 0.0
        return self.seconds + calls_s + _LOGIN_S + 0.01 * len(self.clients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A figure by that of another line, in the same case and round.

    Attributes:
        figure: which.
        name: of what comes of it.
        is_difference: take away instead of dividing.
        line: the other's label.
    """

    figure: str
    name: str
    is_difference: bool = False
    line: str = OFF_FIFO.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Question):
    """An experiment.

    Attributes:
        on: which disk.
        lines: who is measured.
        cells: what with.
        rounds: how often.
        comparisons: figures that are made of others.
    """

    on: On
    lines: tuple[Line, ...]
    cells: tuple[Cell, ...]
    rounds: int
    comparisons: tuple[Comparison, ...] = ()

    @property
    def round_s(self) -> float:
        """About how long a line takes in a round."""
        return _START_S + sum(cell.turn_s for cell in self.cells)

    @property
    def clients(self) -> tuple[ClientConfig, ...]:
        """Everybody who works in any cell, once: the target's document has a rule for each."""
        by_name = {client.name: client for cell in self.cells for client in cell.clients}
        return tuple(by_name.values())

    def scaled(self, *, rounds: int | None, seconds: float | None) -> Measured:
        """Return it with other lengths, where these are given."""
        cells = self.cells
        if seconds is not None:
            cells = tuple(replace(cell, seconds=seconds) for cell in cells)
        return replace(self, rounds=rounds or self.rounds, cells=cells)


def jain(amounts: Sequence[float]) -> float | None:
    """Return Jain's index: 1 where all have the same, 1/n where one has all."""
    squares = sum(amount * amount for amount in amounts)
    return sum(amounts) ** 2 / (len(amounts) * squares) if squares else None


def due_error(amounts: Sequence[float], weights: Sequence[int]) -> float | None:
    """Return by which part the first amount, divided by the second, misses what is due.

    0.15: fifteen in a hundred more or less than the weights say. None: one has nothing.
    """
    if len(amounts) != 2 or not all(amounts):
        return None
    return abs(amounts[0] / amounts[1] * weights[1] / weights[0] - 1)


def figures(taken: Sample, clients: Sequence[ClientConfig]) -> dict[str, float | None]:
    """Return everything that a run says; which of it is shown is the experiment's matter."""
    rates = [taken.clients[client.name].mb_per_s for client in clients]
    first, second = (*rates, 0.0)[:2]
    return {
        "mb_per_s": sum(rates),
        "jain": jain(rates),
        "first_mb": first,
        "second_mb": second if len(rates) > 1 else None,
        "ratio": first / second if second else None,
        "due_error": due_error(rates, [client.weight for client in clients]),
        "iops": taken.total.iops,
        "p50_us": taken.total.p50_us,
        "p99_us": taken.total.p99_us,
        "server_cpu_us": taken.server_cpu_us,
        "client_cores": taken.total.busiest_client_cores,
    }


def run(
    experiment: Measured, disk: BlockDisk, *, scratch: Path, results: Results, progress: Progress
) -> None:
    """Measure all of an experiment; lines that this fairlead does not take are left out."""
    servers = []
    for line in experiment.lines:
        server = LineServer(line, volumes=disk.volumes, clients=experiment.clients, scratch=scratch)
        if (reason := why_refused(server.config or "")) is not None:
            _leave_out(experiment, line.label, reason, results)
        else:
            servers.append(server)
    progress.begin(experiment, lines=len(servers))
    absent: dict[str, str] = {}
    # By elevator: a target looks at it when it begins, and then only now and then.
    for elevator in dict.fromkeys(cell.elevator for cell in experiment.cells):
        disk.use(elevator)
        measures: dict[str, Callable[[IscsiServer, int], Mapping[str, float | None]]] = {
            cell.case: partial(_measure, cell=cell, disk=disk, scratch=scratch, progress=progress)
            for cell in experiment.cells
            if cell.elevator == elevator
        }
        absent |= cases_in_turn(
            experiment.name,
            servers,
            rounds=experiment.rounds,
            results=results,
            measures=measures,
            helpers=disk.helpers,
        )
    for label, reason in absent.items():
        _leave_out(experiment, label, reason, results)
    for server in servers:
        if server.engine:
            results.note(experiment.name, f"*{server.label}*: `{_told(server.engine)}`")
    compare(results, experiment)


def compare(results: Results, experiment: Measured) -> None:
    """Add the figures that are made of two lines' to the rows of every round."""
    by_turn: dict[tuple[str, int], dict[str, dict[str, float]]] = defaultdict(dict)
    for row in results.rows:
        if row.experiment == experiment.name:
            by_turn[row.case, row.round_number][row.line] = row.figures
    for lines in by_turn.values():
        for comparison in experiment.comparisons:
            base = lines.get(comparison.line, {}).get(comparison.figure)
            if not base:
                continue
            for found in lines.values():
                if (value := found.get(comparison.figure)) is not None:
                    made = value - base if comparison.is_difference else value / base
                    found[comparison.name] = made


def _measure(
    server: IscsiServer,
    seed: int,
    *,
    cell: Cell,
    disk: BlockDisk,
    scratch: Path,
    progress: Progress,
) -> dict[str, float | None]:
    disk.use(cell.elevator)
    progress.step(cell, server.label)
    take = partial(sample.take, server, cell.clients, seed=seed, further=cell.options)
    if not cell.counts_calls:
        return figures(take(run_s=cell.seconds), cell.clients)
    counter = ThreadCounter(server.pid, submitters_of(server.pid), scratch)
    taken = take(run_s=cell.seconds, counting=counter.times())
    counted = take(run_s=_CALLS_S, counting=counter.calls())
    found = figures(taken, cell.clients)
    commands = max(taken.total.commands, 1)
    found["submitter_ns"] = counter.run_ns / commands
    found["switches"] = counter.switches / commands
    calls = counter.system_calls
    found["calls"] = None if calls is None else calls / max(counted.total.commands, 1)
    return found


def _leave_out(experiment: Measured, label: str, reason: str, results: Results) -> None:
    results.absent[f"{experiment.name}, {label}"] = reason
    say(f"  left out: {label}: {reason}")


def _told(engine: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in engine.items() if value is not None)
