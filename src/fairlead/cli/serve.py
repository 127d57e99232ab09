"""``fairlead serve``: from words and a document to a running target, and to its end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError

import fairlead
from fairlead.cli.failure import EXIT_FAILED, EXIT_OK, user_errors
from fairlead.cli.management_socket import open_management
from fairlead.cli.open_files import raise_open_file_limit
from fairlead.control.kernel_devices import resolution_document
from fairlead.management.documents import volume_document
from fairlead.model.config import EngineConfig, LunConfig, TargetConfig
from fairlead.model.document import explain_validation
from fairlead.model.portal import parse_portal
from fairlead.model.volume_word import parse_volumes

if TYPE_CHECKING:
    from fairlead.management.server import ManagementServer

log = logging.getLogger(__name__)

_VOLUME_FIELDS: Final = ("kind", "path", "size_bytes", "device", "scsi_device")
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Driver(StrEnum):
    """Choices of ``--driver``."""

    AUTO = "auto"
    IO_URING = "io_uring"
    THREADS = "threads"


class Pool(StrEnum):
    """Choices of ``--pool``."""

    SHARED = "shared"
    PER_DEVICE = "per_device"
    PER_CONTEXT = "per_context"


class KernelContextWord(StrEnum):
    """Choices of ``--kernel-context``."""

    OFF = "off"
    PRIORITY = "priority"
    RING = "ring"
    EXPERIMENTAL_MOVE_CGROUP = "experimental-move-cgroup"
    EXPERIMENTAL_SET_IOPRIO = "experimental-set-ioprio"


class LogLevel(StrEnum):
    """Choices of ``--log-level``."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the command line says, beside the configuration."""

    allow_anyone: bool
    as_json: bool
    accounts: Path | None
    socket: Path | None
    has_socket: bool


