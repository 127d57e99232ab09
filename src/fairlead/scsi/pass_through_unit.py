"""The pages that we answer for a SCSI device that is passed through. All others are its own.

Spec: SPC-4 r37, VPD parameters; SBC-3 r36, Block Limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.scsi import inquiry, vpd
from fairlead.scsi.device_data import clamp_block_limits

if TYPE_CHECKING:
    from fairlead.scsi.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePages:
    """What a device has said of itself when it was looked at.

    Attributes:
        peripheral: byte 0 of its INQUIRY data.
        has_blocks: SBC is its command set.
        block_bytes: its logical block; 0 where it has said nothing.
        supported: codes of its VPD pages, in any order.
        block_limits: its page B0h without the header; None where it has none.
    """

    peripheral: int
    has_blocks: bool
    block_bytes: int
    supported: bytes = b""
    block_limits: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThroughUnit:
    """A SCSI device, as initiators see it through us.

    Attributes:
        device: what it says of itself.
        transfer_bytes_max: what passes at a time.
        target_name: iSCSI name of the target it is reached through.
        identity: what initiators recognise it by; None: by the device's own pages.
        read_only: only harmless commands pass.
        portal_group_tag: 1..65535.
        relative_target_port: 1..65535.
        target_port_group: 0..65535.
    """

    device: DevicePages
    transfer_bytes_max: int
    target_name: str
    identity: Identity | None = None
    read_only: bool = False
    portal_group_tag: int = 1
    relative_target_port: int = 1
    target_port_group: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A unit with an identity of ours. See `fairlead.scsi.logical_unit.NamedUnit`."""

    identity: Identity
    target_name: str
    portal_group_tag: int
    relative_target_port: int
    target_port_group: int


def render(unit: PassThroughUnit) -> dict[bytes, bytes]:
    """Return INQUIRY key -> VPD page, for the pages that are ours."""
    device = unit.device
    bodies: dict[int, bytes] = {}
    if device.has_blocks:
        # Also where the device has no such page: initiators would send more than passes.
        bodies[vpd.BLOCK_LIMITS] = clamp_block_limits(
            device.block_limits,
            block_bytes=device.block_bytes or 512,
            transfer_bytes_max=unit.transfer_bytes_max,
        )
    if unit.identity is not None:
        named = _Named(
            identity=unit.identity,
            target_name=unit.target_name,
            portal_group_tag=unit.portal_group_tag,
            relative_target_port=unit.relative_target_port,
            target_port_group=unit.target_port_group,
        )
        bodies[vpd.UNIT_SERIAL_NUMBER] = vpd.unit_serial_number(named)
        bodies[vpd.DEVICE_IDENTIFICATION] = vpd.device_identification(named)
    if not bodies.keys() <= set(device.supported):
        codes = {vpd.SUPPORTED_PAGES, *device.supported, *bodies}
        bodies[vpd.SUPPORTED_PAGES] = bytes(sorted(codes))
    return {
        inquiry.key(code): vpd.page(device.peripheral, code, body) for code, body in bodies.items()
    }
