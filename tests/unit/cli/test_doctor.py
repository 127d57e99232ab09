"""``fairlead context doctor`` on kernels that tests make up."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fairlead.cli.main import app
from fairlead.control.kernel_doctor import diagnose
from fairlead.dataplane.fake import FakeProbe
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

REASON = "Operation not permitted (os error 1)"
ENVIRONMENT = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}


class Doctor:
    """Asks about a machine with a disk ``sda`` under the test's files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.tree = KernelTree(folder)
        self.disk = self.tree.disk_below(folder, "sda", "bfq")
        self._monkeypatch = monkeypatch
        self.has(FakeProbe())

    def has(self, probe: FakeProbe) -> None:
        self.probe = probe
        found = partial(diagnose, view=self.tree.view, probe=probe)
        self._monkeypatch.setattr("fairlead.cli.doctor.diagnose", found)

    def ask(self, *words: str) -> Result:
        before = self.contents()
        result = CliRunner().invoke(app, ["context", "doctor", *words], env=ENVIRONMENT)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert self.contents() == before, "it has changed something"
        return result

    def document(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask(*words, "--json").stdout)
        return found

    def contents(self) -> dict[str, str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): path.read_text() for path in files}

    def config(self, text: str) -> str:
        file = self.folder / "target.toml"
        file.write_text(text)
        return str(file)


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.chdir(tmp_path)
    return Doctor(tmp_path, monkeypatch)


def test_help_teaches(doctor: Doctor) -> None:
    text = doctor.ask("--help").output
    for word in ("bfq", "mq-deadline", "cgroup v1", "changes nothing", "Exit codes", "--config"):
        assert word in text


def test_a_kernel_that_has_everything(doctor: Doctor) -> None:
    directory = doctor.tree.blkio()
    result = doctor.ask("direct:new.img:1G")
    assert result.exit_code == 0
    assert doctor.probe.asked == [(str(directory), True)]
    assert result.stdout.splitlines() == [
        "kernel 6.1.0-test, as root with CAP_SYS_ADMIN and CAP_SYS_NICE",
        "  io_uring                                yes",
        "  threads with a priority of their own    yes",
        "  rings with keepers                      yes",
        "  polled rings                            yes",
        "  priorities of requests                  yes",
        *_wrapped("  groups with weights                     ", f"yes: cgroup v1, in {directory}"),
        "",
        "sda, for new.img: off; ring would work",
        "  elevator       sda: bfq",
        "  told apart by  weights of groups",
    ]


def _wrapped(label: str, text: str) -> list[str]:
    """As the report does where the folder of the test makes a line too long."""
    if len(text) <= 58:
        return [label + text]
    head, _, tail = text.rpartition(" ")
    return [label + head, " " * len(label) + tail]


def test_each_thing_that_is_missing_has_its_command(doctor: Doctor) -> None:
    doctor.tree.elevator(doctor.disk, "none", ("none", "mq-deadline"))
    doctor.tree.write("sys/kernel/io_uring_disabled", "2\n")
    doctor.tree.user(1000)
    doctor.has(FakeProbe(io_uring=REASON, ring=REASON))
    text = doctor.config('engine = { driver = "io_uring", kernel_context = "priority" }')
    result = doctor.ask("--config", text, "disk.img:1G")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == "kernel 6.1.0-test, as user 1000"
    assert f"io_uring                                no: {REASON}" in lines
    for command in (
        "sysctl kernel.io_uring_disabled=0",
        "mkdir -p /sys/fs/cgroup/blkio && mount -t cgroup -o blkio blkio /sys/fs/cgroup/blkio",
        "kind direct goes past the page cache",
    ):
        assert f"-> {command}" in lines
    assert "sda, for disk.img: priority becomes off" in lines
    assert "-> echo mq-deadline > /sys/block/sda/queue/scheduler" in lines
    assert any(line.startswith("not covered") and "buffered writes" in line for line in lines)


@pytest.mark.parametrize(("setting", "reason"), [("0", REASON), ("1", None)])
def test_a_setting_that_is_not_in_the_way_is_not_the_remedy(
    doctor: Doctor, setting: str, reason: str | None
) -> None:
    doctor.tree.write("sys/kernel/io_uring_disabled", setting)
    doctor.has(FakeProbe(**({} if reason is None else {"io_uring": reason})))
    assert "sysctl" not in doctor.ask().stdout


