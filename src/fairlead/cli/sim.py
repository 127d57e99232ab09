"""``fairlead sim``: a scenario in virtual time, and a table of who got what."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fairlead.cli.failure import EXIT_USAGE, fail, user_errors
from fairlead.control.config_file import read_text
from fairlead.devices.interface import SECOND
from fairlead.sim.plot import check_plot, save_plot
from fairlead.sim.report import TABLE_WIDTH, policy_table, preset_lines, presets_table, summary
from fairlead.sim.result import PolicyResult, evaluate
from fairlead.sim.scenario import Scenario, read_scenario
from fairlead.sim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence


class Engine(StrEnum):
    """Choices of ``--engine``."""

    REFERENCE = "reference"
    RUST = "rust"


class PolicyName(StrEnum):
    """Choices of ``--policy``."""

    FAIR = "fair"
    FIFO = "fifo"
    NONE = "none"


def sim(
    scenario: Annotated[
        Path | None,
        typer.Argument(
            metavar="SCENARIO.toml",
            help="What happens: a device, clients, policies. examples/sim has some.",
            show_default=False,
        ),
    ] = None,
    *,
    policy: Annotated[
        list[PolicyName] | None,
        typer.Option(
            help="In place of the scenario's; may be repeated. [bold]fair[/bold]: shares by "
            "weight. [bold]fifo[/bold]: one queue for the whole device. [bold]none[/bold]: "
            "everything to the device at once.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="In place of the scenario's: ssd-20k, or with changes, "
            "ssd-20k,channels=4,read_us=500.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Virtual time, in place of the scenario's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="In place of the scenario's. Same seed, same result.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLIENT",
            help="Leave the other clients out, to see what these get alone; may be repeated.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="The specification of fair queueing, or the data plane's implementation of it."
        ),
    ] = Engine.REFERENCE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document in place of the tables.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw throughput and latency over time: .png or .svg. Needs fairlead\\[plot].",
        ),
    ] = None,
    presets: Annotated[
        bool, typer.Option("--presets", help="List the devices and what can be changed of them.")
    ] = False,
) -> None:
    """Simulate clients that share a device, in virtual time; show what each got.

    Weights, limits and guarantees can be tried on a device that nobody has to own: seconds pass
    as fast as they can be computed, and the same scenario and seed give the same result. The
    scheduler is fairlead's own; device and clients are models.

    [bold]fairlead sim examples/sim/weights.toml[/bold]

    [bold]fairlead sim examples/sim/victim-4k.toml --only victim[/bold]      alone

    [bold]fairlead sim examples/sim/victim-4k.toml --device hdd-90[/bold]    elsewhere

    In the table, [bold]due[/bold] is the part of the device's work that is a client's by its
    weight, limit and guarantee, in brackets where it asks for less; [bold]error[/bold] is how far
    what it got is from that. Latencies are from request to answer.
    """
    if presets:
        _print_presets()
        return
    if scenario is None:
        fail("no scenario; fairlead sim SCENARIO.toml, or --presets", EXIT_USAGE)
        return
    changes: dict[str, Any] = {
        "policies": tuple(name.value for name in policy) if policy else None,
        "device": device,
        "seconds": seconds,
        "seed": seed,
    }
    with user_errors(scenario):
        if plot is not None:
            check_plot(plot)
        wanted = read_scenario(read_text(scenario))
    # What is wrong now was said on the command line, not in the file.
    with user_errors():
        wanted = wanted.changed(**{k: v for k, v in changes.items() if v is not None})
        if only:
            wanted = wanted.only(only)
        results = _run(wanted, engine.value)
        title = wanted.title or scenario.stem
        if as_json:
            typer.echo(json.dumps(_document(wanted, results), indent=1))
        else:
            _print_tables(title, wanted, results)
        if plot is not None:
            save_plot(plot, title, results, bin_ms=wanted.bin_ms)


def _run(scenario: Scenario, engine: str) -> list[PolicyResult]:
    """Run all policies; on a terminal with a bar, which is gone afterwards."""
    results = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} of {task.total:g} s"),
        TimeRemainingColumn(),
        console=(console := Console(stderr=True)),
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        for policy in scenario.policies:
            task = bar.add_task(policy, total=scenario.seconds)

            def show(now_ns: int, task: TaskID = task) -> None:
                bar.update(task, completed=now_ns / SECOND)

            tally = Simulation(scenario, policy, engine).run(show)
            show(scenario.end_ns)
            results.append(evaluate(scenario, policy, tally))
    return results


def _document(scenario: Scenario, results: Sequence[PolicyResult]) -> dict[str, Any]:
    return {
        "scenario": scenario.model_dump(mode="json", exclude_none=True),
        "policies": [result.document() for result in results],
    }


def _print_tables(title: str, scenario: Scenario, results: Sequence[PolicyResult]) -> None:
    console = _table_console()
    typer.echo(f"{title}\n{scenario.device}, {scenario.seconds:g} s, seed {scenario.seed}\n")
    for result in results:
        console.print(policy_table(result))
        typer.echo(f"{summary(result)}\n")


def _print_presets() -> None:
    _table_console().print(presets_table())
    typer.echo("Every value can be changed: PRESET,KEY=VALUE... They are:\n")
    for line in preset_lines():
        typer.echo(line)


def _table_console() -> Console:
    return Console(highlight=False, markup=False, width=TABLE_WIDTH)
