from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fairlead.cli.calibration_report import device_block
from fairlead.cli.main import app
from fairlead.control.calibration import Calibration
from fairlead.model.document import read_document
from fairlead.sched.calibration import Curve, Load, Point
from fairlead.sched.device_cost import DeviceCost, LinearCost

if TYPE_CHECKING:
    from pathlib import Path

run = CliRunner().invoke
ENVIRONMENT = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(1 << 20))
    return path


def found(**fields: Any) -> Calibration:
    load = Load(operation="read", is_sequential=False, length_bytes=4096)
    point = Point(depth=4, iops=50_000.0, p50_us=80.0, p99_us=160.0, mean_us=82.0)
    plain: dict[str, Any] = {
        "device": "vda",
        "place": "/dev/vda",
        "size_bytes": 1 << 30,
        "driver": "io_uring",
        "seconds": 1.0,
        "is_rotational": False,
        "curves": (Curve(load=load, points=(point,)),),
        "cost": DeviceCost(
            read=LinearCost(base_ns=15_200, per_kib_ns=610),
            write=LinearCost(base_ns=45_000, per_kib_ns=1_830),
        ),
        "write_factor": 3.0,
        "iops": 16_000,
        "bytes_per_s": 410_000_000,
    }
    return Calibration(**{**plain, **fields})


def test_help_teaches() -> None:
    result = run(app, ["calibrate", "--help"], env=ENVIRONMENT)
    assert result.exit_code == 0
    for word in ("ALL DATA ON THE VOLUME IS LOST", "direct:/dev/sdb", "--seconds", "knee"):
        assert word in result.output


def test_the_block_is_read_as_it_was_meant() -> None:
    block = device_block(found(device='odd "name"'))
    assert read_document(block).devices[0].cost is not None
    document = tomllib.loads(block)
    assert document == {
        "devices": [
            {
                "name": 'odd "name"',
                "iops": 16_000,
                "bytes_per_s": 410_000_000,
                "cost": {
                    "read_base_us": 15.2,
                    "read_per_kib_us": 0.61,
                    "write_base_us": 45.0,
                    "write_per_kib_us": 1.83,
                },
            }
        ]
    }


@pytest.mark.quiet
def test_a_table_a_sentence_and_a_block(image: Path) -> None:
    result = run(app, ["calibrate", str(image), "--seconds", "0.02"], env=ENVIRONMENT)
    assert result.exit_code == 0, result.output
    for word in ("128 KiB sequential reads", "knee", "writes were not measured", "[[devices]]"):
        assert word in result.stdout
    assert result.stderr.splitlines()[0].startswith("4 KiB random reads, 1 at a time; at most ")
    assert len(result.stderr.splitlines()) == 4


@pytest.mark.quiet
def test_json_is_the_whole_of_it(image: Path) -> None:
    words = ["calibrate", str(image), "--overwrite", "--seconds", "0.02", "--json"]
    result = run(app, words, env=ENVIRONMENT)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["write_factor"] is None
    assert len(document["curves"]) == 8
    for curve in document["curves"]:
        assert curve["knee"] in curve["points"]
    [device] = tomllib.loads(document["toml"])["devices"]
    assert device["iops"] == document["iops"]


@pytest.mark.parametrize(
    ("word", "code", "message"),
    [
        ("null:1G", 2, "null volumes have no device that could be measured"),
        ("missing.img", 2, "missing.img does not exist"),
        ("file:", 2, "has no path"),
        ("null:x:0", 2, "size 0 is out of range"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(word: str, code: int, message: str) -> None:
    result = run(app, ["calibrate", word], env=ENVIRONMENT)
    assert result.exit_code == code
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("fairlead: ")
    assert message in line


def test_an_interrupt_ends_it_at_once(image: Path) -> None:
    words = [sys.executable, "-m", "fairlead", "calibrate", str(image), "--seconds", "60"]
    # Who is started in the background has interrupts ignored, and so would the command.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(words, stdout=-1, stderr=-1, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stderr is not None
            assert "random reads" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, output) == (1, "")
    assert errors == "fairlead: interrupted; nothing was found out\n"
