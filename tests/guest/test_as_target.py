"""The wheel serves in a guest: on another kernel, for initiators on this machine."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from fairlead.testing.client import connect
from tests.guest.conftest import switched_on
from tests.guest.payload import build_wheel, payload
from tests.guest.served import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.guest.machine.guest import Guest, Running

FAIRLEAD = "PYTHONPATH=/payload python3 -B -m fairlead"
BLOCK_BYTES = 512
# Importing all of it takes an emulated machine some seconds.
START_S = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def host(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest with fairlead installed, and its port 3260 here."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    guest = switched_on("target", payload=lambda python: payload(wheel, python), port=port)
    yield guest
    guest.power_off()


@pytest.fixture
def serving(host: Guest) -> Iterator[Running]:
    """``fairlead serve`` with a disk of the kernel's own making."""
    host.run("modprobe scsi_debug dev_size_mb=16 lbpu=1 && udevadm settle || true")
    disk = host.wait_for("ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/")
    words = f"--portal 0.0.0.0:3260 --allow-anyone direct:/dev/{disk.strip()} memory:ram:16M"
    running = host.start(f"{FAIRLEAD} serve {words}")
    running.wait_for(r"^ready", START_S)
    yield running
    host.run("pkill -TERM -f 'fairlead serve'")
    assert running.wait().status == 0, running.output


def test_the_wheel_runs_on_the_guests_python(host: Guest) -> None:
    version = host.run(f"{FAIRLEAD} --version", timeout=START_S).output
    assert re.search(r"\d+\.\d+\.\d+", version)


def test_it_serves_to_this_machine(serving: Running, port: int) -> None:
    data = random.Random(1).randbytes(64 * BLOCK_BYTES)
    targets = re.findall(r"iscsi://[^/]+/([^/\s]+)/0", serving.output)
    assert len(targets) == 2, serving.output
    for target in targets:
        with connect(f"127.0.0.1:{port}", target, "iqn.2026-01.example.machine:host") as client:
            client.test_unit_ready()
            client.write_16(8, data)
            client.synchronize_cache_16()
            assert client.read_16(8, len(data) // BLOCK_BYTES).data == data
