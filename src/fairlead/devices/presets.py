"""Devices by name, and in one word: ``PRESET[,key=value...]``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from fairlead.devices.buffered_ssd import BufferedSsdParameters
from fairlead.devices.disk import DiskParameters
from fairlead.devices.ssd import SsdParameters
from fairlead.model.document import explain_validation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fairlead.devices.interface import DeviceParameters

_G: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Preset:
    """A device and what it stands for."""

    parameters: DeviceParameters
    what: str


PRESETS: Final[dict[str, Preset]] = {
    "ssd-100k": Preset(
        SsdParameters(
            size=1024 * _G, channels=8, base_us=8, read_us=80, write_us=160, flush_us=200
        ),
        "flash, 100,000 reads of 4 KiB a second",
    ),
    "ssd-20k": Preset(
        SsdParameters(
            size=1024 * _G, channels=8, base_us=40, read_us=400, write_us=800, flush_us=1000
        ),
        "the same, five times slower",
    ),
    "ssd-gc": Preset(
        BufferedSsdParameters(
            size=1024 * _G,
            channels=8,
            base_us=8,
            read_us=80,
            write_us=20,
            flush_us=200,
            buffer=64 << 20,
            drain_mb_per_s=200,
            gc_every=256 << 20,
            gc_ms=20,
            gc_channels=4,
        ),
        "flash with a write buffer and garbage collection",
    ),
    "hdd-90": Preset(
        DiskParameters(
            size=1000 * _G,
            mb_per_s=90,
            revolution_us=8333,
            track_us=800,
            average_us=8500,
            full_us=18_000,
        ),
        "a SATA disk of 2008",
    ),
    "hdd-250": Preset(
        DiskParameters(
            size=4000 * _G,
            mb_per_s=250,
            revolution_us=8333,
            track_us=800,
            average_us=8200,
            full_us=17_000,
        ),
        "a nearline disk",
    ),
    "hdd-15k": Preset(
        DiskParameters(
            size=300 * _G,
            mb_per_s=150,
            revolution_us=4000,
            track_us=300,
            average_us=3300,
            full_us=7000,
        ),
        "a fast disk of a server",
    ),
    "hdd-54": Preset(
        DiskParameters(
            size=320 * _G,
            mb_per_s=60,
            revolution_us=11_100,
            track_us=1000,
            average_us=12_000,
            full_us=20_000,
        ),
        "a laptop's disk",
    ),
}


def parse_device(text: str) -> DeviceParameters:
    """Read a device from one word: ``ssd-20k`` or ``ssd-20k,channels=4,read_us=500``.

    Raises:
        ValueError: says what is wrong, then, behind a semicolon, what would be right.
    """
    name, *changes = [part.strip() for part in text.split(",")]
    if name not in PRESETS:
        raise ValueError(f"no device {name!r}; {_offer(name, PRESETS)}")
    preset = PRESETS[name].parameters
    values: dict[str, str] = {}
    for change in changes:
        key, equals, value = (part.strip() for part in change.partition("="))
        if not equals or not key or not value:
            raise ValueError(f"{change!r} changes nothing of {name}; write KEY=VALUE")
        if key not in type(preset).model_fields:
            raise ValueError(f"{name} has no {key!r}; {_offer(key, type(preset).model_fields)}")
        if key in values:
            raise ValueError(f"{key} is there twice in {text!r}; write it once")
        values[key] = value
    try:
        return type(preset).model_validate(preset.model_dump() | values)
    except ValidationError as error:
        mistake = explain_validation(error, type(preset)).mistakes[0]
        told = f"{mistake.where} = {mistake.value}: " if mistake.where else ""
        remedy = f"; {mistake.remedy}" if mistake.remedy else ""
        raise ValueError(f"{told}{mistake.reason}{remedy}") from None


def _offer(written: str, known: Iterable[str]) -> str:
    names = list(known)
    similar = difflib.get_close_matches(written, names, n=1)
    hint = f"did you mean {similar[0]}? " if similar else ""
    return f"{hint}there are: {', '.join(names)}"
