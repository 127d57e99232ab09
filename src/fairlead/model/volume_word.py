"""A volume in one word, as on the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fairlead.model.iscsi_url import is_url_like, parse_iscsi_url
from fairlead.model.size import parse_size
from fairlead.model.volume import FILE_KINDS, NAME_PATTERN, PATHLESS_KINDS, VolumeConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

# What may stand behind the last colon of a path and still be meant as a size: "1G", "12", "1GB".
# "1f.2-ata-1" of /dev/disk/by-path is not.
_SIZE_LIKE: Final = re.compile(r"\d+(\.\d+)?[A-Za-z]{0,3}", re.ASCII)


def parse_volume(text: str) -> VolumeConfig:
    """Read a volume from one word.

    The forms are ``PATH[:SIZE]``, ``file:PATH[:SIZE]``, ``direct:PATH[:SIZE]``,
    ``null:[NAME:]SIZE``, ``memory:[NAME:]SIZE``, ``sim:PRESET[,key=value...]:[NAME:]SIZE``,
    ``sg:DEVICE`` and ``iscsi:URL``, or the URL alone: ``iscsi://[USER[%PASSWORD]@]HOST/TARGET/LUN``.
    A path may contain colons: only a last part that begins like a number is taken as a size. The
    volume is named after the last part of its path, or NAME, or its kind.

    Raises:
        ValueError: says what is wrong and how it is written. (pydantic's is one, too.)
    """
    head, colon, rest = text.strip().partition(":")
    if colon and head.lower() == "iscsi":
        return _parse_iscsi(text.strip() if rest.startswith("//") else rest)
    if is_url_like(text):  # With a password, perhaps: no message shows it.
        raise ValueError(
            "this URL is not that of a LUN; write iscsi://[user[%password]@]host/target-iqn/lun"
        )
    head, colon, rest = text.partition(":")
    if colon and head == "sg":
        return _parse_sg(rest, text)
    if colon and head in PATHLESS_KINDS:
        return _parse_sized(head, rest, text)
    kind, place = (head, rest) if colon and head in FILE_KINDS else ("file", text)
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


def _parse_sg(path: str, text: str) -> VolumeConfig:
    if not path:
        raise ValueError(f"volume {text!r} has no device; write sg:/dev/sg3 or sg:/dev/sdb")
    return VolumeConfig.model_validate({"name": volume_name(path), "kind": "sg", "path": path})


def _parse_iscsi(text: str) -> VolumeConfig:
    url = parse_iscsi_url(text)
    # A LUN's number alone says nothing, and the authority's part of a name not much.
    name = volume_name(f"{url.target.rpartition(':')[2]}-{url.lun}")
    return VolumeConfig.model_validate({"name": name, "kind": "iscsi", "path": url.whole})


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
    if name and not re.fullmatch(NAME_PATTERN, name):
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
