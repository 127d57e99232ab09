"""The wheel: it installs into a fresh environment and serves where no cargo is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.server import serving
from tests.support.wheel import build_wheel

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Runs a program that must succeed, and returns what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def environment_without_cargo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A PATH that has the initiators and nothing that could compile."""
    folder = tmp_path_factory.mktemp("bin")
    for tool in ("iscsi-ls", "qemu-img", "sh"):
        found = shutil.which(tool)
        assert found is not None, f"{tool} is not installed"
        (folder / tool).symlink_to(found)
    kept = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    environment = kept | {"PATH": str(folder), "HOME": str(folder)}
    for compiler in ("cargo", "rustc", "cc", "gcc"):
        assert shutil.which(compiler, path=environment["PATH"]) is None
    return environment


def test_wheel_holds_what_it_should(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert re.fullmatch(r"fairlead-[\d.]+-cp311-abi3-\w+\.whl", wheel.name)
    for part in (
        "fairlead/__init__.py",
        "fairlead/__main__.py",
        "fairlead/_dataplane.abi3.so",
        "fairlead/py.typed",
    ):
        assert part in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "crates", "target"))]


def test_wheel_serves_in_a_fresh_environment(
    wheel: Path, environment_without_cargo: dict[str, str], tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    only_wheels = ("--require-hashes", "--only-binary", ":all:")
    run(
        *(*pip, *only_wheels, "-r", "requirements/runtime.txt"),
        env=environment_without_cargo,
    )
    run(*pip, "--no-index", "--no-deps", wheel, env=environment_without_cargo)
    with serving(
        ("memory:16M",),
        tmp_path,
        environment=environment_without_cargo,
        program=(str(environment / "bin" / "fairlead"),),
    ) as server:
        url = server.urls[0]
        assert url.split("/")[3] in run("iscsi-ls", f"iscsi://{server.portal}")
        # Reads all of it through the installed data plane: zeroes, so that nothing is allocated.
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", url, tmp_path / "copy.img")
        assert (tmp_path / "copy.img").stat().st_size == 16 << 20
