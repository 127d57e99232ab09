"""A client of a scenario, as a person describes it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fairlead.errors import ConfigError
from fairlead.model.frozen import Model
from fairlead.model.size import SizeBytes, check_size, format_size, parse_size
from fairlead.sched.settings import (
    DEFAULT_BURST_S,
    QUEUED_MAX,
    WEIGHT_MAX,
    Priority,
    Rate,
    Settings,
)

SECONDS_MAX: Final = 3600.0
LENGTH_MAX_BYTES: Final = 16 << 20
"""The longest request."""
ALIGNMENT_BYTES: Final = 512
IN_FLIGHT_MAX: Final = 65_536
"""Requests that a client may have outstanding, all its sessions together."""

ClientName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _read_mix(value: object) -> object:
    """Read ``"4K"`` or ``{"4K" = 70, "64K" = 30}`` as lengths and their weights."""
    if isinstance(value, dict):
        if not value:
            raise ValueError('no size; write size = "4K" or size = { "4K" = 70, "64K" = 30 }')
        mix = [(parse_size(str(size)), weight) for size, weight in value.items()]
    elif isinstance(value, str):
        mix = [(parse_size(value), 1)]
    elif isinstance(value, int) and not isinstance(value, bool):
        mix = [(check_size(value), 1)]
    else:
        return value
    for length_bytes, weight in mix:
        if length_bytes % ALIGNMENT_BYTES or length_bytes > LENGTH_MAX_BYTES:
            raise ValueError(
                f"no request is {format_size(length_bytes)} long; "
                f"take multiples of {ALIGNMENT_BYTES} up to {format_size(LENGTH_MAX_BYTES)}"
            )
        if not isinstance(weight, int) or isinstance(weight, bool) or weight < 1:
            raise ValueError(f"{weight!r} says not how often; write a whole number from 1")
    return tuple(mix)


SizeMix = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_read_mix)]
"""Lengths of requests in bytes, and how often each comes, as a weight."""


class RateConfig(Model):
    """A limit or a guarantee; None: not of this kind. See `fairlead.sched.settings.Rate`."""

    iops: int | None = None
    bytes_per_s: SizeBytes | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.iops is None and self.bytes_per_s is None:
            raise ValueError("says no rate; write iops, bytes_per_s or both")
        try:
            self.rate()
        except ConfigError as error:
            raise ValueError(f"{error.reason}; {error.remedy}") from None
        return self

    def rate(self) -> Rate:
        """Return it as the scheduler takes it."""
        return Rate(iops=self.iops, bytes_per_s=self.bytes_per_s)


class BurstConfig(Model):
    """Times of work and of silence, in turn, from the client's start on."""

    on_ms: Annotated[int, Field(ge=1, le=3_600_000)]
    off_ms: Annotated[int, Field(ge=1, le=3_600_000)]


class ClientConfig(Model):
    """One client, or many that are alike.

    Attributes:
        name: letters, digits, ``.``, ``_``, ``-``, at most 64.
        count: so many clients of this kind, 1..100000.
        depth: closed loop: requests outstanding at a time in each session; 0: connected and idle.
            32 by default.
        requests_per_s: open loop in place of depth: requests come at this rate, answered or not.
        arrivals: of an open loop: ``even``, or ``random`` (a Poisson process).
        sessions: each has its own depth; with grouping ``session`` each is a context, too.
        turn_around_us: closed loop: from an answer to the next request, 1..10^7.
        access: ``random`` over the whole device, or ``sequential``, all sessions in one stream.
        position: where on the device a sequential client begins, 0 to below 1; by default clients
            are spread evenly.
        size: of requests, multiples of 512 up to 16M: ``"4K"``, or ``{ "4K" = 70, "64K" = 30 }``.
        read_percent: reads among the requests, 0..100; the others are writes.
        start_s: when it begins.
        stop_s: when it ends; None: with the simulation.
        burst: works and pauses in turn.
        weight, priority, limit, guarantee, burst_s, queued_max: what it is due, see
            `fairlead.sched.settings.Settings`.
    """

    name: ClientName
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    depth: Annotated[int, Field(ge=0, le=IN_FLIGHT_MAX)] | None = None
    requests_per_s: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    arrivals: Literal["even", "random"] = "even"
    sessions: Annotated[int, Field(ge=1, le=1024)] = 1
    turn_around_us: Annotated[int, Field(ge=1, le=10_000_000)] = 30
    access: Literal["random", "sequential"] = "random"
    position: Annotated[float, Field(ge=0, lt=1)] | None = None
    size: SizeMix = ((4096, 1),)
    read_percent: Annotated[int, Field(ge=0, le=100)] = 100
    start_s: Annotated[float, Field(ge=0, le=SECONDS_MAX)] = 0.0
    stop_s: Annotated[float, Field(gt=0, le=SECONDS_MAX)] | None = None
    burst: BurstConfig | None = None
    weight: Annotated[int, Field(ge=1, le=WEIGHT_MAX)] = 1
    priority: Literal["urgent", "normal", "idle"] = "normal"
    limit: RateConfig | None = None
    guarantee: RateConfig | None = None
    burst_s: Annotated[float, Field(ge=0, le=10)] = DEFAULT_BURST_S
    queued_max: Annotated[int, Field(ge=1, le=QUEUED_MAX)] = QUEUED_MAX

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.depth is not None and self.requests_per_s is not None:
            raise ValueError(
                "depth and requests_per_s are two kinds of client; "
                "keep depth (closed loop) or requests_per_s (open loop)"
            )
        if self.requests_per_s is None and self.arrivals == "random":
            raise ValueError("arrivals are of an open loop; add requests_per_s")
        if self.stop_s is not None and self.stop_s <= self.start_s:
            raise ValueError(
                f"stops at {self.stop_s:g} s, before it starts at {self.start_s:g} s; swap them"
            )
        if self.outstanding_max > IN_FLIGHT_MAX:
            raise ValueError(
                f"{self.sessions} sessions of depth {self.depth} are {self.outstanding_max} "
                f"requests; at most {IN_FLIGHT_MAX} together"
            )
        if self.position is not None and self.access == "random":
            raise ValueError(
                'position is where a stream begins; add access = "sequential" or remove it'
            )
        try:
            self.settings()
        except ConfigError as error:
            raise ValueError(f"{error.reason}; {error.remedy}") from None
        return self

    @property
    def is_idle(self) -> bool:
        """Whether it never asks for anything."""
        return self.depth == 0

    @property
    def outstanding_max(self) -> int:
        """Requests of a closed loop, all sessions together."""
        depth = 32 if self.depth is None else self.depth
        return depth * self.sessions

    def settings(self) -> Settings:
        """Return what each of its contexts is due."""
        chosen: dict[str, Any] = {
            name: rate.rate()
            for name, rate in (("limit", self.limit), ("guarantee", self.guarantee))
            if rate is not None
        }
        return Settings(
            weight=self.weight,
            priority=Priority[self.priority.upper()],
            burst_s=self.burst_s,
            queued_max=self.queued_max,
            **chosen,
        )
