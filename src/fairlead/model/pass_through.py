"""What makes sense for a volume that is a SCSI device, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.model.volume import VolumeConfig

PassThroughKind: TypeAlias = Literal["sg", "iscsi"]
DeviceIdentity: TypeAlias = Literal["device", "own"]

PASS_THROUGH_KINDS: Final[tuple[PassThroughKind, ...]] = ("sg", "iscsi")

TIMEOUT_NS_MIN: Final = 10**9
TIMEOUT_NS_MAX: Final = 24 * 3600 * 10**9
"""Rewinding, erasing and self-tests take hours; below a second no disk could seek and retry."""

_WHATS_A_DEVICE: Final = 'path = "/dev/sg3"'
_WHATS_A_URL: Final = 'path = "iscsi://host/iqn.2026-01.example:disk/0"'

# Fields of other kinds, and why a device that is passed through has none of that.
_OF_OTHERS: Final = {
    "size": "the device itself says how large it is",
    "model": "it simulates nothing",
    "thin": "the device itself says whether it takes UNMAP",
    "write_through": "its cache is set by MODE SELECT, caching page, once allow names it",
    "logical_block_bytes": "the device itself says how large its blocks are",
    "physical_block_bytes": "the device itself says how large its blocks are",
}
_OF_PASS_THROUGH: Final = ("identity", "allow", "timeout")
_PASSWORDS: Final = ("password", "password_file")
_OF_ISCSI: Final = ("initiator_name", *_PASSWORDS)


def check_pass_through(volume: VolumeConfig) -> None:
    """Check the fields that pass-through volumes have, and those that they alone have.

    Raises:
        ValueError: the first that makes no sense, and what to do.
    """
    for problem in _problems(volume):
        raise ValueError(problem)


def _problems(volume: VolumeConfig) -> Iterator[str]:
    kind = volume.kind
    if kind not in PASS_THROUGH_KINDS:
        for name in (*_OF_PASS_THROUGH, *_OF_ISCSI):
            if name in volume.model_fields_set:
                yield f"a {kind} volume passes nothing to a SCSI device; remove {name}"
        return
    if volume.path is None:
        example = _WHATS_A_DEVICE if kind == "sg" else _WHATS_A_URL
        yield f"an {kind} volume needs a device; add {example}"
    for name, why in _OF_OTHERS.items():
        if getattr(volume, name):  # False and None are what it is anyway.
            yield f"an {kind} volume has no {name}: {why}; remove {name}"
    if volume.serial is not None and volume.identity != "own":
        yield (
            'initiators see the device\'s own serial number; remove serial, or add identity = "own"'
        )
    if volume.timeout is not None and not TIMEOUT_NS_MIN <= volume.timeout <= TIMEOUT_NS_MAX:
        yield f"timeout is {volume.timeout / 1e9:g} s; take 1s to 24h"
    yield from _password_problems(volume)


def _password_problems(volume: VolumeConfig) -> Iterator[str]:
    if volume.initiator_name is not None and volume.kind == "sg":
        yield "a device of this host asks for no name; remove initiator_name"
    passwords = [name for name in _PASSWORDS if getattr(volume, name) is not None]
    if passwords and volume.kind == "sg":
        yield f"a device of this host asks for no password; remove {passwords[0]}"
    elif len(passwords) > 1:
        yield "there are two passwords; keep one: in the URL, in password or in password_file"
    elif passwords and "@" not in (volume.path or ""):
        yield "there is a password and no user; name the user in path: iscsi://USER@host/..."
