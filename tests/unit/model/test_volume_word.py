from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.volume import VolumeConfig
from fairlead.model.volume_word import parse_volume, parse_volumes, volume_name

GIB = 1024**3
LUN = "iscsi://host:3260/iqn.2026-01.example:a"


@pytest.mark.parametrize(
    ("text", "kind", "name", "path", "size"),
    [
        ("disk.img", "file", "disk.img", "disk.img", None),
        ("/srv/disk.img:1G", "file", "disk.img", "/srv/disk.img", GIB),
        ("file:disk.img:1G", "file", "disk.img", "disk.img", GIB),
        ("direct:/dev/sdb", "direct", "sdb", "/dev/sdb", None),
        ("direct:/dev/sdb1:10G", "direct", "sdb1", "/dev/sdb1", 10 * GIB),
        ("null:1G", "null", "null", None, GIB),
        ("null:fast:1G", "null", "fast", None, GIB),
        ("memory:64M", "memory", "memory", None, 64 * 1024**2),
        ("memory:scratch:64M", "memory", "scratch", None, 64 * 1024**2),
        ("sim:ssd-20k:1G", "sim", "sim", None, GIB),
        ("sim:hdd-90,queue=32:disk:1G", "sim", "disk", None, GIB),
        ("sg:/dev/sg3", "sg", "sg3", "/dev/sg3", None),
        (
            "sg:/dev/disk/by-path/pci-0-lun-0:1G",
            "sg",
            None,
            "/dev/disk/by-path/pci-0-lun-0:1G",
            None,
        ),
        ("iscsi://host/iqn.2026-01.example:a/7", "iscsi", "a-7", f"{LUN}/7", None),
        ("iscsi:iscsi://host/iqn.2026-01.example:a/7", "iscsi", "a-7", f"{LUN}/7", None),
        # Colons of a path are not colons of ours.
        ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "file", "pci-0000-00-1f.2-ata-1", None, None),
        ("direct:/dev/disk/by-path/pci-0000:00:1f.2-ata-1:1G", "direct", None, None, GIB),
        ("file:null:1G", "file", "null", "null", GIB),
        ("nullify:1G", "file", "nullify", "nullify", GIB),
    ],
)
def test_forms(text: str, kind: str, name: str | None, path: str | None, size: int | None) -> None:
    volume = parse_volume(text)
    assert (volume.kind, volume.size) == (kind, size)
    assert name is None or volume.name == name
    assert path is None or volume.path == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no path; write PATH"),
        (":1G", "has no path; write PATH"),
        ("file:", "has no path"),
        ("direct::1G", "has no path"),
        ("disk.img:1X", "'1X' is not a size; write a whole number"),
        ("disk.img:1GB", "'1GB' is not a size"),
        ("disk.img:1.5G", "'1.5G' is not a size"),
        ("disk.img:0", "size 0 is out of range"),
        ("disk.img:1000", "size 1000 is not a multiple of the logical block of 512 bytes; 512 is"),
        ("null:", "'null:' has no size; write null:SIZE, for example null:1G"),
        ("memory:name:", "has no size; write memory:SIZE"),
        ("memory:big", "'big' is not a size"),
        ("sim:1G", "needs a device and a size; write sim:PRESET:SIZE"),
        ("sim:ssd-20k", "needs a device and a size"),
        ("sim:ssd-20k:x:", "has no size; write sim:PRESET:SIZE"),
        ("null:a/b:1G", "'a/b' is not a volume name; use letters"),
        ("sg:", "volume 'sg:' has no device; write sg:/dev/sg3"),
        ("iscsi:host", "this is not the URL of a LUN; write iscsi://"),
        ("a\0b", "is not a path; name a file or a block device"),
    ],
)
def test_mistakes_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + message.replace("'", ".")):
        parse_volume(text)


@pytest.mark.parametrize("text", ["ISCSI://bob%secret@host/{}", " iscsi://bob%secret@host/{} "])
def test_a_scheme_is_known_in_any_case_of_letters(text: str) -> None:
    volume = parse_volume(text.format("iqn.2026-01.example:a/7"))
    assert (volume.kind, volume.path) == ("iscsi", f"{LUN.replace('//', '//bob@')}/7")
    assert volume.password is not None
    assert volume.password.get_secret_value() == "secret"


@pytest.mark.parametrize("before", ["iser://", "direct:iscsi://", " x:iscsi://", "sg:iscsi://", ""])
def test_no_other_url_is_taken_for_a_path_and_shown(before: str) -> None:
    with pytest.raises(ValueError, match="not that of a LUN; write iscsi://") as caught:
        parse_volume(f"{before}us%secret@h/iqn.2026-01.example:a/7")
    assert "secret" not in str(caught.value)


@given(st.text(min_size=1, max_size=300))
def test_any_path_gives_a_valid_name(path: str) -> None:
    VolumeConfig(name=volume_name(path), path="x")


def test_equal_names_get_numbers() -> None:
    volumes = parse_volumes(["a/disk.img", "b/disk.img", "c/DISK.img", "null:1G", "null:2G"])
    assert [volume.name for volume in volumes] == [
        "disk.img",
        "disk.img-2",
        "DISK.img-3",
        "null",
        "null-2",
    ]