def serve(
    volumes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VOLUME",
            help="What to serve: [bold]PATH\\[:SIZE][/bold], file:PATH\\[:SIZE], "
            "direct:PATH\\[:SIZE] (O_DIRECT), null:\\[NAME:]SIZE, memory:\\[NAME:]SIZE, "
            "sim:PRESET:SIZE (a simulated device, see fairlead sim --presets), sg:DEVICE and "
            "iscsi:URL (a SCSI device's commands are passed on, see docs/pass-through.md). "
            "K, M, G and T count in 1024s. With a SIZE a missing file is created, sparse.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="TOML: volumes, targets, access."),
    ] = None,
    portal: Annotated[
        list[str] | None,
        typer.Option(
            "--portal",
            metavar="HOST:PORT",
            help="Where to listen; may be repeated. Port 0 takes a free one, \\[::1]:3260 is IPv6. "
            "Without it the configuration's, or 127.0.0.1:3260.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        Driver | None,
        typer.Option(help="How I/O is done; auto takes io_uring where it works."),
    ] = None,
    submitters: Annotated[
        int | None, typer.Option(min=1, max=64, help="Threads of the global pool.")
    ] = None,
    pool: Annotated[
        Pool | None, typer.Option(help="Who shares submitters; shared is the default.")
    ] = None,
    kernel_context: Annotated[
        KernelContextWord | None,
        typer.Option(
            help="What the kernel sees of each I/O context: nothing (off), a priority in each "
            "request, or a ring and an io_context of its own, for disks under bfq. "
            "[bold]fairlead context doctor[/bold] says what works here."
        ),
    ] = None,
    grouping: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What shares an I/O context: initiator (default), group, session, nexus, none, or "
            "one that an installed package offers.",
        ),
    ] = None,
    allow_anyone: Annotated[
        bool,
        typer.Option(
            "--allow-anyone",
            help="Listen off loopback although a target has neither access list nor CHAP.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document on one line in place of the URLs."),
    ] = False,
    accounts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the accounts of all sessions and contexts there, as JSON, at the end and "
            "on SIGUSR1.",
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Where [bold]fairlead contexts[/bold] and the like reach this target. Without it "
            "$XDG_RUNTIME_DIR/fairlead.sock, or /run/fairlead.sock for root; with the port in its "
            "name where that is taken.",
            show_default=False,
        ),
    ] = None,
    no_socket: Annotated[
        bool, typer.Option("--no-socket", help="Cannot be seen or changed while it runs.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(help="What goes to stderr.")] = LogLevel.INFO,
) -> None:
    """Serve volumes over iSCSI until SIGTERM or Ctrl-C.

    Prints one iscsi:// URL for each LUN, the management socket, then the line [bold]ready[/bold].
    The first signal lets commands in flight end, within 5 seconds; a second one stops now.

    [bold]fairlead serve disk.img:1G[/bold]             make a 1 GiB image if there is none

    [bold]fairlead serve direct:/dev/sdb[/bold]         a whole disk, past the page cache

    [bold]fairlead serve --config target.toml[/bold]    several targets, access lists, CHAP

    Then, for example:  qemu-img info iscsi://127.0.0.1:3260/NAME/0
    """
    logging.basicConfig(
        level=log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    engine = {
        "driver": driver,
        "submitters": submitters,
        "pool": pool,
        "kernel_context": kernel_context,
    }
    with user_errors(config):
        whole = _configuration(config, volumes or [], portal or [], engine, grouping)
        limits = whole.limits
        raise_open_file_limit(limits.sessions_max + limits.pending_logins_max)
        if socket is not None and no_socket:
            raise fairlead.ConfigError("--socket and --no-socket", remedy="say one of them")
        place = None if socket is None else socket.absolute()
        wishes = _Wishes(allow_anyone, as_json, accounts, place, not no_socket)
        asyncio.run(_run(whole, wishes))


def _configuration(
    file: Path | None,
    words: list[str],
    portals: list[str],
    engine: dict[str, Any],
    grouping: str | None,
) -> fairlead.Config:
    """Put the command line over the document; words are served beside its targets."""
    base = fairlead.Config() if file is None else fairlead.load_config(file)
    changes: dict[str, Any] = {}
    try:
        volumes = parse_volumes(words)
        if portals:
            changes["portals"] = tuple(parse_portal(text) for text in portals)
    except ValidationError as error:
        raise explain_validation(error) from None
    except ValueError as error:
        raise fairlead.ConfigError(str(error)) from None
    if volumes:
        changes["volumes"] = base.volumes + volumes
    if base.targets is not None:
        own = (TargetConfig(luns=(LunConfig(volume=volume.name),)) for volume in volumes)
        changes["targets"] = (*base.targets, *own)
    if grouping is not None:
        changes["grouping"] = grouping
    chosen = {name: value for name, value in engine.items() if value is not None}
    changes["engine"] = EngineConfig.model_validate(dict(base.engine) | chosen)
    try:
        whole = fairlead.Config.model_validate(dict(base) | changes)
    except ValidationError as error:
        raise explain_validation(error) from None
    if not whole.volumes:
        raise fairlead.ConfigError(
            "nothing to serve", remedy="name a volume, fairlead serve disk.img:1G, or a --config"
        )
    return whole


async def _run(config: fairlead.Config, wishes: _Wishes) -> None:
    target = fairlead.Target(config, allow_anyone=wishes.allow_anyone)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, _stop_or_leave, stop)
    if wishes.accounts is not None:
        loop.add_signal_handler(signal.SIGUSR1, _write_accounts, target, wishes.accounts)
    starting = asyncio.create_task(target.__aenter__())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        # Nobody has been served yet, so nothing is lost; the start may be waiting for a lock.
        log.info("stopped before serving")
        os._exit(EXIT_OK)
    server: ManagementServer | None = None
    try:
        await starting
        if wishes.has_socket:
            server = await open_management(target, wishes.socket)
        _announce(target, config, server, as_json=wishes.as_json)
        await stopped
    finally:
        stopped.cancel()
        if server is not None:
            await server.stop()
        await target.stop()
    if wishes.accounts is not None and not _write_accounts(target, wishes.accounts):
        raise typer.Exit(EXIT_FAILED)


def _stop_or_leave(stop: asyncio.Event) -> None:
    if stop.is_set():
        log.warning("stopping now: a second signal came")
        # Threads may be waiting for a device; no clean-up of ours could go past them.
        os._exit(EXIT_FAILED)
    stop.set()


def _announce(
    target: fairlead.Target,
    config: fairlead.Config,
    server: ManagementServer | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        socket = None if server is None else str(server.path)
        typer.echo(json.dumps({**_document(target, config), "socket": socket}))
    else:
        for lun in target.luns:
            typer.echo(target.url(lun.target, lun=lun.lun))
        if server is not None:
            typer.echo(f"socket {server.path}")
        typer.echo("ready")
    sys.stdout.flush()


def _document(target: fairlead.Target, config: fairlead.Config) -> dict[str, Any]:
    facts = target.device_facts()
    volumes = {
        volume.name: volume_document(volume, facts=facts.get(volume.name))
        for volume in target.volumes()
    }
    return {
        "ready": True,
        "pid": os.getpid(),
        "portals": [str(portal) for portal in target.portals],
        "grouping": config.grouping,
        "engine": target.report(),
        "volumes": [
            {
                "url": target.url(lun.target, lun=lun.lun),
                "target": lun.target,
                "lun": lun.lun,
                "read_only": lun.read_only,
                "name": lun.volume,
                **{field: volumes[lun.volume][field] for field in _VOLUME_FIELDS},
            }
            for lun in target.luns
        ],
        "kernel_contexts": {
            found.device: resolution_document(found) for found in target.kernel_contexts()
        },
    }


def _write_accounts(target: fairlead.Target, file: Path) -> bool:
    """Write the accounts, whole or not at all: a reader never sees half a document."""
    try:
        part = file.with_name(file.name + ".part")
        part.write_text(json.dumps(target.accounts(), indent=1) + "\n")
        part.replace(file)
    except OSError as error:
        reason = json.dumps(error.strerror or str(error))
        log.error("accounts.failed file=%s reason=%s", json.dumps(str(file)), reason)  # noqa: TRY400  no bug of ours
        return False
    log.info("accounts.written file=%s", json.dumps(str(file)))
    return True
