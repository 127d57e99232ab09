"""A logical unit that the pages could not express is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.logical_unit import logical_unit, thin_logical_unit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": 0}, "blocks 0"),
        ({"blocks": 2**64}, r"must be 1\.\.18446744073709551615"),
        ({"logical_block_bytes": 1024}, "must be 512 or 4096"),
        ({"physical_block_bytes": 256}, "times a power of two"),
        ({"physical_block_bytes": 1536}, "times a power of two"),
        ({"physical_block_bytes": 512 << 16}, "times a power of two"),
        ({"rotation_rate": 2}, "rotation_rate 2"),
        ({"rotation_rate": 0xFFFF}, "rotation_rate 65535"),
        ({"lbprz": True}, "lbprz"),
        ({"thin": True, "max_unmap_blocks": 0}, "max_unmap_blocks 0"),
        ({"thin": True, "max_unmap_descriptors": 0}, "max_unmap_descriptors 0"),
        ({"max_transfer_blocks": 2**32}, "max_transfer_blocks"),
        ({"max_compare_and_write_blocks": 256}, r"must be 1\.\.255"),
        ({"max_compare_and_write_blocks": 0}, r"must be 1\.\.255"),
        ({"portal_group_tag": 0}, "portal_group_tag"),
        ({"product": "x" * 17}, "product"),
        ({"product": "ü"}, "product"),
        ({"revision": "1.0.0"}, "revision"),
        ({"revision": "1\n"}, "revision"),
        ({"target_name": ""}, "target_name"),
        ({"target_name": "iqn." + "x" * 220}, "target_name"),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        logical_unit(**changes)


@pytest.mark.parametrize("exponent", [0, 3, 15])
def test_physical_exponent(exponent: int) -> None:
    assert logical_unit(physical_block_bytes=512 << exponent).physical_exponent == exponent


def test_limits_of_unmap_are_free_where_nothing_can_be_unmapped() -> None:
    assert logical_unit(max_unmap_blocks=0, max_unmap_descriptors=0).max_unmap_blocks == 0


def test_largest_logical_unit() -> None:
    assert thin_logical_unit(blocks=2**64 - 1).last_lba == 2**64 - 2
