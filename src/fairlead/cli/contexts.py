"""``fairlead contexts`` and ``fairlead context``: what clients get, seen and changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.live import Live

from fairlead.cli.assignments import parse_assignments
from fairlead.cli.context_table import context_table, printable
from fairlead.cli.context_words import context_words
from fairlead.cli.failure import user_errors
from fairlead.cli.management_socket import SocketOption, find_socket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fairlead.cli.client import Client

_REFRESH_S: Final = 1.0
_pause: Final = asyncio.sleep
# A table that is read by a program or a pipe is not cut to some terminal's width.
_PIPED_COLUMNS: Final = 200

context_app = typer.Typer(
    name="context",
    no_args_is_help=True,
    help="Change what clients get, explain it, or say what the kernel can see of them.",
)

Pattern = Annotated[
    str, typer.Argument(metavar="PATTERN", help="Names of contexts, with wildcards: '*:db-*'.")
]


def contexts(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Only these, with wildcards.")
    ] = "*",
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole document, once.")
    ] = False,
    socket: SocketOption = None,
) -> None:
    """Show what every I/O context is due and what it gets.

    On a terminal the table is renewed every second until Ctrl-C. Rates and shares are of the last
    second; percentiles are since the context began. Held back by: its [bold]limit[/bold], the
    [bold]window[/bold] (it waits for its turn), or [bold]nobody[/bold].
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_COLUMNS)
    with user_errors():
        if as_json:
            document = _talk(socket, lambda client: client.contexts(pattern))
            typer.echo(json.dumps(document, indent=1))
        elif once or not console.is_terminal:
            document = _talk(socket, lambda client: client.contexts(pattern))
            console.print(context_table(document, columns=console.width))
        else:
            with contextlib.suppress(KeyboardInterrupt):
                _talk(socket, lambda client: _watch(client, pattern, console))


@context_app.command("set")
def set_(
    pattern: Pattern,
    assignments: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE",
            help="weight=4, priority=urgent, limit.iops=2000, limit.bytes_per_s=100M, burst_s=0.1, "
            "guarantee.iops=500, queued_max=64; none takes a limit or a guarantee away.",
        ),
    ],
    *,
    socket: SocketOption = None,
) -> None:
    """Change what contexts are due: at once, and for those to come, until the target stops.

    [bold]fairlead context set '*:db-*' weight=4 limit.iops=2000[/bold]
    """
    with user_errors():
        change = parse_assignments(assignments)
        outcome = _talk(socket, lambda client: client.set_contexts(pattern, change))
        _tell(pattern, outcome)


@context_app.command()
def reset(pattern: Pattern, *, socket: SocketOption = None) -> None:
    """Forget what was [bold]set[/bold] with just this pattern."""
    with user_errors():
        _tell(pattern, _talk(socket, lambda client: client.reset_contexts(pattern)))


@context_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A context's whole name.")],
    *,
    socket: SocketOption = None,
) -> None:
    """Explain why a client gets what it gets."""
    with user_errors():
        document = _talk(socket, lambda client: client.context(name))
        for line in context_words(document):
            typer.echo(line)


def _talk(named: Path | None, ask: Callable[[Client], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    # Here and not above: the library takes a quarter of a second, which other commands save.
    from fairlead.cli.client import Client  # noqa: PLC0415

    path = find_socket(named)

    async def talk() -> dict[str, Any]:
        async with Client(path) as client:
            return await ask(client)

    return asyncio.run(talk())


async def _watch(client: Client, pattern: str, console: Console) -> dict[str, Any]:
    """Renew the table until interrupted."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            document = await client.contexts(pattern)
            live.update(context_table(document, columns=console.width), refresh=True)
            await _pause(_REFRESH_S)


def _tell(pattern: str, outcome: dict[str, Any]) -> None:
    if not outcome["matched"]:
        typer.echo(f"no context matches {printable(pattern)} now; it holds for those to come")
    for key in outcome["matched"]:
        word = "changed" if key in outcome["changed"] else "was so already"
        typer.echo(f"{printable(key)}: {word}")
