"""Vital product data pages. Spec: SPC-4 r37 and SBC-3 r36, VPD parameters.

A page is a function from a logical unit to the page's bytes behind the 4 byte header; `PAGES` says
which there are. To add a page, add a row.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fairlead.scsi import inquiry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairlead.scsi.logical_unit import LogicalUnit, NamedUnit

SUPPORTED_PAGES: Final = 0x00
UNIT_SERIAL_NUMBER: Final = 0x80
DEVICE_IDENTIFICATION: Final = 0x83
EXTENDED_INQUIRY: Final = 0x86
MODE_PAGE_POLICY: Final = 0x87
BLOCK_LIMITS: Final = 0xB0
BLOCK_DEVICE_CHARACTERISTICS: Final = 0xB1
LOGICAL_BLOCK_PROVISIONING: Final = 0xB2

# Designators: code set, association, type.
_BINARY, _ASCII, _UTF_8 = 1, 2, 3
_LOGICAL_UNIT, _TARGET_PORT, _TARGET_DEVICE = 0, 1, 2
_T10_VENDOR_ID, _NAA, _RELATIVE_TARGET_PORT, _TARGET_PORT_GROUP, _SCSI_NAME_STRING = 1, 3, 4, 5, 8
_PIV: Final = 0x80
_PROTOCOL_ISCSI: Final = 0x5

# 86h, B0h and B1h are 60 bytes behind the header.
# SPT, GRD_CHK, APP_CHK, REF_CHK | SIMPSUP.. | V_SUP | rest
_SIMPSUP: Final = 0x01
_V_SUP: Final = 0x01
_EXTENDED_INQUIRY = struct.Struct(">BBB57x")

# WSNZ | compare and write | granularity | max transfer | optimal transfer | max prefetch |
# max unmap LBAs | max unmap descriptors | unmap granularity | unmap alignment | max write same
_BLOCK_LIMITS = struct.Struct(">BBHIIIIIIIQ20x")

_FUAB, _VBULS = 0x02, 0x01
# rotation rate | product type | form factor | FUAB, VBULS
_CHARACTERISTICS = struct.Struct(">HBBB55x")

_LBPU, _LBPWS, _LBPWS10, _LBPRZ = 0x80, 0x40, 0x20, 0x04
_THIN_PROVISIONED: Final = 0x02


def supported_pages(_lu: LogicalUnit) -> bytes:
    """List the VPD pages in ascending order. Spec: SPC-4 r37, Supported VPD Pages."""
    return bytes(sorted(PAGES))


def unit_serial_number(lu: NamedUnit) -> bytes:
    """Return the serial number. Spec: SPC-4 r37, Unit Serial Number."""
    return lu.identity.unit_serial.encode("ascii")


def device_identification(lu: NamedUnit) -> bytes:
    """Name the logical unit, its target port and its target.

    The SCSI name of a port is the target name, ",t,0x" and the portal group tag; that of the target
    device is the target name. Spec: SPC-4 r37, Device Identification; RFC 7143 §4.4.2.
    """
    tag = lu.portal_group_tag
    port_name = f"{lu.target_name},t,0x{tag:04x}"
    return b"".join(
        (
            _designator(_NAA, _BINARY, _LOGICAL_UNIT, lu.identity.naa),
            _designator(_T10_VENDOR_ID, _ASCII, _LOGICAL_UNIT, lu.identity.t10_vendor_id),
            _designator(
                _RELATIVE_TARGET_PORT, _BINARY, _TARGET_PORT, _low_16(lu.relative_target_port)
            ),
            _designator(_TARGET_PORT_GROUP, _BINARY, _TARGET_PORT, _low_16(lu.target_port_group)),
            _designator(_SCSI_NAME_STRING, _UTF_8, _TARGET_PORT, _name_string(port_name)),
            _designator(_SCSI_NAME_STRING, _UTF_8, _TARGET_DEVICE, _name_string(lu.target_name)),
        )
    )


def extended_inquiry(lu: LogicalUnit) -> bytes:
    """Return what is served beyond the basics. Spec: SPC-4 r37, Extended INQUIRY Data.

    SIMPLE tasks and, with a write cache, a volatile cache. No protection information, grouping,
    priorities, HEAD OF QUEUE or ORDERED semantics are promised.
    """
    return _EXTENDED_INQUIRY.pack(0, _SIMPSUP, _V_SUP if lu.write_cache else 0)


def mode_page_policy(_lu: LogicalUnit) -> bytes:
    """Say that every mode page is shared by all initiators. Spec: SPC-4 r37, Mode Page Policy."""
    return bytes((0x3F, 0xFF, 0x00, 0x00))


def block_limits(lu: LogicalUnit) -> bytes:
    """Return the transfer, unmap and write same limits. Spec: SBC-3 r36, Block Limits.

    WSNZ is 0: WRITE SAME with a length of zero reaches to the end of the medium.
    """
    thin = lu.thin
    return _BLOCK_LIMITS.pack(
        0,
        lu.max_compare_and_write_blocks,
        1 << lu.physical_exponent if lu.physical_exponent else 0,
        lu.max_transfer_blocks,
        lu.optimal_transfer_blocks,
        lu.max_prefetch_blocks,
        lu.max_unmap_blocks if thin else 0,
        lu.max_unmap_descriptors if thin else 0,
        lu.unmap_granularity_blocks if thin else 0,
        0,
        lu.max_write_same_blocks,
    )


def block_device_characteristics(lu: LogicalUnit) -> bytes:
    """Return the medium's rotation rate. Spec: SBC-3 r36, Block Device Characteristics.

    FUAB: FUA and SYNCHRONIZE CACHE mean non-volatile, not necessarily on the medium. VBULS is set
    where unmapped blocks read as zeros, as a VERIFY then compares them as such.
    """
    behaviour = _FUAB | (_VBULS if lu.lbprz else 0)
    return _CHARACTERISTICS.pack(lu.rotation_rate, 0, 0, behaviour)


def logical_block_provisioning(lu: LogicalUnit) -> bytes:
    """Say how blocks may be unmapped. Spec: SBC-3 r36, Logical Block Provisioning.

    No thresholds, no anchored blocks, no provisioning group designator.
    """
    if not lu.thin:
        return bytes(4)
    served = _LBPU | _LBPWS | _LBPWS10 | (_LBPRZ if lu.lbprz else 0)
    return bytes((0, served, _THIN_PROVISIONED, 0))


PAGES: Final[Mapping[int, Callable[[LogicalUnit], bytes]]] = MappingProxyType(
    {
        SUPPORTED_PAGES: supported_pages,
        UNIT_SERIAL_NUMBER: unit_serial_number,
        DEVICE_IDENTIFICATION: device_identification,
        EXTENDED_INQUIRY: extended_inquiry,
        MODE_PAGE_POLICY: mode_page_policy,
        BLOCK_LIMITS: block_limits,
        BLOCK_DEVICE_CHARACTERISTICS: block_device_characteristics,
        LOGICAL_BLOCK_PROVISIONING: logical_block_provisioning,
    }
)


def render(lu: LogicalUnit) -> dict[bytes, bytes]:
    """Return INQUIRY key -> VPD page, untruncated, for every page."""
    return {
        inquiry.key(code): page(inquiry.DIRECT_ACCESS_BLOCK_DEVICE, code, body(lu))
        for code, body in PAGES.items()
    }


def supported_pages_without_logical_unit() -> bytes:
    """Return the Supported VPD Pages page for a LUN without logical unit: it lists itself."""
    return page(inquiry.NO_LOGICAL_UNIT, SUPPORTED_PAGES, bytes((SUPPORTED_PAGES,)))


def page(peripheral: int, code: int, body: bytes) -> bytes:
    """Return a page: the header, then its body.

    Args:
        peripheral: byte 0, as in the unit's standard INQUIRY data.
        code: of the page.
        body: at most 65535 bytes.
    """
    return bytes((peripheral, code)) + len(body).to_bytes(2) + body


def _designator(kind: int, code_set: int, association: int, value: bytes) -> bytes:
    protocol = 0 if association == _LOGICAL_UNIT else _PROTOCOL_ISCSI
    piv = 0 if association == _LOGICAL_UNIT else _PIV
    return bytes((protocol << 4 | code_set, piv | association << 4 | kind, 0, len(value))) + value


def _low_16(value: int) -> bytes:
    """Two reserved bytes, then the number."""
    return value.to_bytes(4)


def _name_string(text: str) -> bytes:
    """NUL-terminated and NUL-padded to a multiple of 4 bytes."""
    data = text.encode()
    return data + bytes(4 - len(data) % 4)
