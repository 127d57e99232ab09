"""The experiments in the order of the report: what is asked, of which lines, for how long."""

from __future__ import annotations

from typing import Final

from bench.fairness.experiment import Column, Unit
from bench.kernel_contexts.block_disk import BFQ, NONE
from bench.kernel_contexts.experiment import Cell, Comparison, Measured, On
from bench.kernel_contexts.lines import (
    MOVE_CGROUP,
    OFF_FAIR,
    OFF_FIFO,
    PER_CONTEXT,
    PER_DEVICE,
    PRIORITY,
    RING,
    RING_IOPRIO,
    RING_POLLED,
    SET_IOPRIO,
    by_session,
)
from fairlead.sim.client import ClientConfig

PARTS: Final = 8
"""Of the disk with a head; two clients are at the first and the fifth, half a disk apart."""
ELEVATORS: Final = {NONE: "none", BFQ: "BFQ"}
_MB: Final = Column("mb_per_s", "MB/s in all", Unit.TIMES)
_JAIN: Final = Column("jain", "Jain", Unit.TIMES)
_BY_OFF: Final = Column("by_off", f"by {OFF_FIFO.label}", Unit.TIMES)
_IOPS: Final = Column("iops", "IOPS", Unit.COUNT)
_CPU: Final = Column("server_cpu_us", "CPU us/command", Unit.TIMES)


def readers(
    count: int, *, depth: int = 1, sessions: int = 1, weights: tuple[int, ...] = ()
) -> tuple[ClientConfig, ...]:
    """Return clients that read 128 KiB pieces one after another, as far apart as they can be."""
    return tuple(
        ClientConfig(
            name=f"part{1 + number * PARTS // count}",
            size="128K",
            access="sequential",
            depth=depth,
            sessions=sessions,
            weight=weights[number] if weights else 1,
        )
        for number in range(count)
    )


def small_readers(count: int, *, depth: int) -> tuple[ClientConfig, ...]:
    """Return clients that read 4 KiB at random places of the whole device."""
    return tuple(
        ClientConfig(name=f"reader{number}", size="4K", depth=depth)
        for number in range(1, count + 1)
    )


STREAMS: Final = Measured(
    name="streams",
    title="Two streams, half a disk apart",
    method=(
        "Two initiators read 128 KiB after 128 KiB, one at a time, half a disk apart. Where the "
        "elevator takes them for one client, the head goes to and fro for every request; where it "
        "knows them for two, it waits a little for the next request of the one before it goes to "
        "the other."
    ),
    columns=(_MB, _JAIN, _BY_OFF),
    on=On.SEEKING,
    lines=(OFF_FIFO, OFF_FAIR, RING, RING_POLLED, PRIORITY, PER_CONTEXT, PER_DEVICE),
    cells=tuple(
        Cell(case=name, elevator=elevator, clients=readers(2), seconds=2.0)
        for elevator, name in ELEVATORS.items()
    ),
    rounds=3,
    comparisons=(Comparison(figure="mb_per_s", name="by_off"),),
)

CROWD: Final = Measured(
    name="crowd",
    title="Four and eight streams",
    method="The same with more initiators, one and four requests at a time each, below BFQ.",
    columns=(_MB, _JAIN, _BY_OFF),
    on=On.SEEKING,
    lines=(OFF_FIFO, RING, PER_CONTEXT),
    cells=tuple(
        Cell(
            case=f"{count} streams, depth {depth}",
            elevator=BFQ,
            clients=readers(count, depth=depth),
            seconds=2.5,
        )
        for count in (4, 8)
        for depth in (1, 4)
    ),
    rounds=2,
    comparisons=(Comparison(figure="mb_per_s", name="by_off"),),
)

WEIGHTS: Final = Measured(
    name="weights",
    title="Weights 4 and 1",
    method=(
        "Two initiators of weights 4 and 1, half a disk apart, read 128 KiB after 128 KiB, four at "
        "a time each, below BFQ. *Off what is due*: by how much the ratio of their rates misses 4."
    ),
    columns=(
        Column("first_mb", "weight 4, MB/s", Unit.TIMES),
        Column("second_mb", "weight 1, MB/s", Unit.TIMES),
        Column("ratio", "ratio", Unit.TIMES),
        Column("due_error", "off what is due", Unit.PERCENT),
    ),
    on=On.SEEKING,
    lines=(OFF_FIFO, OFF_FAIR, RING, RING_IOPRIO, PRIORITY, MOVE_CGROUP, SET_IOPRIO),
    cells=(
        Cell(
            case="4 to 1",
            elevator=BFQ,
            clients=readers(2, depth=4, weights=(4, 1)),
            seconds=2.5,
        ),
    ),
    rounds=3,
)

