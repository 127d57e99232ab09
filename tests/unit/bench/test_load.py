"""Merging load results, the load programs' own errors, and a whole measurement of the bare loop."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from bench.harness import programs
from bench.harness.load import LoadResult
from bench.harness.measure import measure
from bench.harness.rotation import Fleet, rotate
from bench.harness.scenario import SCENARIOS, Scenario
from bench.harness.server import BareLoopServer, Server, ServerAbsentError

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE_BYTES = 1 << 20


def run_of(*, commands: int, seconds: float, bins: list[list[int]], cpu_s: float) -> dict[str, Any]:
    return {
        "commands": commands,
        "seconds": seconds,
        "bytes": commands * 4096,
        "latency_us": {"mean": 10.0, "max": bins[-1][0] / 1e3},
        "latency_bins_ns": bins,
        "client_cpu": {"user_s": cpu_s / 2, "system_s": cpu_s / 2},
    }


@pytest.fixture(scope="session")
def built() -> None:
    for tool in ("cc", "make"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    programs.build(programs.BARELOOP, programs.BARELOOP_LOAD)


@pytest.fixture
def bareloop(built: None, tmp_path: Path) -> Iterator[BareLoopServer]:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(range(256)) * (IMAGE_BYTES // 256))
    server = BareLoopServer("bareloop", image=image, scratch=tmp_path)
    yield server
    server.stop()


def test_merged_percentiles_are_those_of_all_commands() -> None:
    """99 fast commands of one initiator and one slow of another: p50 is fast, the maximum slow."""
    merged = LoadResult.merge(
        [
            run_of(commands=99, seconds=1.0, bins=[[1000, 99]], cpu_s=0.2),
            run_of(commands=1, seconds=2.0, bins=[[9000, 1]], cpu_s=1.0),
        ]
    )
    assert (merged.commands, merged.seconds) == (100, 2.0)
    assert merged.iops == 50.0
    assert (merged.p50_us, merged.p99_us, merged.p99_9_us, merged.max_us) == (1.0, 1.0, 9.0, 9.0)
    assert merged.client_cpu_s == pytest.approx(1.2)
    assert merged.busiest_client_cores == pytest.approx(0.5)


def test_scenario_names_are_unique() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("read_percent", [100, 0, 50])
@pytest.mark.parametrize("request_bytes", [4096, 1 << 19])
def test_bare_loop_is_measured(
    bareloop: BareLoopServer, read_percent: int, request_bytes: int
) -> None:
    scenario = Scenario(
        name="short",
        request_bytes=request_bytes,
        read_percent=read_percent,
        depth=8,
        initiators=2,
    )
    bareloop.start()
    result = measure(bareloop, scenario, seconds=0.1, round_number=1)
    assert result.failure is None
    assert result.commands > 0
    assert result.server_cpu_us > 0
    assert 0 < result.p50_us <= result.p99_us <= result.max_us
    assert result.mb_per_s == pytest.approx(result.iops * request_bytes / 1e6, rel=0.01)


def test_bare_loop_refuses_what_is_outside_the_image(bareloop: BareLoopServer) -> None:
    bareloop.start()
    command = bareloop.load_command(SCENARIOS[0], initiator="x")
    wider = [f"--range={1 << 30}" if part.startswith("--range=") else part for part in command]
    done = subprocess.run(
        [*wider, "--seconds=1"], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 3
    assert "connection lost" in done.stderr


def test_server_that_ends_is_a_failed_measurement(bareloop: BareLoopServer) -> None:
    bareloop.start()
    bareloop.stop()
    result = measure(bareloop, SCENARIOS[0], seconds=0.1, round_number=1)
    assert result.failure is not None
    assert "refused" in result.failure


class AbsentServer(Server):
    """A server that is not installed."""

    starts = 0

    @override
    def start(self) -> None:
        self.starts += 1
        raise ServerAbsentError("nowhere to be found")

    @override
    def load_command(self, scenario: Scenario, *, initiator: str) -> list[str]:
        raise AssertionError("never started")


def test_absent_server_is_reported_once_and_the_others_are_measured(
    bareloop: BareLoopServer, tmp_path: Path
) -> None:
    absent = AbsentServer("absent", image=bareloop.image, scratch=tmp_path)
    with Fleet([absent, bareloop]) as fleet:
        rows = rotate(fleet, SCENARIOS[:1], rounds=2, seconds=0.05)
    assert fleet.absent == {"absent": "nowhere to be found"}
    assert absent.starts == 1
    assert [(row.server, row.round_number, row.failure) for row in rows] == [
        ("bareloop", 1, None),
        ("bareloop", 2, None),
    ]
    assert not bareloop.is_running


def test_image_that_is_missing_is_an_absent_server(built: None, tmp_path: Path) -> None:
    server = BareLoopServer("bareloop", image=tmp_path / "none.img", scratch=tmp_path)
    with pytest.raises(ServerAbsentError, match="No such file"):
        server.start()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--url is missing"),
        (["--url=nonsense"], "Invalid URL"),
        (["--url=iscsi://127.0.0.1/t/0", "--depth=0"], "--depth: 0 is outside 1..1024"),
        (["--url=iscsi://127.0.0.1/t/0", "--size=4X"], "'4X' is not a whole number"),
        (["--url=iscsi://127.0.0.1/t/0", "--size=4K=0"], "--size: 0 is outside 1..1000000"),
        (["--url=iscsi://127.0.0.1/t/0", "--size=4K,"], "'' is not a whole number"),
        (["--url=iscsi://127.0.0.1/t/0", "--size=4K,8K", "--verify"], "takes one --size"),
        (["--url=iscsi://127.0.0.1/t/0", "--delay=11"], "--delay: 11 is outside 0..10"),
        (["--url=iscsi://127.0.0.1/t/0", "--interval=0"], "--interval: 0 is outside 0.001..3600"),
        (
            ["--url=iscsi://127.0.0.1/t/0", "--interval=0.001", "--seconds=1000"],
            "more than 100000 in --seconds",
        ),
        (["--url=iscsi://127.0.0.1/t/0", "--lba-range=5"], "'5' is not FIRST:N"),
        (["--url=iscsi://127.0.0.1/t/0", "--read-share=101"], "101 is outside 0..100"),
        (["--url=iscsi://127.0.0.1/t/0", "--size=16M", "--depth=1024"], "more than the 2.0 GiB"),
    ],
)
def test_load_program_says_what_is_wrong(options: list[str], words: str) -> None:
    if not Path("/usr/include/iscsi/iscsi.h").exists():
        pytest.skip("libiscsi-dev is not installed")
    programs.build(programs.LOAD)
    done = subprocess.run(
        [str(programs.LOAD), *options], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert words in done.stderr
