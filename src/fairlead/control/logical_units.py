"""From an opened volume to the logical unit that initiators see."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fairlead.scsi import pages, pass_through_unit
from fairlead.scsi.identity import Identity
from fairlead.scsi.logical_unit import ROTATION_NONE, ROTATION_NOT_REPORTED, LogicalUnit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.control.volumes import PreparedVolume
    from fairlead.scsi.sense import Sense

# The data plane keeps three times the blocks of a COMPARE AND WRITE in one buffer of this size.
COMPARE_AND_WRITE_BYTES_MAX: Final = 1 << 20
# One page of UNMAP parameters: more than initiators use, and quickly checked as a whole.
UNMAP_DESCRIPTORS_MAX: Final = 256
_MACHINE_ID: Final = Path("/etc/machine-id")
# Made once for fairlead, by uuid4.
_NAMESPACE: Final = uuid.UUID("5b0c0ad1-9c8f-4f57-8f0f-6c1e6a0b7d2e")


def installation(machine_id: Path = _MACHINE_ID) -> uuid.UUID:
    """Return the same UUID at every start on this machine, and another one elsewhere.

    Two machines often serve a volume of one name, and an initiator that took their volumes for
    one would ruin both. A machine without an identity of its own (some containers) gets a fixed
    one; set ``serial`` there, and for a volume that is to keep its identity on another machine.
    """
    try:
        text = machine_id.read_text().strip()
    except OSError:
        text = ""
    return uuid.uuid5(_NAMESPACE, text)


def volume_identity(
    *, serial: str | None, place: str, target_name: str, where: uuid.UUID
) -> Identity:
    """Return what initiators recognise a volume by. Nothing is written to remember it.

    Args:
        serial: as configured; then nothing else counts.
        place: real path of the volume, or its kind and name.
        target_name: of the first target that shows the volume; further targets show the same
            identity, because they lead to the same data.
        where: `installation`.
    """
    if serial is not None:
        return Identity.from_serial(serial)
    return Identity.from_name(f"{target_name}\0{place}", installation=where)


@dataclass(frozen=True, slots=True)
class ServedUnit:
    """What the data plane serves of a volume.

    Attributes:
        pages: that it answers with.
        read_only: these initiators may not write.
        logical_unit: what commands are answered from that come up; None where none do, because the
            device itself answers them.
    """

    pages: Mapping[bytes, bytes | Sense]
    read_only: bool
    logical_unit: LogicalUnit | None


def make_unit(
    volume: PreparedVolume, *, identity: Identity | None, target_name: str, read_only: bool
) -> ServedUnit:
    """Describe a volume to the data plane.

    Args:
        volume: as prepared.
        identity: see `volume_identity`; None: a SCSI device's own.
        target_name: of the target it is reached through.
        read_only: whether these initiators may not write; a read-only volume is so in any case.
    """
    if volume.facts is not None and volume.spec.pass_through is not None:
        unit = pass_through_unit.PassThroughUnit(
            device=volume.facts.pages,
            transfer_bytes_max=volume.spec.pass_through.transfer_bytes_max,
            target_name=target_name,
            identity=identity,
            read_only=read_only or volume.spec.read_only,
        )
        return ServedUnit(pass_through_unit.render(unit), unit.read_only, None)
    if identity is None:
        raise AssertionError("a volume without a device has an identity of ours")
    logical_unit = make_logical_unit(
        volume, identity=identity, target_name=target_name, read_only=read_only
    )
    return ServedUnit(pages.render(logical_unit), logical_unit.read_only, logical_unit)


def make_logical_unit(
    volume: PreparedVolume, *, identity: Identity, target_name: str, read_only: bool
) -> LogicalUnit:
    """Describe a volume to the device server.

    Args:
        volume: as prepared.
        identity: see `volume_identity`.
        target_name: of the target it is reached through.
        read_only: whether these initiators may not write; a read-only volume is so in any case.
    """
    spec = volume.spec
    is_stored = spec.kind in ("file", "direct")
    return LogicalUnit(
        blocks=spec.size_bytes // spec.logical_block_bytes,
        logical_block_bytes=spec.logical_block_bytes,
        physical_block_bytes=spec.physical_block_bytes,
        identity=identity,
        target_name=target_name,
        read_only=read_only or spec.read_only,
        thin=spec.thin,
        # Punching a hole into a file, a device or our memory leaves zeros; the kernel promises it.
        lbprz=spec.thin,
        # Nothing is lost that null and memory would keep; their caching page promises nothing.
        write_cache=is_stored and not spec.write_through,
        rotation_rate=ROTATION_NONE
        if volume.backing.is_rotational is False
        else ROTATION_NOT_REPORTED,
        max_compare_and_write_blocks=min(
            255, COMPARE_AND_WRITE_BYTES_MAX // (3 * spec.logical_block_bytes)
        ),
        max_unmap_descriptors=UNMAP_DESCRIPTORS_MAX,
        unmap_granularity_blocks=spec.physical_block_bytes // spec.logical_block_bytes
        if spec.thin
        else 0,
    )
