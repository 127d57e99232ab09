"""What contexts are due, as people write it: rules in a document, changes while it runs.

A rule or a change says something about some fields and nothing about the others. Fields are named
as they are written (``weight``, ``limit.iops``), here and wherever one is shown.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from fairlead.model.frozen import Model
from fairlead.model.size import SizeBytes
from fairlead.sched import settings
from fairlead.sched.device_cost import (
    BASE_NS_MAX,
    PER_KIB_NS_MAX,
    DeviceCost,
    LinearCost,
)
from fairlead.sched.settings import Priority, Rate, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIELDS: Final = (
    "weight",
    "priority",
    "limit.iops",
    "limit.bytes_per_s",
    "burst_s",
    "guarantee.iops",
    "guarantee.bytes_per_s",
    "queued_max",
)
NONE: Final = "none"
"""Takes away a limit or a guarantee that an earlier rule gives; TOML has no null."""
CONTEXT_CHARACTERS_MAX: Final = 512

KernelContextWord: TypeAlias = Literal[
    "off", "priority", "ring", "experimental-move-cgroup", "experimental-set-ioprio"
]
"""See `fairlead.dataplane.api.KernelContext`, which is the same and stands above this layer."""
Value: TypeAlias = int | float | str | None
"""Of a field; None: no such limit or guarantee."""
Source = TypeVar("Source")


def _none_word(value: object) -> object:
    return None if value == NONE else value


def _none_table(value: object) -> object:
    return {"iops": None, "bytes_per_s": None} if value in (NONE, None) else value


Iops = Annotated[int, Field(ge=1, le=settings.IOPS_MAX)]
BytesPerS = Annotated[SizeBytes, Field(ge=settings.BYTES_PER_S_MIN, le=settings.BYTES_PER_S_MAX)]
ContextPattern = Annotated[str, Field(min_length=1, max_length=CONTEXT_CHARACTERS_MAX)]


class RateChange(Model):
    """Requests and bytes per second; ``"none"`` takes one away.

    Attributes:
        iops: 1..10^9.
        bytes_per_s: 1M..1T, in bytes or with K, M, G, T (binary).
    """

    iops: Annotated[Iops | None, BeforeValidator(_none_word)] = None
    bytes_per_s: Annotated[BytesPerS | None, BeforeValidator(_none_word)] = None


class ShareChange(Model):
    """Changes what contexts are due. What it does not say stays as it is.

    Attributes:
        weight: share while others want the device too, 1..1000.
        priority: ``urgent`` before ``normal`` before ``idle``.
        limit: never more than this.
        burst_s: how far a context may run ahead of its limit after a pause, 0..10 seconds of it.
        guarantee: at least this, whatever the weights.
        queued_max: requests that may wait, 1..8192; the next is answered TASK SET FULL.
    """

    weight: Annotated[int, Field(ge=1, le=settings.WEIGHT_MAX)] = 1
    priority: Literal["urgent", "normal", "idle"] = "normal"
    limit: Annotated[RateChange, BeforeValidator(_none_table)] = RateChange()
    burst_s: Annotated[float, Field(ge=0, le=settings.BURST_S_MAX)] = settings.DEFAULT_BURST_S
    guarantee: Annotated[RateChange, BeforeValidator(_none_table)] = RateChange()
    queued_max: Annotated[int, Field(ge=1, le=settings.QUEUED_MAX)] = settings.QUEUED_MAX

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.said():
            raise ValueError(f"says nothing; there are: {', '.join(FIELDS)}")
        return self

    def said(self) -> dict[str, Value]:
        """Return the fields that it says something about, by name, in the order of `FIELDS`."""
        found: dict[str, Value] = {}
        for field in FIELDS:
            name, _, kind = field.partition(".")
            if name not in self.model_fields_set:
                continue
            value = getattr(self, name)
            if not kind:
                found[field] = value
            elif kind in value.model_fields_set:
                found[field] = getattr(value, kind)
        return found


class ShareRule(ShareChange):
    """What the contexts are due whose names match. Later rules override earlier ones by field.

    Attributes:
        contexts: a name with wildcards (``*``, ``?``, ``[seq]``), see `matches`.
    """

    contexts: ContextPattern


BaseUs = Annotated[float, Field(ge=0.001, le=BASE_NS_MAX / 1000)]
PerKibUs = Annotated[float, Field(ge=0, le=PER_KIB_NS_MAX / 1000)]


class CostConfig(Model):
    """What requests past the page cache cost a device; ``fairlead calibrate`` measures it.

    Attributes:
        read_base_us: of each read, in microseconds of the device's time: 0.001..10^6.
        read_per_kib_us: of each KiB that it reads: 0..10^4.
        write_base_us: of each write.
        write_per_kib_us: of each KiB that it writes.
    """

    read_base_us: BaseUs
    read_per_kib_us: PerKibUs
    write_base_us: BaseUs
    write_per_kib_us: PerKibUs

    def device_cost(self) -> DeviceCost:
        """Return the same in nanoseconds."""
        return DeviceCost(
            read=_line(self.read_base_us, self.read_per_kib_us),
            write=_line(self.write_base_us, self.write_per_kib_us),
        )


def _line(base_us: float, per_kib_us: float) -> LinearCost:
    return LinearCost(base_ns=round(base_us * 1000), per_kib_ns=round(per_kib_us * 1000))


class DeviceConfig(Model):
    """A backing device: what it can hold, what it is costed at, what its kernel is shown.

    Attributes:
        name: as ``fairlead serve --json`` shows it: ``vda``.
        iops: requests per second that it keeps up for good, of the kind that clients send.
        bytes_per_s: likewise.
        cost: of its requests; without it, flash as it usually is.
        kernel_context: what the kernel sees of contexts; without it, what ``engine`` says.
        set_elevator: give its disks the elevator that suits its kernel context, until the end.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    iops: Iops | None = None
    bytes_per_s: BytesPerS | None = None
    cost: CostConfig | None = None
    kernel_context: KernelContextWord | None = None
    set_elevator: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"name"}:
            raise ValueError(
                f"device {self.name!r} has no capacity; give iops, bytes_per_s or cost, which "
                "fairlead calibrate measures, or kernel_context"
            )
        return self


