"""A volume as the operator describes it: in a TOML table, or in one word on the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.model.frozen import Model
from fairlead.model.size import SizeBytes, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable

LOGICAL_BLOCK_BYTES: Final = 512  # Used where neither the operator nor the kernel says otherwise.
PHYSICAL_BLOCK_BYTES_MAX: Final = 1 << 20

_KINDS: Final = ("file", "direct")
_PATHLESS_KINDS: Final = ("null", "memory", "sim")
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
# What may stand behind the last colon of a path and still be meant as a size: "1G", "12", "1GB".
# "1f.2-ata-1" of /dev/disk/by-path is not.
_SIZE_LIKE: Final = re.compile(r"\d+(\.\d+)?[A-Za-z]{0,3}", re.ASCII)

VolumeName = Annotated[str, Field(pattern=_NAME)]


class VolumeConfig(Model):
    """One volume. What is None here is found out when the volume is opened.

    Attributes:
        name: the operator's name for it; letters, digits, ``.``, ``_``, ``-``, at most 64.
        kind: ``file`` (through the page cache), ``direct`` (O_DIRECT), ``null`` (stores nothing),
            ``memory`` (gone with the process), ``sim`` (``memory`` as slow as a simulated device).
        model: that device, ``PRESET[,key=value...]``; only for ``sim``.
        path: file or block device; only for ``file`` and ``direct``.
        size: in bytes, or with K, M, G, T (binary). A missing file is created with it, sparse.
        logical_block_bytes: 512 or 4096.
        physical_block_bytes: what the medium writes at once; a power of two.
        read_only: opened without write access; initiators see a write-protected unit.
        thin: UNMAP gives space back.
        write_through: every write is on stable storage when it is answered.
        serial: unit serial number; by default derived, and stable, from target name and path.
        device: backing device for the I/O contexts, where the kernel's view is not the right one.
    """

    name: VolumeName
    kind: Literal["file", "direct", "null", "memory", "sim"] = "file"
    model: Annotated[str, Field(pattern=r"^[ -~]{1,256}$")] | None = None
    path: str | None = None
    size: SizeBytes | None = None
    logical_block_bytes: Literal[512, 4096] | None = None
    physical_block_bytes: int | None = None
    read_only: bool = False
    thin: bool | None = None
    write_through: bool = False
    serial: Annotated[str, Field(pattern=r"^[0-9A-Za-z._:-]{1,36}$")] | None = None
    device: Annotated[str, Field(pattern=r"^[ -~]{1,64}$")] | None = None

    @field_validator("path")
    @classmethod
    def _path_is_usable(cls, path: str | None) -> str | None:
        if path is not None and (not path or "\0" in path):
            raise ValueError(f"{path!r} is not a path; name a file or a block device")
        return path

    @field_validator("physical_block_bytes")
    @classmethod
    def _physical_block_is_power_of_two(cls, value: int | None) -> int | None:
        if value is None or (512 <= value <= PHYSICAL_BLOCK_BYTES_MAX and not value & (value - 1)):
            return value
        raise ValueError(
            f"{value} is not a physical block size; "
            f"take a power of two from 512 to {PHYSICAL_BLOCK_BYTES_MAX}"
        )

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Self:
        if self.kind in ("file", "direct") and self.path is None:
            raise ValueError(f'a {self.kind} volume needs a path; add path = "..."')
        if (self.kind == "sim") != (self.model is not None):
            raise ValueError(
                'a sim volume needs a device; add model = "ssd-20k"'
                if self.kind == "sim"
                else f"a {self.kind} volume simulates nothing; remove model, or use kind sim"
            )
        if self.kind in _PATHLESS_KINDS:
            if self.path is not None:
                raise ValueError(f"a {self.kind} volume has no path; remove path")
            if self.size is None:
                raise ValueError(f'a {self.kind} volume needs a size; add size = "1G"')
        logical = self.logical_block_bytes or LOGICAL_BLOCK_BYTES
        if self.size is not None and self.size % logical:
            raise ValueError(
                f"size {self.size} is not a multiple of the logical block of {logical} bytes; "
                f"{self.size - self.size % logical or logical} is"
            )
        if self.physical_block_bytes is not None and self.physical_block_bytes < logical:
            raise ValueError(
                f"physical_block_bytes {self.physical_block_bytes} is below the logical block of "
                f"{logical} bytes; take at least {logical}"
            )
        return self


def parse_volume(text: str) -> VolumeConfig:
    """Read a volume from one word.

    The forms are ``PATH[:SIZE]``, ``file:PATH[:SIZE]``, ``direct:PATH[:SIZE]``,
    ``null:[NAME:]SIZE``, ``memory:[NAME:]SIZE`` and ``sim:PRESET[,key=value...]:[NAME:]SIZE``.
    A path may contain colons: only a last part that begins like a number is taken as a size. The
    volume is named after the last part of its path, or NAME, or its kind.

    Raises:
        ValueError: says what is wrong and how it is written. (pydantic's is one, too.)
    """
    head, colon, rest = text.partition(":")
    if colon and head in _PATHLESS_KINDS:
        return _parse_sized(head, rest, text)
    kind, place = (head, rest) if colon and head in _KINDS else ("file", text)
    path, size = _split_size(place)
    if not path:
        raise ValueError(f"volume {text!r} has no path; write PATH[:SIZE] or KIND:PATH[:SIZE]")
    return VolumeConfig.model_validate(
        {"name": volume_name(path), "kind": kind, "path": path, "size": size}
    )


def parse_volumes(texts: Iterable[str]) -> tuple[VolumeConfig, ...]:
    """Read volumes from words; where names would be equal, later ones get ``-2``, ``-3``.

    Raises:
        ValueError: see `parse_volume`.
    """
    volumes: dict[str, VolumeConfig] = {}
    for volume in map(parse_volume, texts):
        name, count = volume.name, 1
        while name.lower() in volumes:
            count += 1
            name = f"{volume.name[:60]}-{count}"
        volumes[name.lower()] = volume.model_copy(update={"name": name})
    return tuple(volumes.values())


def volume_name(path: str) -> str:
    """Return a valid volume name made of the last part of a path."""
    last = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip("._-")[:64] or "volume"


def _parse_sized(kind: str, rest: str, text: str) -> VolumeConfig:
    first, _, size = rest.rpartition(":")
    model, name = None, first
    written, example = f"{kind}:SIZE", f"{kind}:1G"
    if kind == "sim":
        model, _, name = first.partition(":")
        written, example = "sim:PRESET:SIZE", "sim:ssd-20k:1G"
        if not model:
            raise ValueError(
                f"volume {text!r} needs a device and a size; write {written}, for example {example}"
            )
    if not size:
        raise ValueError(f"volume {text!r} has no size; write {written}, for example {example}")
    if name and not re.fullmatch(_NAME, name):
        raise ValueError(
            f"{name!r} is not a volume name; "
            "use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"
        )
    return VolumeConfig.model_validate(
        {"name": name or kind, "kind": kind, "size": parse_size(size), "model": model}
    )


def _split_size(place: str) -> tuple[str, int | None]:
    path, colon, last = place.rpartition(":")
    if colon and _SIZE_LIKE.fullmatch(last):
        return path, parse_size(last)
    return place, None