GROUPING: Final = Measured(
    name="grouping",
    title="Sessions of one client",
    method=(
        "What SCST's README asks of its own grouping: an initiator reads one stream alone, by one "
        "session; then by two that take turns, as several paths do; then two initiators do that at "
        "the same time, half a disk apart. Below BFQ. SCST says: 80 MB/s "
        "alone; together 70 to 75 where the sessions of an initiator are one context, 35 to 40 or "
        "worse where each is one of its own (*by session*)."
    ),
    columns=(_MB, _JAIN),
    on=On.SEEKING,
    lines=(RING, by_session(RING), PER_CONTEXT, by_session(PER_CONTEXT)),
    cells=tuple(
        Cell(case=case, elevator=BFQ, clients=clients, seconds=2.0, options=options)
        for case, clients, options in (
            ("alone", readers(1), ()),
            ("one by two sessions", readers(1, sessions=2), ("--shared-stream",)),
            ("two by two sessions each", readers(2, sessions=2), ("--shared-stream",)),
        )
    ),
    rounds=2,
)

COST: Final = Measured(
    name="cost",
    title="CPU of a command",
    method=(
        "Reads of 4 KiB at random places of a loop device over a file in memory, by several "
        "initiators, each a context. CPU is that of the target's process, the kernel's threads "
        "that look into its rings included, for each command."
    ),
    columns=(
        _CPU,
        Column("cpu_by_off", f"by {OFF_FIFO.label}", Unit.TIMES),
        _IOPS,
        Column("iops_by_off", f"IOPS by {OFF_FIFO.label}", Unit.TIMES),
    ),
    on=On.MEMORY,
    lines=(OFF_FIFO, RING, RING_POLLED, PER_CONTEXT),
    cells=tuple(
        Cell(
            case=f"{name}, {count} x depth {depth}",
            elevator=elevator,
            clients=small_readers(count, depth=depth),
            seconds=0.8,
        )
        for elevator, name in ELEVATORS.items()
        for count in (1, 2, 4, 8)
        for depth in (8, 32)
    ),
    rounds=2,
    comparisons=(
        Comparison(figure="server_cpu_us", name="cpu_by_off"),
        Comparison(figure="iops", name="iops_by_off"),
    ),
)

LATENCY: Final = Measured(
    name="latency",
    title="Latency of one request at a time",
    method="One initiator reads 4 KiB, one at a time, from the same device.",
    columns=(
        Column("p50_us", "p50, us", Unit.MICROSECONDS),
        Column("p99_us", "p99, us", Unit.MICROSECONDS),
        Column("p50_by_off", f"p50 by {OFF_FIFO.label}", Unit.TIMES),
    ),
    on=On.MEMORY,
    lines=(OFF_FIFO, RING, RING_POLLED),
    cells=tuple(
        Cell(case=name, elevator=elevator, clients=small_readers(1, depth=1), seconds=1.0)
        for elevator, name in ELEVATORS.items()
    ),
    rounds=3,
    comparisons=(Comparison(figure="p50_us", name="p50_by_off"),),
)

SWITCH: Final = Measured(
    name="switch",
    title="What a switch costs",
    method=(
        "Four initiators read 4 KiB from the same device, eight at a time each, so that almost "
        "every command is another context's than the one before. Time on a CPU and system calls "
        "are the submitter's alone, for each command: the calls are counted in a run of their own. "
        f"*More*: than {OFF_FIFO.label}."
    ),
    columns=(
        Column("submitter_ns", "submitter, ns", Unit.COUNT),
        Column("more_ns", "more, ns", Unit.COUNT),
        Column("calls", "system calls", Unit.TIMES),
        Column("more_calls", "more calls", Unit.TIMES),
        _CPU,
        _IOPS,
    ),
    on=On.MEMORY,
    lines=(OFF_FIFO, RING, RING_POLLED, PRIORITY, MOVE_CGROUP, SET_IOPRIO),
    cells=tuple(
        Cell(
            case=name,
            elevator=elevator,
            clients=small_readers(4, depth=8),
            seconds=1.0,
            counts_calls=True,
        )
        for elevator, name in ELEVATORS.items()
        if elevator == BFQ
    ),
    rounds=2,
    comparisons=(
        Comparison(figure="submitter_ns", name="more_ns", is_difference=True),
        Comparison(figure="calls", name="more_calls", is_difference=True),
    ),
)

EXPERIMENTS: Final = {
    one.name: one for one in (STREAMS, CROWD, WEIGHTS, GROUPING, COST, LATENCY, SWITCH)
}
