"""Measures a device with the data plane's own driver. Nothing else of the data plane runs then."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from fairlead.dataplane.api import LatencyUs
from fairlead.errors import DataPlaneError

if TYPE_CHECKING:
    from fairlead.dataplane.api import Driver, VolumeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What came of one measurement.

    Attributes:
        requests: so many came back,
        elapsed_ns: in this time.
        latency_us: how long each took.
    """

    requests: int
    elapsed_ns: int
    latency_us: LatencyUs


class Bench(Protocol):
    """An open volume that can be measured, locked against everybody else."""

    @property
    def driver(self) -> str:
        """How I/O is submitted: ``io_uring`` or ``threads``."""
        ...

    @property
    def depth_max(self) -> int:
        """Requests that a device can have at a time."""
        ...

    def measure(
        self,
        *,
        writes: bool,
        is_sequential: bool,
        length_bytes: int,
        depth: int,
        seconds: float,
    ) -> Sample:
        """Keep so many requests in flight for this time. Waits; a signal ends it.

        Args:
            writes: destroys what is there.
            is_sequential: one request begins where the one before it ends; otherwise anywhere.
            length_bytes: of each request, whole pages of 4 KiB, at most 1 MiB.
            depth: requests at a time, 1..`depth_max`.
            seconds: for so long; an eighth of it is for warming up.

        Raises:
            DataPlaneError: a request failed, or the device does not answer.
        """
        ...


class NativeBench:
    """`Bench` over the extension."""

    def __init__(self, spec: VolumeSpec, driver: Driver) -> None:
        # Here and not above: everything but measuring and serving works without the extension.
        from fairlead import _dataplane  # noqa: PLC0415

        try:
            self._calibration = _dataplane.Calibration(asdict(spec), driver)
        except RuntimeError as error:
            raise DataPlaneError(str(error)) from None

    @property
    def driver(self) -> str:
        """See `Bench.driver`."""
        return self._calibration.driver

    @property
    def depth_max(self) -> int:
        """See `Bench.depth_max`."""
        return self._calibration.depth_max

    def measure(
        self,
        *,
        writes: bool,
        is_sequential: bool,
        length_bytes: int,
        depth: int,
        seconds: float,
    ) -> Sample:
        """See `Bench.measure`."""
        try:
            sample = self._calibration.measure(
                writes=writes,
                is_sequential=is_sequential,
                length_bytes=length_bytes,
                depth=depth,
                seconds=seconds,
            )
        except RuntimeError as error:
            raise DataPlaneError(str(error)) from None
        p50, p99, mean = sample.pop("latency_us")
        return Sample(**sample, latency_us=LatencyUs(p50=p50, p99=p99, mean=mean))
