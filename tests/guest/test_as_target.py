"""The wheel serves in a guest: on another kernel, for initiators on this machine."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from tests.guest.storage import FAIRLEAD, START_S

if TYPE_CHECKING:
    from tests.guest.figures import Figures
    from tests.guest.storage import Storage

BLOCK_BYTES = 512

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_wheel_runs_on_the_guests_python(storage: Storage) -> None:
    version = storage.guest.run(f"{FAIRLEAD} --version", timeout=START_S).output
    assert re.search(r"\d+\.\d+\.\d+", version)


def test_it_serves_to_this_machine(storage: Storage, figures: Figures) -> None:
    data = random.Random(1).randbytes(64 * BLOCK_BYTES)
    disk = storage.add_disk()
    volumes = {
        "disk": {"kind": "direct", "path": f"/dev/{disk.block}"},
        "ram": {"kind": "memory", "size": "16M"},
    }
    with storage.serving(volumes):
        for volume in volumes:
            with storage.log_in(volume) as client:
                client.write_16(8, data)
                client.synchronize_cache_16()
                assert client.read_16(8, len(data) // BLOCK_BYTES).data == data
                figures.verified(len(data))
