from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import fairlead
from fairlead.cli.main import app
from fairlead.cli.open_files import raise_open_file_limit
from fairlead.control.pass_through import prepare_pass_through
from tests.support.kernel_tree import KernelTree
from tests.support.scsi_device import FakeScsiDevice

if TYPE_CHECKING:
    from pathlib import Path

run = CliRunner().invoke

GOOD = """\
[[volumes]]
name = "v"
kind = "null"
size = "1G"
"""


def test_version() -> None:
    result = run(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"fairlead {fairlead.__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"], ["check", "-h"]])
def test_help_teaches(arguments: list[str]) -> None:
    result = run(app, arguments, env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0
    assert "fairlead" in result.output


def test_python_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fairlead", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"fairlead {fairlead.__version__}\n"


def test_check_says_ok(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(GOOD)
    result = run(app, ["check", str(file)])
    assert (result.exit_code, result.output) == (0, f"{file}: ok: 1 volume, 1 target, 1 portal\n")


def test_check_explains_each_mistake(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(GOOD + 'sise = "1G"\nserial = ""\n')
    result = run(app, ["check", str(file)])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{file}:5: volumes[0].sise: no such field (did you mean si")
    assert lines[1].startswith(f'{file}:6: volumes[0].serial = "": has characters that are not')


def test_check_asks_devices_when_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = KernelTree(tmp_path)
    tree.scsi_device("2:0:0:0", queue_depth="31")
    device = FakeScsiDevice()
    prepare = partial(prepare_pass_through, view=tree.view, connect=device)
    monkeypatch.setattr("fairlead.cli.check.prepare_pass_through", prepare)
    file = tmp_path / "t.toml"
    file.write_text(GOOD + '[[volumes]]\nname = "d"\nkind = "sg"\npath = "/dev/sg3"\n')
    result = run(app, ["check", str(file)])
    assert (result.exit_code, device.opened) == (0, [])
    result = run(app, ["check", "--devices", str(file)])
    assert result.output.splitlines() == [
        "d: disk ACME Disk of 2 GiB 1.0, serial number SN1, 2G in blocks of 512 bytes; device "
        "'naa.5000c500a1b2c3d4', 31 commands at a time, 1024 KiB and 60 s each",
        f"{file}: ok: 2 volumes, 2 targets, 1 portal",
    ]
    device.failure = "timed out"
    result = run(app, ["check", "--devices", str(file)])
    assert result.exit_code == 2
    assert "/dev/sg3 does not answer INQUIRY: timed out" in result.stderr


def test_check_asks_the_next_device_when_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = KernelTree(tmp_path)
    tree.scsi_device("2:0:0:0")
    prepare = partial(prepare_pass_through, view=tree.view, connect=FakeScsiDevice())
    monkeypatch.setattr("fairlead.cli.check.prepare_pass_through", prepare)
    file = tmp_path / "t.toml"
    device = '[[volumes]]\nname = "{}"\nkind = "sg"\npath = "{}"\n'
    named = (("a", tmp_path / "sg8"), ("b", "/dev/sg3"), ("c", tmp_path / "sg9"))
    file.write_text(GOOD + "".join(device.format(*one) for one in named))
    result = run(app, ["check", "--devices", str(file)])
    assert result.exit_code == 2
    assert result.stdout.startswith("b: disk ACME Disk of 2 GiB")
    first, last = result.stderr.splitlines()
    assert first.startswith(f"{file}:5: volumes[1]: volume 'a': {tmp_path}/sg8 is not there (")
    assert last.startswith(f"{file}:13: volumes[3]: volume 'c': {tmp_path}/sg9 is not there (")


def test_check_of_a_missing_file_is_explained(tmp_path: Path) -> None:
    result = run(app, ["check", str(tmp_path / "no.toml")])
    assert result.exit_code == 2
    assert "no.toml cannot be read: no such file or directory" in result.stderr


def test_public_names_are_there_and_others_are_not() -> None:
    for name in fairlead.__all__:
        assert getattr(fairlead, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fairlead.nonsense


class Limits:
    def __init__(self, soft: int, hard: int, *, privileged: bool) -> None:
        self.now = (soft, hard)
        self.privileged = privileged

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        if limits[1] > self.now[1] and not self.privileged:
            raise ValueError("not allowed to raise maximum limit")
        self.now = limits


@pytest.mark.parametrize(
    ("limits", "now"),
    [
        (Limits(1024, 65536, privileged=False), (11024, 65536)),
        (Limits(1024, 4096, privileged=False), (4096, 4096)),
        (Limits(1024, 4096, privileged=True), (11024, 11024)),
        (Limits(20000, 65536, privileged=False), (20000, 65536)),
        (Limits(resource.RLIM_INFINITY, resource.RLIM_INFINITY, privileged=False), (-1, -1)),
    ],
)
def test_the_limit_on_open_files_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, limits: Limits, now: tuple[int, int]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    assert raise_open_file_limit(10000) in (now[0], 11024)
    assert limits.now == now
