"""libiscsi's tools against a served volume: discovery, inquiry, load."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.cells import DRIVERS
from tests.support.server import killed_at_end, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module", params=DRIVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(f"tools-{request.param}")
    with serving(("one.img:64M", "two.img:32M"), folder, driver=str(request.param)) as served:
        yield served


def run(*command: str) -> str:
    """Runs a program that must succeed, and returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_iscsi_ls_lists_every_target_and_its_unit(server: Server) -> None:
    listing = run("iscsi-ls", "--show-luns", f"iscsi://{server.portal}")
    for url in server.urls:
        assert url.split("/")[3] in listing
    # In any order; the tool rounds the last block's address down.
    sizes = re.findall(r"Lun:0 +Type:DIRECT_ACCESS \(Size:(\d+)M\)", listing)
    assert sorted(sizes) == ["31", "63"]


def test_iscsi_inq_shows_vendor_and_serial(server: Server) -> None:
    standard = run("iscsi-inq", server.urls[0])
    assert "Peripheral Device Type:DIRECT_ACCESS" in standard
    serials = {run("iscsi-inq", "-e", "1", "-c", "128", url) for url in server.urls}
    assert len(serials) == 2, "two volumes with one serial number"


def test_two_initiators_at_once(server: Server) -> None:
    names = ("iqn.2026-01.example.first:a", "iqn.2026-01.example.second:b")
    command = ("iscsi-perf", "-m", "8", "-b", "8", "-t", "2")
    runs = [
        subprocess.Popen(
            [*command, "-i", name, server.urls[0]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in names
    ]
    for process in runs:
        with killed_at_end(process):
            output, _ = process.communicate(timeout=60)
            averages = re.findall(r"iops average (\d+)", output)
            assert process.returncode == 0, output
            assert int(averages[-1]) > 0, output


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    """The README's first command, in short: its own checks decide."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo", "--seconds", "3"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