def test_what_is_configured_and_cannot_be_had_is_exit_code_1(doctor: Doctor) -> None:
    file = doctor.config(
        """
        engine = { kernel_context = "ring" }
        [[volumes]]
        name = "a"
        kind = "direct"
        path = "a.img"
        [[volumes]]
        name = "b"
        path = "b.img"
        """
    )
    result = doctor.ask("--config", file)
    assert result.exit_code == 0
    assert "sda, for a, b: ring works" in result.stdout
    doctor.tree.elevator(doctor.disk, "mq-deadline")
    result = doctor.ask("--config", file)
    assert result.exit_code == 1
    assert "sda, for a, b: ring becomes off" in result.stdout
    document = doctor.document("--config", file)
    assert document["is_fulfilled"] is False
    [device] = document["devices"]
    assert (device["asked"], device["mode"], device["is_supposed"]) == ("ring", "ring", False)
    assert device["elevators"] == {"sda": "mq-deadline"}
    assert device["missing"][0]["remedy"] == "echo bfq > /sys/block/sda/queue/scheduler"


def test_priorities_of_requests_do_not_work_where_bfq_does_not_look_at_them(
    doctor: Doctor,
) -> None:
    file = doctor.config('engine = { kernel_context = "priority", driver = "io_uring" }')
    result = doctor.ask("--config", file, "direct:a.img:1M")
    assert result.exit_code == 1
    assert "sda, for a.img: priority becomes off" in result.stdout
    assert "told apart by" not in result.stdout
    assert "-> echo mq-deadline > /sys/block/sda/queue/scheduler" in result.stdout
    file = doctor.config('engine = { kernel_context = "priority", driver = "threads" }')
    result = doctor.ask("--config", file, "direct:a.img:1M")
    assert result.exit_code == 0
    assert "sda, for a.img: priority works" in result.stdout


SETS = """
    engine = {{ kernel_context = "{asked}", driver = "io_uring" }}
    volumes = [{{ name = "a", kind = "direct", path = "a.img" }}]
    devices = [{{ name = "sda", set_elevator = true }}]
"""


@pytest.mark.parametrize(("asked", "wanted"), [("ring", "bfq"), ("priority", "mq-deadline")])
def test_an_elevator_that_serve_sets_is_supposed(doctor: Doctor, asked: str, wanted: str) -> None:
    doctor.tree.elevator(doctor.disk, "kyber")
    file = doctor.config(SETS.format(asked=asked))
    result = doctor.ask("--config", file)
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[lines.index(f"sda, for a: {asked} works") + 1 :][:2] == [
        "elevator       sda: kyber",
        f"serve          sets sda to {wanted} if the kernel has that, and puts kyber back at its "
        "end",
    ]
    assert not any("echo" in line for line in lines)
    [device] = doctor.document("--config", file)["devices"]
    assert (device["sees"], device["elevators"]) == (True, {"sda": "kyber"})
    assert device["to_set"] == [
        {
            "disk": "sda",
            "was": "kyber",
            "wanted": wanted,
            "setting": "/sys/block/sda/queue/scheduler",
            "may_be_set": True,
        }
    ]


def test_an_elevator_that_suits_already_is_not_set(doctor: Doctor) -> None:
    result = doctor.ask("--config", doctor.config(SETS.format(asked="ring")))
    assert result.exit_code == 0
    assert "sda, for a: ring works" in result.stdout
    assert "serve" not in result.stdout


def test_an_elevator_is_not_set_for_what_cannot_be_had(doctor: Doctor) -> None:
    doctor.tree.elevator(doctor.disk, "kyber")
    doctor.has(FakeProbe(ring=REASON))
    result = doctor.ask("--config", doctor.config(SETS.format(asked="ring")))
    assert result.exit_code == 1
    assert "sda, for a: ring becomes off" in result.stdout
    assert "serve" not in result.stdout


def test_where_serve_sets_none_a_ring_would_be_given_its_own(doctor: Doctor) -> None:
    doctor.tree.elevator(doctor.disk, "kyber")
    result = doctor.ask("--config", doctor.config(SETS.format(asked="off")))
    assert result.exit_code == 0
    assert "sda, for a: off; ring would work\n  elevator       sda: kyber\n" in result.stdout
    assert "sets sda to none" in result.stdout


