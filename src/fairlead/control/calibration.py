"""Finds out what requests cost a volume's device, by keeping it busy while nobody else does.

What is measured is the device and not the page cache in front of it: also a volume that is served
through the page cache is read past it here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fairlead.control.content import fill, recognise, written_part
from fairlead.control.volumes import prepare_volume
from fairlead.dataplane.calibration import NativeBench
from fairlead.errors import ConfigError
from fairlead.model.size import format_size
from fairlead.sched.calibration import (
    DEPTHS,
    LARGE_BYTES,
    SMALL_BYTES,
    Curve,
    Load,
    Point,
    fit,
    floor_of,
    is_saturated,
)
from fairlead.sched.device_cost import DeviceCost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fairlead.control.volumes import PreparedVolume
    from fairlead.dataplane.api import Driver, VolumeSpec
    from fairlead.dataplane.calibration import Bench
    from fairlead.model.volume import VolumeConfig
    from fairlead.sched.calibration import Operation

WRITE_FACTOR_FLASH: Final = 3.0
"""What a write costs, in reads, on flash that nobody has written to for measuring: erasing and
moving what is still in use comes later, but it comes."""
WRITE_FACTOR_DISK: Final = 1.0
"""The same on a turning disk: the way there is the same."""
# Less than this must have been written for reads to say something about the device.
_WRITTEN_PART_MIN: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is being done.

    Attributes:
        what: in words.
        is_new: it was something else before.
        left_s: at most so many seconds are left of everything; None where nobody knows.
    """

    what: str
    is_new: bool
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was found.

    Attributes:
        device: name of the backing device, as ``fairlead serve --json`` shows it.
        place: real path of what was measured.
        size_bytes: so much of it.
        driver: by which driver.
        seconds: for so long each.
        is_rotational: seeking costs; None when the kernel does not say.
        curves: what was measured.
        cost: of reads and of writes.
        write_factor: writes were not measured and are taken to cost so many reads; None: they were.
        iops: requests of 4 KiB at random that the device does in a second, the slower direction.
        bytes_per_s: what it moves in a second in requests of 128 KiB at random, likewise.
    """

    device: str
    place: str
    size_bytes: int
    driver: str
    seconds: float
    is_rotational: bool | None
    curves: tuple[Curve, ...]
    cost: DeviceCost
    write_factor: float | None
    iops: int
    bytes_per_s: int


def calibrate(
    volume: VolumeConfig,
    *,
    overwrite: bool = False,
    seconds: float = 1.0,
    driver: Driver = "auto",
    tell: Callable[[Step], None] = lambda _: None,
    open_bench: Callable[[VolumeSpec, Driver], Bench] = NativeBench,
) -> Calibration:
    """Measure a volume. Takes minutes; the volume must be idle, and is locked meanwhile.

    Args:
        volume: what to measure; of kind ``file`` or ``direct``.
        overwrite: measure writes, too: all that is on the volume is lost. A file that has holes,
            or is not there yet, is filled first.
        seconds: for each point of a curve.
        driver: how I/O is submitted.
        tell: hears what is being done.
        open_bench: opens what measures.

    Raises:
        ConfigError: the volume cannot be measured; says why and the way out.
        DataPlaneError: a request failed, or the device does not answer.
    """
    prepared = _prepare(volume, overwrite=overwrite)
    bench = open_bench(prepared.spec, driver)
    _look_at_content(prepared, tell, overwrite=overwrite)
    operations: tuple[Operation, ...] = ("read", "write") if overwrite else ("read",)
    loads = [
        Load(operation=operation, is_sequential=is_sequential, length_bytes=length_bytes)
        for operation in operations
        for is_sequential in (False, True)
        for length_bytes in (SMALL_BYTES, LARGE_BYTES)
    ]
    depths = [depth for depth in DEPTHS if depth <= bench.depth_max]
    curves = []
    for index, load in enumerate(loads):
        later_s = (len(loads) - index - 1) * len(depths) * seconds
        curve = _measure(bench, load, depths, seconds=seconds, later_s=later_s, tell=tell)
        curves.append(curve)
    return _concluded(prepared, bench.driver, seconds, curves)


def load_words(load: Load) -> str:
    """Return a load in words: ``4 KiB random reads``."""
    pattern = "sequential" if load.is_sequential else "random"
    return f"{load.length_bytes >> 10} KiB {pattern} {load.operation}s"


def _prepare(volume: VolumeConfig, *, overwrite: bool) -> PreparedVolume:
    path = volume.path
    if volume.is_pass_through:
        raise ConfigError(
            f"{volume.kind} volumes cannot be measured",
            remedy="measure its block device, if it has one: fairlead calibrate direct:/dev/sdb",
        )
    if path is None:
        raise ConfigError(
            f"{volume.kind} volumes have no device that could be measured",
            remedy="name a file or a block device: fairlead calibrate direct:/dev/sdb",
        )
    if not overwrite and not os.path.lexists(path):
        raise ConfigError(
            f"{path} does not exist",
            remedy="name a volume with data, or let one be made and filled: "
            f"--overwrite {path}:{format_size(volume.size or 4 << 30)}",
        )
    if overwrite and volume.read_only:
        raise ConfigError(f"{path} is read-only", remedy="leave out --overwrite")
    changes: dict[str, Any] = {"kind": "direct", "read_only": not overwrite}
    try:
        return prepare_volume(volume.model_copy(update=changes))
    except ConfigError as error:
        if "O_DIRECT" not in error.reason:
            raise
        raise ConfigError(
            f"the file system of {path} does not take O_DIRECT, and through the page cache memory "
            "would be measured",
            remedy="measure a volume elsewhere on the device",
        ) from None


def _look_at_content(
    prepared: PreparedVolume, tell: Callable[[Step], None], *, overwrite: bool
) -> None:
    """Refuse to destroy what somebody may want, and to measure what is not there."""
    path, size_bytes = prepared.place, prepared.spec.size_bytes
    try:
        found = recognise(path) if overwrite else None
        if found is not None:
            raise ConfigError(
                f"{path} holds {found}, and --overwrite would destroy it",
                remedy=f"leave out --overwrite, or, if it may be lost: wipefs --all {path}",
            )
        part = written_part(path, size_bytes)
        if part >= _WRITTEN_PART_MIN:
            return
        if not overwrite:
            raise ConfigError(
                f"{1 - part:.0%} of {path} was never written, and reading that does not touch the "
                "device",
                remedy="name a volume with data, or have this one overwritten: --overwrite",
            )
        what = f"filling {path}"
        tell(Step(what=what, is_new=True, left_s=None))

        def tell_done(done_bytes: int) -> None:
            done = f"{what}: {done_bytes / size_bytes:.0%} of {format_size(size_bytes)}"
            tell(Step(what=done, is_new=False, left_s=None))

        fill(path, size_bytes, tell_done)
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or str(error)).lower()}",
            remedy="check the volume and the room on its device",
        ) from error


def _measure(
    bench: Bench,
    load: Load,
    depths: Sequence[int],
    *,
    seconds: float,
    later_s: float,
    tell: Callable[[Step], None],
) -> Curve:
    points: list[Point] = []
    for index, depth in enumerate(depths):
        if is_saturated(points):
            break
        what = f"{load_words(load)}, {depth} at a time"
        left_s = later_s + (len(depths) - index) * seconds
        tell(Step(what=what, is_new=depth == depths[0], left_s=left_s))
        sample = bench.measure(
            writes=load.operation == "write",
            is_sequential=load.is_sequential,
            length_bytes=load.length_bytes,
            depth=depth,
            seconds=seconds,
        )
        if not sample.requests or not sample.elapsed_ns:
            raise ConfigError(
                f"{seconds:g} s are too short: no {load.operation} of "
                f"{load.length_bytes >> 10} KiB came back in time",
                remedy=f"give each measurement longer: --seconds {max(round(seconds * 5), 5)}",
            )
        points.append(
            Point(
                depth=depth,
                iops=sample.requests * 1e9 / sample.elapsed_ns,
                p50_us=sample.latency_us.p50,
                p99_us=sample.latency_us.p99,
                mean_us=sample.latency_us.mean,
            )
        )
    return Curve(load=load, points=tuple(points))


def _concluded(
    prepared: PreparedVolume, driver: str, seconds: float, curves: Sequence[Curve]
) -> Calibration:
    at_random = {
        (curve.load.operation, curve.load.length_bytes): curve
        for curve in curves
        if not curve.load.is_sequential
    }
    small, large = at_random["read", SMALL_BYTES], at_random["read", LARGE_BYTES]
    read = fit(small, large)
    iops, bytes_per_s = [small.knee.iops], [large.bytes_per_s]
    factor = None
    if ("write", SMALL_BYTES) in at_random:
        small, large = at_random["write", SMALL_BYTES], at_random["write", LARGE_BYTES]
        write = fit(small, large)
        iops.append(small.knee.iops)
        bytes_per_s.append(large.bytes_per_s)
    else:
        is_disk = prepared.backing.is_rotational
        factor = WRITE_FACTOR_DISK if is_disk else WRITE_FACTOR_FLASH
        write = read.times(factor)
        iops.append(iops[0] / factor)
        bytes_per_s.append(bytes_per_s[0] / factor)
    return Calibration(
        device=prepared.spec.device,
        place=prepared.place,
        size_bytes=prepared.spec.size_bytes,
        driver=driver,
        seconds=seconds,
        is_rotational=prepared.backing.is_rotational,
        curves=tuple(curves),
        cost=DeviceCost(read=read, write=write),
        write_factor=factor,
        iops=floor_of(iops),
        bytes_per_s=floor_of(bytes_per_s),
    )
