"""Measuring, with a device that does as it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.calibration import WRITE_FACTOR_DISK, WRITE_FACTOR_FLASH, Step, calibrate
from fairlead.dataplane.api import LatencyUs
from fairlead.dataplane.calibration import NativeBench, Sample
from fairlead.errors import ConfigError, DataPlaneError
from fairlead.model.volume_word import parse_volume

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.dataplane.api import Driver, VolumeSpec

MIB = 1 << 20


@dataclass
class MadeUpDevice:
    """So many servers; each has a request of so many KiB for 50 us and 5 us for each KiB."""

    servers: int = 8
    write_factor: float = 1.0
    depth_max: int = 256
    driver: str = "made up"
    is_asleep: bool = False
    specs: list[VolumeSpec] = field(default_factory=list)
    loads: list[tuple[bool, bool, int, int]] = field(default_factory=list)

    def open(self, spec: VolumeSpec, driver: Driver) -> MadeUpDevice:
        assert driver == "auto"
        self.specs.append(spec)
        return self

    def measure(
        self, *, writes: bool, is_sequential: bool, length_bytes: int, depth: int, seconds: float
    ) -> Sample:
        self.loads.append((writes, is_sequential, length_bytes, depth))
        service_us = (50 + 5 * length_bytes / 1024) * (self.write_factor if writes else 1.0)
        requests = int(min(depth, self.servers) * seconds * 1e6 / service_us)
        time_us = service_us * max(depth / self.servers, 1.0)
        return Sample(
            requests=0 if self.is_asleep else requests,
            elapsed_ns=int(seconds * 1e9),
            latency_us=LatencyUs(p50=time_us, p99=2 * time_us, mean=time_us),
        )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(MIB))
    return path


def measured(device: MadeUpDevice, word: str, **options: Any) -> Any:
    return calibrate(parse_volume(word), open_bench=device.open, **options)


def test_reads_are_measured_and_nothing_is_written(image: Path) -> None:
    before = image.read_bytes()
    device = MadeUpDevice()
    found = measured(device, str(image))
    assert image.read_bytes() == before
    [spec] = device.specs
    assert (spec.kind, spec.read_only, spec.path) == ("direct", True, str(image))
    assert not any(writes for writes, *_ in device.loads)
    assert [curve.knee.depth for curve in found.curves] == [8] * 4
    # 50 us and 5 us a KiB, by eight servers.
    assert found.cost.read.base_ns == pytest.approx(6250, rel=0.01)
    assert found.cost.read.per_kib_ns == pytest.approx(625, rel=0.01)
    assert found.write_factor in (WRITE_FACTOR_FLASH, WRITE_FACTOR_DISK)
    assert found.cost.write.base_ns == found.cost.read.base_ns * found.write_factor
    assert found.iops == pytest.approx(114_000 / found.write_factor, rel=0.1)


def test_a_measurement_ends_when_more_at_a_time_brings_nothing(image: Path) -> None:
    device = MadeUpDevice(servers=2)
    measured(device, str(image))
    assert [depth for _, _, _, depth in device.loads] == [1, 2, 4, 8] * 4


def test_no_more_at_a_time_than_the_driver_has(image: Path) -> None:
    device = MadeUpDevice(servers=100, depth_max=8)
    measured(device, str(image))
    assert {depth for _, _, _, depth in device.loads} == {1, 2, 4, 8}


def test_writes_are_measured_where_that_is_said(image: Path) -> None:
    device = MadeUpDevice(write_factor=4.0)
    found = measured(device, str(image), overwrite=True)
    assert not device.specs[0].read_only
    assert found.write_factor is None
    assert found.cost.write.base_ns == pytest.approx(4 * found.cost.read.base_ns, rel=0.01)
    assert found.iops == pytest.approx(114_000 / 4, rel=0.1)
    assert found.bytes_per_s == pytest.approx(8 * (128 << 10) / (690e-6 * 4), rel=0.1)


def test_a_file_with_holes_is_filled_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.truncate(path, 2 * MIB)
    with pytest.raises(ConfigError, match=r"100% of .* was never written.*--overwrite"):
        measured(MadeUpDevice(), str(path))
    told: list[Step] = []
    measured(MadeUpDevice(), str(path), overwrite=True, tell=told.append)
    assert path.stat().st_blocks * 512 >= 2 * MIB
    assert any("filling" in step.what and "100%" in step.what for step in told)


def test_a_file_can_be_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    with pytest.raises(ConfigError, match=r"does not exist .*--overwrite .*new.img:1M"):
        measured(MadeUpDevice(), f"{path}:1M")
    assert not path.exists()
    assert measured(MadeUpDevice(), f"{path}:1M", overwrite=True).size_bytes == MIB
    assert path.stat().st_size == MIB


def test_what_somebody_may_want_is_not_overwritten(image: Path) -> None:
    with image.open("r+b") as file:
        file.write(b"XFSB")
    before = image.read_bytes()
    with pytest.raises(ConfigError, match=r"holds an XFS file system.*wipefs"):
        measured(MadeUpDevice(), str(image), overwrite=True)
    assert image.read_bytes() == before
    measured(MadeUpDevice(), str(image))


@pytest.mark.parametrize("word", ["null:1G", "memory:64M"])
def test_there_has_to_be_a_device(word: str) -> None:
    with pytest.raises(ConfigError, match=r"have no device.*direct:/dev/sdb"):
        measured(MadeUpDevice(), word)


def test_no_answer_in_the_time_is_no_rate(image: Path) -> None:
    with pytest.raises(ConfigError, match=r"0.1 s are too short.*--seconds 5"):
        measured(MadeUpDevice(is_asleep=True), str(image), seconds=0.1)


def test_what_is_left_is_told_and_shrinks(image: Path) -> None:
    told: list[Step] = []
    measured(MadeUpDevice(), str(image), seconds=2.0, tell=told.append)
    left = [step.left_s for step in told if step.left_s is not None]
    assert left == sorted(left, reverse=True)
    assert left[0] == 4 * 9 * 2.0
    assert [step.what for step in told if step.is_new] == [
        "4 KiB random reads, 1 at a time",
        "128 KiB random reads, 1 at a time",
        "4 KiB sequential reads, 1 at a time",
        "128 KiB sequential reads, 1 at a time",
    ]


@pytest.mark.quiet
def test_the_data_planes_own_driver_measures(image: Path) -> None:
    device = MadeUpDevice()
    measured(device, str(image))
    bench = NativeBench(device.specs[0], "threads")
    assert (bench.driver, bench.depth_max) == ("threads", 8)
    sample = bench.measure(
        writes=False, is_sequential=False, length_bytes=4096, depth=2, seconds=0.05
    )
    assert sample.requests > 0
    assert sample.elapsed_ns <= 10**9
    assert 0 < sample.latency_us.p50 <= sample.latency_us.p99
    with pytest.raises(DataPlaneError, match="opened read-only"):
        bench.measure(writes=True, is_sequential=False, length_bytes=4096, depth=1, seconds=0.05)


def test_a_scsi_device_that_is_passed_through_is_not_measured() -> None:
    with pytest.raises(ConfigError, match=r"sg volumes cannot be measured \(measure its block dev"):
        measured(MadeUpDevice(), "sg:/dev/sg3")
