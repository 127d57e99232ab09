"""GET LBA STATUS parameter data. Spec: SBC-3 r36, GET LBA STATUS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.errors import CheckCondition
from fairlead.scsi.sense import LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE

if TYPE_CHECKING:
    from fairlead.scsi.request import Request

_HEADER_BYTES: Final = 8
_DESCRIPTOR_BYTES: Final = 16
_BLOCKS_MAX: Final = 0xFFFF_FFFF
_MAPPED_OR_UNKNOWN: Final = 0x0


def get_lba_status(request: Request) -> bytes:
    """Return one descriptor: everything from the starting LBA on is mapped, or unknown.

    Where holes are is the file system's knowledge, and asking it may block for as long as the
    device does. An initiator that is told "mapped or unknown" reads the blocks, and gets zeroes.

    Raises:
        CheckCondition: LOGICAL BLOCK ADDRESS OUT OF RANGE.
    """
    lba = int.from_bytes(request.cdb[2:10])
    if lba >= request.lu.blocks:
        raise CheckCondition(LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE)
    blocks = min(request.lu.blocks - lba, _BLOCKS_MAX)
    descriptor = lba.to_bytes(8) + blocks.to_bytes(4) + bytes((_MAPPED_OR_UNKNOWN, 0, 0, 0))
    # PARAMETER DATA LENGTH counts what follows it.
    length_bytes = _HEADER_BYTES - 4 + _DESCRIPTOR_BYTES
    return length_bytes.to_bytes(4) + bytes(4) + descriptor
