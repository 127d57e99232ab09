"""What a person says of a context's share is what its initiator gets, from the next command on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.testing.client import connect
from tests.support.server import serving

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.testing.client import Client
    from tests.support.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.quiet]
ANNA = "iqn.2026-01.example.shares:anna"
BEN = "iqn.2026-01.example.shares:ben"
READS = 10


def test_a_limit_is_set_holds_and_is_lifted(tmp_path: Path) -> None:
    socket = tmp_path / "managed.sock"
    with serving(("disk.img:16M",), tmp_path, options=("--socket", str(socket))) as server:
        with _logged_in(server, ANNA) as anna, _logged_in(server, BEN) as ben:
            told = _fairlead(socket, "context", "set", "*:anna", "limit.iops=50", "burst_s=0")
            assert ANNA in told.stdout
            assert BEN not in told.stdout
            assert _seconds(anna) >= (READS - 1) / 50
            ben_s = _seconds(ben)
            assert ben_s < (READS - 1) / 50, f"the other has no limit, and took {ben_s:.3f} s"
            limits = {c["key"]: c["settings"]["limit"]["iops"] for c in _contexts(socket)}
            assert limits == {ANNA: 50, BEN: None}
            _fairlead(socket, "context", "set", "*:anna", "limit.iops=none")
            assert _seconds(anna) < (READS - 1) / 50
        assert not _contexts(socket)


def test_a_rule_counts_from_the_first_command_on(tmp_path: Path) -> None:
    document = tmp_path / "fairlead.toml"
    document.write_text(
        f"""
        [[volumes]]
        name = "disk"
        kind = "memory"
        size = "1M"

        [[shares]]
        contexts = "{ANNA}"
        limit = {{ iops = 50 }}
        burst_s = 0
        """
    )
    options = ("--config", str(document), "--no-socket")
    with serving((), tmp_path, options=options) as server, _logged_in(server, ANNA) as anna:
        assert _seconds(anna) >= (READS - 1) / 50


def _logged_in(server: Server, initiator: str) -> Client:
    client = connect(server.portal, server.urls[0].split("/")[3], initiator)
    client.block_bytes = 512
    client.test_unit_ready()
    return client


def _seconds(client: Client) -> float:
    """How long reads take, one after the other."""
    began = time.monotonic()
    for lba in range(READS):
        assert client.read_16(lba, 1).is_good
    return time.monotonic() - began


def _contexts(socket: Path) -> list[dict[str, Any]]:
    found = _fairlead(socket, "contexts", "--json")
    return list(json.loads(found.stdout)["contexts"])


def _fairlead(socket: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "fairlead", *words, "--socket", str(socket)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
