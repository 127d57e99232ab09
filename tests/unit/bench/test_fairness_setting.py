"""From scenarios to documents and load programs; and what is borrowed from the kernel."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from bench.fairness import kernel_io, sample, setting
from bench.fairness.experiments import EXPERIMENTS
from fairlead.model.config import Config
from fairlead.sim.client import ClientConfig

if TYPE_CHECKING:
    from pathlib import Path

SCENARIOS = sorted(path.stem for path in setting.SCENARIOS.glob("*.toml"))


def option(options: list[str], name: str) -> str:
    return next(part.partition("=")[2] for part in options if part.startswith(f"--{name}="))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("scheduler", ["fair", "fifo"])
def test_every_scenario_becomes_a_valid_document(name: str, scheduler: str) -> None:
    scenario = setting.load_scenario(name)
    volume = setting.simulated_volume(scenario)
    text = setting.document(volume, scenario.clients, scheduler=scheduler)
    config = Config.model_validate(tomllib.loads(text))
    assert config.engine.scheduler == scheduler
    assert config.volumes[0].model == scenario.device
    assert [rule.weight for rule in config.shares] == [c.weight for c in scenario.clients]


def test_what_a_client_is_due_is_in_its_rule() -> None:
    scenario = setting.load_scenario("guarantee")
    text = setting.document(setting.null_volume(), scenario.clients, scheduler="fair")
    rule = Config.model_validate(tomllib.loads(text)).shares[0]
    assert rule.guarantee.iops == 4000
    assert rule.limit.iops is None
    assert rule.contexts == setting.initiator_name("guaranteed") + "*"


def test_what_a_client_sends_is_in_its_options() -> None:
    client = ClientConfig(name="a", size="4K", depth=7, sessions=3, read_percent=70)
    options = setting.load_options(client, run_s=4)
    assert option(options, "initiator") == setting.initiator_name("a")
    assert option(options, "size") == "4096=1"
    assert (option(options, "depth"), option(options, "sessions")) == ("7", "3")
    assert option(options, "read-share") == "70"
    assert float(option(options, "seconds")) == 4


def test_who_comes_later_and_leaves_earlier_is_told_so() -> None:
    client = ClientConfig(name="a", start_s=1, stop_s=2.5)
    options = setting.load_options(client, run_s=3)
    assert float(option(options, "delay")) == 1
    assert float(option(options, "seconds")) == 1.5


def test_a_mix_of_sizes_is_one_option() -> None:
    client = ClientConfig.model_validate({"name": "a", "size": {"4K": 4, "1M": 1}})
    assert option(setting.load_options(client, run_s=1), "size") == "4096=4,1048576=1"


def test_only_the_fair_scheduler_cuts() -> None:
    """On ssd-100k four small reads are 320 us, and 16 KiB 296 us."""
    device = setting.load_scenario("weights").device_parameters
    assert sample.piece_bytes(device, "fair") == 16384
    assert sample.piece_bytes(device, "fifo") is None


def test_windows_are_seconds_and_parts_of_short_runs() -> None:
    assert (sample.window_s(8), sample.window_s(1)) == (1.0, 0.25)
    assert sample.interval_s(8) * sample.window_intervals() == pytest.approx(1)


def test_every_experiment_says_what_it_does() -> None:
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name
        assert experiment.method.endswith(".")
        assert experiment.columns


def test_the_elevator_in_brackets_is_the_one_in_use() -> None:
    assert kernel_io.parse_elevators("none [mq-deadline] bfq\n") == (
        "mq-deadline",
        ("none", "mq-deadline", "bfq"),
    )
    assert kernel_io.parse_elevators("[none]\n") == ("none", ("none",))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder that looks like a disk of /sys; it keeps what is written, brackets or not."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "scheduler").write_text("none [mq-deadline] bfq\n")
    return tmp_path


def test_an_elevator_is_given_back_also_after_a_failure(disk: Path) -> None:
    file = disk / "queue" / "scheduler"

    def fail() -> None:
        with kernel_io.elevator(disk, "bfq"):
            assert file.read_text() == "bfq"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert file.read_text() == "mq-deadline"


def test_an_elevator_that_is_not_there_is_named(disk: Path) -> None:
    with (
        pytest.raises(kernel_io.KernelIoError, match="no elevator cfq; there are: none, mq-dead"),
        kernel_io.elevator(disk, "cfq"),
    ):
        pass
    assert (disk / "queue" / "scheduler").read_text().startswith("none [mq-deadline]")


def test_a_disk_without_a_choice_is_named(tmp_path: Path) -> None:
    with pytest.raises(kernel_io.KernelIoError, match="no elevator to choose"):
        kernel_io.elevators_of(tmp_path)


@pytest.mark.parametrize("of_version_1", [True, False])
def test_a_control_group_that_cannot_have_a_weight_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, of_version_1: bool
) -> None:
    monkeypatch.setattr(kernel_io, "_CGROUPS", tmp_path)
    root = tmp_path / "blkio" if of_version_1 else tmp_path
    root.mkdir(exist_ok=True)
    if of_version_1:
        (root / "cgroup.procs").touch()
    # A real one has the file from the beginning, and refuses where there is no BFQ.
    monkeypatch.setattr("pathlib.Path.write_text", _refuse)
    with (
        pytest.raises(kernel_io.KernelIoError, match="no I/O weight"),
        kernel_io.weighted_cgroup("ours", weight=100),
    ):
        pass
    assert not (root / "ours").exists()


def _refuse(*_: object) -> int:
    raise PermissionError("no")
