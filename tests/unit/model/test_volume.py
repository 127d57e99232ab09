from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.model.document import explain_validation
from fairlead.model.volume import VolumeConfig

SG = {"kind": "sg", "path": "/dev/sg3"}
LUN = {"kind": "iscsi", "path": "iscsi://host/iqn.2026-01.example:a/0"}
SECRET = "s3cr%t/:!"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "file"}, 'a file volume needs a path; add path = "..."'),
        ({"kind": "direct"}, "a direct volume needs a path"),
        ({"kind": "null", "size": 512, "path": "x"}, "a null volume has no path; remove path"),
        ({"kind": "sim", "size": 512}, 'a sim volume needs a device; add model = "ssd-20k"'),
        ({"path": "x", "model": "ssd-20k"}, "a file volume simulates nothing; remove model"),
        ({"kind": "memory"}, 'a memory volume needs a size; add size = "1G"'),
        ({"kind": "sg"}, 'an sg volume needs a device; add path = "/dev/sg3"'),
        ({"kind": "iscsi"}, 'an iscsi volume needs a device; add path = "iscsi://'),
        ({**SG, "size": "1G"}, "an sg volume has no size: the device itself says how large"),
        ({**SG, "thin": True}, "an sg volume has no thin"),
        ({**SG, "write_through": True}, "an sg volume has no write_through: its cache is set by"),
        ({**SG, "logical_block_bytes": 512}, "an sg volume has no logical_block_bytes"),
        ({**SG, "physical_block_bytes": 512}, "an sg volume has no physical_block_bytes"),
        ({**SG, "model": "ssd-20k"}, "an sg volume has no model: it simulates nothing"),
        ({**SG, "serial": "S1"}, 'remove serial, or add identity = "own"'),
        ({**SG, "timeout": "500ms"}, "timeout is 0.5 s; take 1s to 24h"),
        ({**SG, "timeout": "25h"}, "timeout is 90000 s; take 1s to 24h"),
        ({**SG, "timeout": "soon"}, "'soon' is not a duration; write a whole number and ms, s, m"),
        ({**SG, "timeout": 1.5}, "1.5 is not a duration"),
        ({**SG, "timeout": "0s"}, "'0s' is no time at all"),
        ({**SG, "password": "p"}, "a device of this host asks for no password; remove password"),
        ({**LUN, "password": "p"}, "there is a password and no user; name the user in path"),
        ({"path": "x", "allow": ["FORMAT UNIT"]}, "a file volume passes nothing to a SCSI device"),
        ({"path": "x", "identity": "device"}, "remove identity"),
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


def test_a_pass_through_volume_says_what_it_needs() -> None:
    volume = VolumeConfig.model_validate({"name": "v", **SG, "timeout": "15m", "thin": False})
    assert (volume.is_pass_through, volume.identity, volume.allow) == (True, "device", ())
    assert volume.timeout == 900 * 10**9
    assert VolumeConfig.model_validate({"name": "v", **SG, "timeout": 90}).timeout == 90 * 10**9
    own = VolumeConfig.model_validate({"name": "v", **SG, "identity": "own", "serial": "S1"})
    assert own.serial == "S1"
    assert not VolumeConfig(name="v", path="x").is_pass_through


def test_a_password_leaves_the_url() -> None:
    path = f"iscsi://bob%{SECRET}@host/iqn.2026-01.example:a/0"
    volume = VolumeConfig.model_validate({"name": "v", "kind": "iscsi", "path": path})
    assert volume.path == "iscsi://bob@host:3260/iqn.2026-01.example:a/0"
    assert volume.password is not None
    assert volume.password.get_secret_value() == SECRET
    assert SECRET not in repr(volume) + str(volume)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": f"iscsi://bob%{SECRET}@host/iqn.2026-01.example:a/x"}, "a target's name and a"),
        ({"path": f"iscsi://bob:{SECRET}@host/iqn.2026-01.example:a/0"}, "told from a password"),
        ({"path": f"iscsi://bob%{SECRET}@@host/iqn.2026-01.example:a/0"}, "without @"),
        (
            {"path": f"iscsi://bob%{SECRET}@host/iqn.2026-01.example:a/0", "password": SECRET},
            "there are two passwords",
        ),
        (
            {
                "path": f"iscsi://bob%{SECRET}@host/iqn.2026-01.example:a/0",
                "password_file": "/etc/p",
            },
            "there are two passwords",
        ),
        ({"path": LUN["path"], "password": f"{SECRET} "}, "there is a password and no user"),
        ({"path": LUN["path"], "password": f"{SECRET} x"}, "the password cannot be used"),
        ({"path": LUN["path"], "password": f"{SECRET}", "size": 5}, "has no size"),
    ],
)
def test_no_mistake_shows_a_password(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        VolumeConfig.model_validate({"name": "v", "kind": "iscsi", **fields})
    explained = str(explain_validation(caught.value, VolumeConfig))
    for text in (str(caught.value), explained):
        assert message in text
        assert SECRET not in text
