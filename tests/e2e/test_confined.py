"""An ordinary user, and a process that is refused io_uring, serve like everybody else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.confined import NOBODY
from tests.support.server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root"),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the ordinary user's. pytest's own are below one that only root may enter."""
    path = Path(tempfile.mkdtemp(prefix="fairlead-confined-"))
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("taken_away", "driver", "expected"),
    [
        (("memlock-8M", "as-nobody"), "auto", "io_uring"),
        (("memlock-8M", "as-nobody"), "threads", "threads"),
        (("memlock-64K", "as-nobody"), "auto", "threads"),
        (("without-io-uring",), "auto", "threads"),
        (("as-nobody", "without-io-uring"), "auto", "threads"),
    ],
    ids=["nobody", "nobody-threads", "nobody-memlock", "no-io_uring", "nobody-no-io_uring"],
)
def test_an_image_is_served(
    taken_away: tuple[str, ...], driver: str, expected: str, folder: Path
) -> None:
    program = (sys.executable, "-m", "tests.support.confined", *taken_away, "--")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    accounts = folder / "accounts.json"
    with serving(
        ("disk.img:16M",),
        folder,
        driver=driver,
        options=("--accounts", str(accounts)),
        environment=environment,
        program=program,
    ) as server:
        assert _owner(server) == (NOBODY if "as-nobody" in taken_away else 0)
        assert f"driver={expected}" in _started(server)
        if "memlock-64K" in taken_away:
            assert "ulimit -l" in _started(server)
        _qemu_io(server.urls[0], "write -P 0x5a 1M 2M", "flush", "read -P 0x5a 1M 2M")
    assert (folder / "disk.img").read_bytes()[1 << 20 : 3 << 20] == b"\x5a" * (2 << 20)
    assert json.loads(accounts.read_text())


def test_io_uring_asked_for_and_refused_is_an_error(folder: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.confined", "without-io-uring", "--"),
            *("serve", "--driver", "io_uring", "--portal", "127.0.0.1:0", "memory:1M"),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert re.search(r"Operation not permitted|not permitted", done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def _owner(server: Server) -> int:
    return Path(f"/proc/{server.process.pid}").stat().st_uid


def _started(server: Server) -> str:
    return next(line for line in server.log.read_text().splitlines() if "driver=" in line)


def _qemu_io(url: str, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(
        ["qemu-io", "-f", "raw", "-t", "none", *words, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verification failed" not in done.stdout
