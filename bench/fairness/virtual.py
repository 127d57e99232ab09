"""The same scenarios in virtual time, by ``fairlead sim``, with the data plane's scheduler."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.harness.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SIM_S = 600


class SimulationError(Exception):
    """``fairlead sim`` failed; its own words are the message."""


@dataclass(frozen=True, slots=True)
class Virtual:
    """What came of a scenario under one policy, as ``fairlead sim --json`` tells it."""

    document: dict[str, Any]

    @property
    def clients(self) -> dict[str, dict[str, Any]]:
        """Each client's result by name."""
        return {client["name"]: client for client in self.document["clients"]}

    def figure(self, name: str) -> float:
        """Return a figure of all clients together; 0 where there is none."""
        return float(self.document[name] or 0.0)

    def of_client(self, client: str, name: str) -> float:
        """Return a figure of one client; 0 where there is none."""
        return float(self.clients[client][name] or 0.0)


def simulate(
    scenario: Path,
    policies: Sequence[str] = ("fair",),
    *,
    only: Sequence[str] = (),
    seconds: float | None = None,
) -> dict[str, Virtual]:
    """Run a scenario in virtual time under each policy.

    Args:
        scenario: its file.
        policies: see ``fairlead sim --policy``.
        only: these clients alone; all by default.
        seconds: virtual time, in place of the scenario's.

    Raises:
        SimulationError: it did not run.
    """
    command = [sys.executable, "-m", "fairlead", "sim", str(scenario), "--json", "--engine=rust"]
    command += [f"--policy={policy}" for policy in policies]
    command += [f"--only={client}" for client in only]
    command += [] if seconds is None else [f"--seconds={seconds}"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_SIM_S, cwd=REPOSITORY
    )
    if done.returncode != 0:
        raise SimulationError(done.stderr.strip() or f"ended with status {done.returncode}")
    results = json.loads(done.stdout)["policies"]
    return {result["policy"]: Virtual(result) for result in results}
