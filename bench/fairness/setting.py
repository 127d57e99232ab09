"""From a scenario of ``fairlead sim`` to a target's document and to load programs.

One file describes an experiment for the simulator and for real sockets: the device, what each
client is due, and what it sends.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.harness import programs
from fairlead.sim.scenario import Scenario, read_scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fairlead.sim.client import ClientConfig, RateConfig

SCENARIOS = programs.BENCH / "fairness" / "scenarios"
INITIATORS = "iqn.2000-01.invalid.fairlead.fairness"
VOLUME_BYTES = 1 << 30
# As deep as the deepest client: what a session may not send yet waits with the initiator, where
# the target's order is not known.
_QUEUE_DEPTH = 256
# Initiators with names of their own, all from one address.
_CONTEXTS_PER_ADDRESS = 4096


def scenario_path(name: str) -> Path:
    """Return where a scenario of this folder is."""
    return SCENARIOS / f"{name}.toml"


def load_scenario(name: str) -> Scenario:
    """Read a scenario of this folder."""
    return read_scenario(scenario_path(name).read_text())


def initiator_name(client: str) -> str:
    """Return a client's iSCSI name, which is also its context's."""
    return f"{INITIATORS}:{client}"


def simulated_volume(scenario: Scenario) -> str:
    """Return the TOML lines of a volume that is the scenario's device, in real time."""
    return _volume(kind="sim", model=scenario.device, size=VOLUME_BYTES)


def null_volume() -> str:
    """Return the TOML lines of a volume that answers at once."""
    return _volume(kind="null", size=VOLUME_BYTES)


def direct_volume(image: Path, *, name: str = "volume") -> str:
    """Return the TOML lines of a volume on a file or device, past the page cache."""
    return _volume(name=name, kind="direct", path=str(image))


def document(
    volumes: str,
    clients: Iterable[ClientConfig],
    *,
    scheduler: str,
    engine: Mapping[str, str | int | bool] | None = None,
    grouping: str = "initiator",
) -> str:
    """Return a target's configuration: its volumes, and what each client is due.

    Args:
        volumes: their TOML lines.
        clients: of a scenario.
        scheduler: ``fair`` or ``fifo``.
        engine: what else is set of the engine.
        grouping: which sessions are one client.
    """
    settings = {"scheduler": scheduler, "queue_depth": _QUEUE_DEPTH, **(engine or {})}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    parts = [
        f"grouping = {json.dumps(grouping)}",
        "\n".join(["[engine]", *lines]),
        f"[limits]\ncontexts_per_address = {_CONTEXTS_PER_ADDRESS}",
        volumes,
        *(share_rule(client) for client in clients),
    ]
    return "\n\n".join(parts) + "\n"


def share_rule(client: ClientConfig) -> str:
    """Return the rule that gives a client's context its settings."""
    lines = [
        "[[shares]]",
        f"contexts = {json.dumps(initiator_name(client.name) + '*')}",
        f"weight = {client.weight}",
        f'priority = "{client.priority}"',
        f"burst_s = {client.burst_s}",
    ]
    lines += _rate_line("limit", client.limit)
    lines += _rate_line("guarantee", client.guarantee)
    return "\n".join(lines)


def load_options(client: ClientConfig, *, run_s: float) -> list[str]:
    """Return the load program's options for a client of a scenario.

    Args:
        client: who works for so long, or from its start to its stop where it has these.
        run_s: length of the run.
    """
    size = ",".join(f"{length}={weight}" for length, weight in client.size)
    stop_s = min(run_s, client.stop_s or run_s)
    options = [
        f"--initiator={initiator_name(client.name)}",
        f"--size={size}",
        f"--read-share={client.read_percent}",
        f"--sessions={client.sessions}",
        "--sequential" if client.access == "sequential" else "--random",
        f"--delay={client.start_s}",
        f"--seconds={stop_s - client.start_s}",
    ]
    if client.requests_per_s is not None:
        options += ["--depth=256", f"--pace={client.requests_per_s}"]
    else:
        options += [f"--depth={32 if client.depth is None else client.depth}"]
    return options


def _volume(*, name: str = "volume", **fields: str | int) -> str:
    values = {"name": name, **fields}
    lines = (f"{field} = {json.dumps(value)}" for field, value in values.items())
    return "\n".join(["[[volumes]]", *lines])


def _rate_line(name: str, rate: RateConfig | None) -> list[str]:
    if rate is None:
        return []
    parts = [
        f"{kind} = {value}"
        for kind, value in (("iops", rate.iops), ("bytes_per_s", rate.bytes_per_s))
        if value is not None
    ]
    return [f"{name} = {{ {', '.join(parts)} }}"]
