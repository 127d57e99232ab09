from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.logical_units import installation, make_logical_unit, volume_identity
from fairlead.control.volumes import prepare_volume
from fairlead.model.volume import VolumeConfig
from fairlead.model.volume_word import parse_volume

if TYPE_CHECKING:
    from pathlib import Path

HERE = uuid.UUID(int=1)
ALIKE: dict[str, Any] = {
    "serial": None,
    "place": "/srv/a.img",
    "target_name": "iqn.t",
    "where": HERE,
}


def test_identity_is_the_same_at_every_start_and_differs_where_the_volume_does() -> None:
    identity = volume_identity(**ALIKE)
    assert volume_identity(**ALIKE) == identity
    for change in ({"place": "/srv/b.img"}, {"target_name": "iqn.u"}, {"where": uuid.UUID(int=2)}):
        assert volume_identity(**(ALIKE | change)).naa != identity.naa


def test_a_serial_alone_is_the_identity() -> None:
    first = volume_identity(**(ALIKE | {"serial": "S1"}))
    moved = volume_identity(serial="S1", place="/b", target_name="c", where=uuid.UUID(int=2))
    assert first == moved
    assert first.unit_serial == "S1"


def test_machines_differ_and_one_without_a_name_is_served(tmp_path: Path) -> None:
    file = tmp_path / "machine-id"
    nameless = installation(file)
    file.write_text("0123456789abcdef0123456789abcdef\n")
    named = installation(file)
    assert named == installation(file)
    assert named != nameless == installation(tmp_path / "missing")


def test_a_file_is_described_as_it_is_served(tmp_path: Path) -> None:
    prepared = prepare_volume(parse_volume(f"{tmp_path}/disk.img:1M"))
    identity = volume_identity(**ALIKE)
    unit = make_logical_unit(prepared, identity=identity, target_name="iqn.t", read_only=False)
    assert unit.blocks * unit.logical_block_bytes == 1 << 20
    assert unit.thin
    assert unit.lbprz
    assert unit.write_cache
    assert not unit.read_only
    assert unit.unmap_granularity_blocks == unit.physical_block_bytes // 512
    assert make_logical_unit(
        prepared, identity=identity, target_name="iqn.t", read_only=True
    ).read_only


@pytest.mark.parametrize(
    ("config", "write_cache"),
    [
        (VolumeConfig(name="v", kind="null", size=4096), False),
        (VolumeConfig(name="v", kind="memory", size=4096), False),
    ],
)
def test_the_caching_page_tells_the_truth(config: VolumeConfig, write_cache: bool) -> None:
    prepared = prepare_volume(config)
    unit = make_logical_unit(
        prepared, identity=volume_identity(**ALIKE), target_name="iqn.t", read_only=False
    )
    assert unit.write_cache is write_cache


def test_write_through_has_no_write_cache(tmp_path: Path) -> None:
    prepared = prepare_volume(parse_volume(f"{tmp_path}/disk.img:1M"))
    prepared = replace(prepared, spec=replace(prepared.spec, write_through=True))
    unit = make_logical_unit(
        prepared, identity=volume_identity(**ALIKE), target_name="iqn.t", read_only=False
    )
    assert not unit.write_cache
