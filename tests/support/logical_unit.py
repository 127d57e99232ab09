"""Logical units for tests of the device server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st

from fairlead.scsi.identity import Identity
from fairlead.scsi.logical_unit import LogicalUnit

TARGET_NAME: Final = "iqn.2024-01.org.example:disk"

_DISK = LogicalUnit(
    blocks=2048,
    logical_block_bytes=512,
    physical_block_bytes=4096,
    identity=Identity.from_serial("SN-1"),
    target_name=TARGET_NAME,
)


def logical_unit(**changes: Any) -> LogicalUnit:
    """Return a plain disk of 1 MiB, with changes."""
    return replace(_DISK, **changes)


def thin_logical_unit(**changes: Any) -> LogicalUnit:
    """Return a disk whose blocks can be unmapped and then read as zeros, with changes."""
    return logical_unit(**({"thin": True, "lbprz": True} | changes))


@st.composite
def logical_units(draw: st.DrawFn) -> LogicalUnit:
    """Any logical unit the constructor accepts."""
    block_bytes = draw(st.sampled_from((512, 4096)))
    thin = draw(st.booleans())
    count_32 = st.integers(0, 2**32 - 1)
    return logical_unit(
        blocks=draw(st.integers(1, 2**64 - 1)),
        logical_block_bytes=block_bytes,
        physical_block_bytes=block_bytes << draw(st.integers(0, 15)),
        read_only=draw(st.booleans()),
        thin=thin,
        lbprz=thin and draw(st.booleans()),
        write_cache=draw(st.booleans()),
        rotation_rate=draw(st.sampled_from((0, 1, 1025, 7200, 65534))),
        max_transfer_blocks=draw(count_32),
        optimal_transfer_blocks=draw(count_32),
        max_prefetch_blocks=draw(count_32),
        max_unmap_blocks=draw(st.integers(1, 2**32 - 1)),
        max_unmap_descriptors=draw(st.integers(1, 2**32 - 1)),
        unmap_granularity_blocks=draw(count_32),
        max_write_same_blocks=draw(st.integers(0, 2**64 - 1)),
        max_compare_and_write_blocks=draw(st.integers(1, 255)),
        portal_group_tag=draw(st.integers(1, 0xFFFF)),
        target_name=draw(
            st.from_regex(r"iqn\.2024-01\.org\.example:[a-z0-9]{1,100}", fullmatch=True)
        ),
    )
