"""The load program against a served volume: what it counts, by interval and by size."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.fairness import sample
from bench.harness import programs
from bench.harness.server import FairleadServer
from fairlead.sim.client import ClientConfig
from tests.support.disk_client import FuseDisk, why_no_fuse

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.quiet]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FairleadServer]:
    if not Path("/usr/include/iscsi/iscsi.h").exists():
        pytest.skip("libiscsi-dev is not installed")
    programs.build(programs.LOAD)
    folder = tmp_path_factory.mktemp("load")
    null = FairleadServer(
        "null", image=folder, scratch=folder, volume="null:64M", options=("--no-socket",)
    )
    null.start()
    yield null
    null.stop()


def run(server: FairleadServer, *options: str) -> dict[str, Any]:
    """Runs the program, which must succeed, and returns what it printed."""
    done = subprocess.run(
        [str(programs.LOAD), f"--url={server.target.url}", "--json", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_intervals_add_up_to_the_whole(server: FairleadServer) -> None:
    result = run(
        server,
        *("--sessions=2", "--depth=4", "--read-share=50", "--seconds=0.3", "--interval=0.05"),
    )
    intervals = result["intervals"]
    assert intervals["interval_ns"] == 50_000_000
    assert intervals["first"] == intervals["start_ns"] // 50_000_000
    assert sum(intervals["reads"]) == result["reads"] > 0
    assert sum(intervals["writes"]) == result["writes"] > 0
    assert sum(intervals["read_bytes"] + intervals["written_bytes"]) == result["bytes"]
    assert sum(1 for count in intervals["reads"] if count) >= 6


def test_without_intervals_nothing_is_said_of_them(server: FairleadServer) -> None:
    assert "intervals" not in run(server, "--seconds=0.05")


def test_sizes_come_as_often_as_they_should(server: FairleadServer) -> None:
    """Three of 4 KiB for one of 64 KiB are 19 KiB on average."""
    result = run(server, "--size=4K=3,64K=1", "--depth=8", "--seconds=0.3")
    assert result["commands"] > 1000
    assert result["bytes"] / result["commands"] == pytest.approx(19 * 1024, rel=0.1)


def test_who_is_delayed_begins_later(server: FairleadServer) -> None:
    clients = (ClientConfig(name="early"), ClientConfig(name="late", start_s=0.2))
    taken = sample.take(server, clients, run_s=0.4, seed=1, interval_s=0.02)
    early, late = taken.timeline("early"), taken.timeline("late")
    assert late.start_ns - early.start_ns == pytest.approx(0.2e9, abs=0.05e9)
    assert taken.clients["late"].seconds == pytest.approx(0.2, abs=0.05)
    assert taken.total.commands == sum(one.commands for one in taken.clients.values())


@pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))
def test_sessions_of_a_shared_stream_read_every_place_once(
    server: FairleadServer, tmp_path: Path
) -> None:
    """Each for itself, they would begin at two places. One at a time, the order is the stream's."""
    with FuseDisk(size_bytes=8 << 20) as disk:
        served = FairleadServer(
            "fuse",
            image=disk.path,
            scratch=tmp_path,
            volume=f"direct:{disk.path}",
            options=("--no-socket",),
        )
        served.start()
        disk.trace()
        options = ("--shared-stream", "--sessions=2", "--size=64K", "--pace=200", "--seconds=0.2")
        result = run(served, *options)
        served.stop()
        places = [offset for _, offset, length in disk.trace() if length == 65536]
    assert result["commands"] > 10
    assert places == [65536 * number for number in range(result["commands"])]


def test_a_shared_stream_is_not_verified(server: FairleadServer) -> None:
    command = [str(programs.LOAD), f"--url={server.target.url}", "--shared-stream", "--verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "--verify: not with --shared-stream" in done.stderr) == (1, True)
