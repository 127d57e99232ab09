from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.model.volume import VolumeConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "file"}, 'a file volume needs a path; add path = "..."'),
        ({"kind": "direct"}, "a direct volume needs a path"),
        ({"kind": "null", "size": 512, "path": "x"}, "a null volume has no path; remove path"),
        ({"kind": "sim", "size": 512}, 'a sim volume needs a device; add model = "ssd-20k"'),
        ({"path": "x", "model": "ssd-20k"}, "a file volume simulates nothing; remove model"),
        ({"kind": "memory"}, 'a memory volume needs a size; add size = "1G"'),
        (
            {"kind": "null", "size": 5120, "logical_block_bytes": 4096},
            "size 5120 is not a multiple of the logical block of 4096 bytes; 4096 is",
        ),
        (
            {"path": "x", "physical_block_bytes": 1000},
            "1000 is not a physical block size; take a power of two from 512 to 1048576",
        ),
        (
            {"path": "x", "logical_block_bytes": 4096, "physical_block_bytes": 512},
            "physical_block_bytes 512 is below the logical block of 4096 bytes; take at least 4096",
        ),
    ],
)
def test_contradictions_are_explained(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        VolumeConfig.model_validate({"name": "v", **fields})
    assert message in str(caught.value)


def test_a_volume_does_not_change() -> None:
    volume = VolumeConfig(name="v", path="x")
    with pytest.raises(ValidationError, match="frozen"):
        volume.size = 1  # type: ignore[misc]