def test_an_elevator_that_this_user_may_not_set_is_exit_code_1(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor.tree.elevator(doctor.disk, "kyber")
    access = os.access

    def may(path: str | Path, *rest: int, **named: bool) -> bool:
        return not str(path).endswith("queue/scheduler") and access(path, *rest, **named)

    monkeypatch.setattr(os, "access", may)
    for asked, verdict in (("ring", "ring becomes off"), ("off", "off; ring would be off")):
        result = doctor.ask("--config", doctor.config(SETS.format(asked=asked)))
        assert result.exit_code == 1
        assert f"sda, for a: {verdict}" in result.stdout
        assert "serve          does not start: this user may not set sda to " in result.stdout


def test_a_volume_that_is_nowhere_decides_nothing_for_its_device(doctor: Doctor) -> None:
    file = doctor.config(
        """
        engine = { kernel_context = "ring", driver = "io_uring" }
        volumes = [
            { name = "a", kind = "null", size = "1M", device = "sda" },
            { name = "b", kind = "direct", path = "b.img" },
        ]
        """
    )
    result = doctor.ask("--config", file)
    assert result.exit_code == 0
    assert "sda, for a, b: ring works" in result.stdout


def test_what_nobody_has_asked_for_is_no_failure(doctor: Doctor) -> None:
    doctor.tree.elevator(doctor.disk, "none")
    result = doctor.ask("a.img:1M", "null:1M")
    assert result.exit_code == 0
    assert "sda, for a.img: off; ring would be off" in result.stdout
    assert "null:null, for null: off; ring would be off" in result.stdout


def test_a_device_of_another_name_is_asked_about_by_it(doctor: Doctor) -> None:
    file = doctor.config(
        """
        volumes = [{ name = "a", path = "a.img", device = "shelf" }]
        devices = [{ name = "shelf", kernel_context = "priority" }]
        """
    )
    [device] = doctor.document("--config", file)["devices"]
    assert (device["device"], device["asked"]) == ("shelf", "priority")


def test_without_volumes_there_is_the_general_part(doctor: Doctor) -> None:
    doctor.has(FakeProbe(io_uring=REASON, polled=REASON))
    result = doctor.ask()
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "\nName volumes, or --config FILE, to see what their devices can have.\n"
    )
    document = doctor.document()
    assert document["kernel"] == "6.1.0-test"
    assert document["refused"] == {
        "io_uring": REASON,
        "keeper": None,
        "ring": None,
        "polled": REASON,
        "ioprio": None,
    }
    assert (document["devices"], document["is_fulfilled"]) == ([], True)


def test_the_driver_is_what_the_data_plane_would_take(doctor: Doctor) -> None:
    doctor.has(FakeProbe(io_uring=REASON))
    [device] = doctor.document("a.img:1M")["devices"]
    assert "threads is in use" in device["missing"][0]["text"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x:1X",), "fairlead: '1X' is not a size; write a whole number"),
        (("null:x:0",), "size 0 is out of range"),
        (("x:1000",), "size 1000 is not a multiple of the logical block of 512 bytes"),
        (("--config", "none.toml"), "fairlead: none.toml cannot be read: no such file"),
        (("--what",), "No such option"),
    ],
)
def test_mistakes_are_exit_code_2(doctor: Doctor, words: tuple[str, ...], message: str) -> None:
    result = doctor.ask(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_path_that_cannot_be_looked_at_is_named(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "refused")

    monkeypatch.setattr("fairlead.control.kernel_doctor.find_place", refuse)
    result = doctor.ask("a.img:1M")
    assert result.exit_code == 2
    assert result.stderr == (
        "fairlead: a.img cannot be looked at: permission denied (check the path)\n"
    )


def test_an_experiment_of_somebody_else_than_root_is_refused(doctor: Doctor) -> None:
    doctor.tree.user(1000)
    file = doctor.config('engine = { kernel_context = "experimental-set-ioprio" }')
    result = doctor.ask("--config", file)
    assert result.exit_code == 2
    assert "is an experiment for root, and this is user 1000" in result.stderr


def test_scsi_devices_that_are_passed_through_have_no_elevator(doctor: Doctor) -> None:
    doctor.tree.scsi_device("2:0:0:0", wwid="naa.5000")
    document = doctor.document("sg:/dev/sg3", "iscsi://bob%s3cret@host/iqn.2026-01.example:d/0")
    found = {device["device"]: device for device in document["devices"]}
    assert list(found) == ["naa.5000", "iqn.2026-01.example:d/0"]
    for device, by in zip(found.values(), ("the sg driver", "libiscsi"), strict=True):
        [note] = device["missing"]
        assert f"the block layer's accounts, by {by}: fairlead's own scheduler" in note["text"]
    assert "s3cret" not in json.dumps(document)