def matches(name: str, pattern: str) -> bool:
    """Tell whether a context's name matches a pattern as a whole, whatever the case.

    Initiator names have no case, and a rule that misses its context for a capital would be silent.
    """
    return _compiled(pattern.casefold()).match(name.casefold()) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def merge(layers: Iterable[tuple[Source, Mapping[str, Value]]]) -> dict[str, tuple[Value, Source]]:
    """Return the value of each field that some layer says, and which said it last."""
    return {field: (value, source) for source, said in layers for field, value in said.items()}


def build_settings(values: Mapping[str, Value]) -> Settings:
    """Return the settings that these fields say; a field that is not there has its default.

    Raises:
        ConfigError: a guarantee is above its limit.
    """
    plain: dict[str, Any] = {
        name: values[name] for name in ("weight", "burst_s", "queued_max") if name in values
    }
    if "priority" in values:
        plain["priority"] = Priority[str(values["priority"]).upper()]
    return Settings(**plain, limit=_rate(values, "limit"), guarantee=_rate(values, "guarantee"))


def show_settings(settings_: Settings) -> dict[str, Value]:
    """Return every field of settings by name; what `build_settings` reads back."""
    return {
        "weight": settings_.weight,
        "priority": settings_.priority.name.lower(),
        "limit.iops": settings_.limit.iops,
        "limit.bytes_per_s": settings_.limit.bytes_per_s,
        "burst_s": settings_.burst_s,
        "guarantee.iops": settings_.guarantee.iops,
        "guarantee.bytes_per_s": settings_.guarantee.bytes_per_s,
        "queued_max": settings_.queued_max,
    }


def _rate(values: Mapping[str, Value], name: str) -> Rate:
    parts: dict[str, Any] = {kind: values.get(f"{name}.{kind}") for kind in ("iops", "bytes_per_s")}
    return Rate(**parts)
