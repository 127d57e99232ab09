"""What ``fairlead calibrate`` prints: a table, sentences, a block to paste. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from fairlead.control.calibration import load_words
from fairlead.model.size import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.control.calibration import Calibration
    from fairlead.sched.calibration import Point
    from fairlead.sched.device_cost import LinearCost

_COLUMNS: Final = (
    "load",
    "alone, us\np50/p99",
    "knee\ndepth",
    "IOPS\nthere",
    "MB/s\nthere",
    "us there\np50/p99",
)


def calibration_table(found: Calibration) -> Table:
    """Return a row for each load: with one request at a time, and at the knee."""
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for heading in _COLUMNS:
        table.add_column(heading, justify="left" if heading == "load" else "right", no_wrap=True)
    for curve in found.curves:
        knee = curve.knee
        table.add_row(
            load_words(curve.load),
            _times(curve.points[0]),
            str(knee.depth),
            f"{knee.iops:,.0f}",
            f"{curve.bytes_per_s / 1e6:,.1f}",
            _times(knee),
        )
    return table


def calibration_words(found: Calibration) -> Iterator[str]:
    """Say what was measured and what it means."""
    yield (
        f"{found.device}, by {format_size(found.size_bytes)} of {found.place}, with {found.driver} "
        f"past the page cache, {found.seconds:g} s for each depth"
    )
    yield f"a read costs the device {_line_words(found.cost.read)}"
    yield f"a write costs the device {_line_words(found.cost.write)}"
    if found.write_factor is not None:
        reads = "a read" if found.write_factor == 1 else f"{found.write_factor:g} reads"
        yield (
            "writes were not measured, because that destroys what is on the volume: each is taken "
            f"to cost as much as {reads}; --overwrite measures them"
        )


def device_block(found: Calibration) -> str:
    """Return the ``[[devices]]`` table for the configuration."""
    read, write = found.cost.read, found.cost.write
    direction = "reads and writes" if found.write_factor is None else "reads, and writes as assumed"
    lines = [
        "[[devices]]",
        f"name = {json.dumps(found.device)}",
        f"iops = {found.iops}  # 4 KiB at random, the slower of {direction}",
        f"bytes_per_s = {found.bytes_per_s}  # 128 KiB at random, likewise",
        f"cost.read_base_us = {_us(read.base_ns)}",
        f"cost.read_per_kib_us = {_us(read.per_kib_ns)}",
        f"cost.write_base_us = {_us(write.base_ns)}",
        f"cost.write_per_kib_us = {_us(write.per_kib_ns)}",
    ]
    return "\n".join(lines)


def calibration_document(found: Calibration) -> dict[str, Any]:
    """Return everything as JSON types."""
    document = asdict(found)
    curves = [
        {
            **asdict(curve.load),
            "knee": asdict(curve.knee),
            "points": list(map(asdict, curve.points)),
        }
        for curve in found.curves
    ]
    return {**document, "curves": curves, "toml": device_block(found)}


def _line_words(line: LinearCost) -> str:
    return (
        f"{_us(line.base_ns)} us and {_us(line.per_kib_ns)} us for each KiB: "
        f"{line.of(4096) / 1000:,.1f} us for 4 KiB, {line.of(128 << 10) / 1000:,.1f} us for 128 KiB"
    )


def _us(ns: int) -> str:
    """Exactly, and as TOML wants a float."""
    whole, part = divmod(ns, 1000)
    return f"{whole}." + (f"{part:03}".rstrip("0") or "0")


def _times(point: Point) -> str:
    return f"{point.p50_us:,.0f}/{point.p99_us:,.0f}"
