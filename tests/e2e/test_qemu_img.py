"""Round trips by QEMU's own initiator, on every driver and pool."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.cells import DRIVERS, POOLS
from tests.support.server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server

MIB = 1 << 20
SIZE_BYTES = 48 * MIB

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(driver: str, pool: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(f"qemu-{driver}-{pool}")


@pytest.fixture(scope="module")
def server(driver: str, pool: str, folder: Path) -> Iterator[Server]:
    volumes = (f"disk.img:{SIZE_BYTES}", f"memory:{SIZE_BYTES}", f"direct:direct.img:{SIZE_BYTES}")
    with serving(volumes, folder, driver=driver, pool=pool) as served:
        yield served


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    """An image of data, zeroes and holes, the same in every run."""
    path = folder / "source.img"
    noise = random.Random(2008)
    with path.open("wb") as file:
        file.truncate(SIZE_BYTES)
        for start_mib in (0, 5, 6, 17, 40, 47):
            file.seek(start_mib * MIB)
            file.write(noise.randbytes(MIB))
        file.seek(20 * MIB)
        file.write(bytes(2 * MIB))
        file.seek(30 * MIB + 4608)  # Not aligned to a page.
        file.write(noise.randbytes(9 * 512))
    return path


def run(*command: str) -> str:
    """Runs a program that must succeed, and returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.cell("round trip")
@pytest.mark.parametrize("volume", [0, 1, 2], ids=["file", "memory", "direct"])
def test_image_round_trip(server: Server, image: Path, folder: Path, volume: int) -> None:
    url = server.urls[volume]
    back = folder / f"back-{volume}.img"
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), url)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), url)
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", url, str(back))
    assert back.read_bytes() == image.read_bytes()


@pytest.mark.cell("round trip")
def test_out_of_order_writes_round_trip(server: Server, image: Path, folder: Path) -> None:
    """Sixteen requests at once, in any order: every block still lands in its own place."""
    back = folder / "back-unordered.img"
    convert = ("qemu-img", "convert", "-W", "-m", "16", "-f", "raw", "-O", "raw")
    run(*convert, "-n", "-S", "0", str(image), server.urls[0])
    run(*convert, server.urls[0], str(back))
    assert back.read_bytes() == image.read_bytes()


@pytest.mark.cell("round trip")
def test_volume_to_volume(server: Server, image: Path) -> None:
    source, copy = server.urls[:2]
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), source)
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, copy)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, copy)


@pytest.mark.cell("round trip")
def test_fua_and_flush(server: Server) -> None:
    """Writes with FUA, a flush, zeroes and a discard read back as they should."""
    output = run(
        "qemu-io",
        *("-f", "raw", "--cache", "none", "--discard", "unmap"),
        *("-c", "write -P 0x5a 0 128k"),
        *("-c", "write -f -P 0xa5 64k 64k"),
        *("-c", "flush"),
        *("-c", "read -P 0x5a 0 64k"),
        *("-c", "read -P 0xa5 64k 64k"),
        *("-c", "write -z 32k 64k"),
        *("-c", "read -P 0 32k 64k"),
        *("-c", "discard 0 1M"),
        *("-c", "flush"),
        server.urls[0],
    )
    assert "failed" not in output.lower(), output


def test_mismatch_is_noticed(server: Server, image: Path) -> None:
    """The comparison above can fail: one changed byte is found."""
    url = server.urls[1]
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), url)
    run("qemu-io", "-f", "raw", "-c", f"write -P 0xee {17 * MIB} 512", url)
    compared = subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert compared.returncode == 1
    assert f"at offset {17 * MIB}" in compared.stdout
