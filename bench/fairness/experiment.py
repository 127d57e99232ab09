"""What an experiment is, and how its lines are measured: in turn, with failures as rows."""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bench.fairness.rows import Row
from bench.fairness.setting import document
from bench.fairness.virtual import SimulationError
from bench.harness import process
from bench.harness.load import LoadError
from bench.harness.process import MachineCpu
from bench.harness.rotation import Fleet, say
from bench.harness.server import FairleadServer, IscsiServer, ServerAbsentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.fairness.rows import Results
    from fairlead.sim.client import ClientConfig
    from fairlead.sim.scenario import Scenario

FAIR = "fair"
FIFO = "fifo"
POLICIES = (FAIR, FIFO)


class Unit(Enum):
    """How a figure is shown."""

    PERCENT = "percent"  # Of 0..1.
    TIMES = "times"
    COUNT = "count"
    MICROSECONDS = "us"
    MILLISECONDS = "ms"
    NANOSECONDS = "ns"


@dataclass(frozen=True, slots=True)
class Column:
    """A figure, what it is called in the table, and its unit.

    ``is_simulated``: the simulator has it too, and should come to the same.
    """

    figure: str
    heading: str
    unit: Unit
    is_simulated: bool = False


OTHERS = Column("others", "others", Unit.TIMES)
"""CPUs that neither server nor clients used, or that the hypervisor kept: of every turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        scratch: a folder of our own for images, documents and logs.
        rounds: how often each line has its turn.
        seconds: length of each run, in place of the scenarios' own; None: theirs.
        image_bytes: size of the file on the real disk.
    """

    scratch: Path
    rounds: int
    seconds: float | None
    image_bytes: int

    def run_s(self, scenario: Scenario) -> float:
        """Return how long clients of a scenario work."""
        return scenario.seconds if self.seconds is None else self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and how the answer is shown.

    Attributes:
        name: what ``--only`` takes.
        title: heading of its table.
        method: what is done, in a few sentences.
        columns: its figures.
    """

    name: str
    title: str
    method: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(Question):
    """One question and how it is answered.

    Attributes:
        run: measures all of it and adds rows to the results.
    """

    run: Callable[[Plan, Results], None]


def simulated(line: str) -> str:
    """Return how a line is called in virtual time."""
    return f"{line}, simulated"


def both_schedulers(
    volume: str, clients: Iterable[ClientConfig], plan: Plan
) -> list[FairleadServer]:
    """Return two fairleads that differ in their scheduler alone; see `document`."""
    known = tuple(clients)
    return [
        FairleadServer(
            scheduler,
            image=plan.scratch,
            scratch=plan.scratch,
            options=("--no-socket", "--log-level", "warning"),
            config=document(volume, known, scheduler=scheduler),
            locks_image=False,
        )
        for scheduler in POLICIES
    ]


def in_turn(
    where: tuple[str, str],
    servers: Sequence[IscsiServer],
    plan: Plan,
    results: Results,
    measure: Callable[[IscsiServer, int], Mapping[str, float | None]],
) -> None:
    """Measure one case of every server; see `cases_in_turn`."""
    experiment, case = where
    absent = cases_in_turn(
        experiment, servers, rounds=plan.rounds, results=results, measures={case: measure}
    )
    for label, reason in absent.items():
        results.absent[f"{experiment}, {case}, {label}"] = reason


def cases_in_turn(
    experiment: str,
    servers: Sequence[IscsiServer],
    *,
    rounds: int,
    results: Results,
    measures: Mapping[str, Callable[[IscsiServer, int], Mapping[str, float | None]]],
    helpers: Sequence[int] = (),
) -> dict[str, str]:
    """Measure every server in every round, A B A B; add a row for each turn of each case.

    Args:
        experiment: its name.
        servers: the lines; absent ones are left out.
        rounds: how often each has its turn.
        results: get the rows.
        measures: by case; each takes a running server and a seed and returns figures by name,
            None: not known. A server's cases come one after another while it is up.
        helpers: processes that belong to the measurement, as a disk's.

    Returns:
        The lines that cannot be measured, and why.
    """
    with Fleet(servers) as fleet:
        for round_number in range(1, rounds + 1):
            for server in servers:
                if not fleet.bring_up(server):
                    continue
                for case, measure in measures.items():
                    figures: Mapping[str, float | None] = {}
                    failure = None
                    try:
                        others = _Others(server, helpers)
                        figures = measure(server, 1 + 1000 * round_number)
                        figures = {**figures, OTHERS.figure: others.cores()}
                    except (LoadError, ServerAbsentError, OSError) as error:
                        failure = str(error) or type(error).__name__
                    where = (experiment, case)
                    row = _row(where, server.label, round_number, figures, failure)
                    results.rows.append(row)
                    say(_told(row, rounds))
        return dict(fleet.absent)


def in_virtual_time(
    where: tuple[str, str],
    results: Results,
    measure: Callable[[str], Mapping[str, float | None]],
) -> None:
    """Add a row of virtual time for each policy; one round tells all about it.

    Args:
        where: names of experiment and case.
        results: get the rows.
        measure: takes a policy; returns figures by name, None: not known.
    """
    for policy in POLICIES:
        figures: Mapping[str, float | None] = {}
        failure = None
        try:
            figures = measure(policy)
        except SimulationError as error:
            failure = str(error)
        row = _row(where, simulated(policy), 1, figures, failure)
        results.rows.append(row)
        say(_told(row, 1))


def quotient(above: float, below: float) -> float | None:
    """Divide; None where there is nothing to divide by."""
    return above / below if below else None


class _Others:
    """How busy the machine is with what is not ours, from here on."""

    def __init__(self, server: IscsiServer, helpers: Sequence[int]) -> None:
        self._server = server
        self._helpers = helpers
        self._started_s = time.monotonic()
        self._before_s = self._theirs_s()

    def cores(self) -> float:
        """Return CPU seconds per second."""
        elapsed_s = time.monotonic() - self._started_s
        return max(0.0, self._theirs_s() - self._before_s) / elapsed_s

    def _theirs_s(self) -> float:
        machine = MachineCpu.read()
        # The load programs have ended, and been waited for, when a turn is over.
        ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        ours_s = sum(usage.ru_utime + usage.ru_stime for usage in ours)
        theirs_s = sum(map(process.cpu_s, self._helpers)) + self._server.cpu_s()
        return machine.busy_s + machine.steal_s - theirs_s - ours_s


def _row(
    where: tuple[str, str],
    line: str,
    round_number: int,
    figures: Mapping[str, float | None],
    failure: str | None,
) -> Row:
    known = {
        name: value for name, value in figures.items() if value is not None and math.isfinite(value)
    }
    return Row(
        experiment=where[0],
        case=where[1],
        line=line,
        round_number=round_number,
        figures=known,
        failure=failure,
    )


def _told(row: Row, rounds: int) -> str:
    head = f"  {row.case} {row.round_number}/{rounds} {row.line}: "
    if row.failure is not None:
        return head + f"FAILED: {row.failure}"
    return head + ", ".join(f"{name} {value:.6g}" for name, value in row.figures.items())
