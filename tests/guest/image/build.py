"""Makes what a guest is started from: a kernel, its first file system, and a root disk.

Kept in `.guest/` under a key of the recipe's text and the packages' versions. The root file system
is a disk of whole packages, because it is read as it is needed: copied into memory, all that fio
and Python bring along would take the emulated machine longer than to start.

Usage: python -m tests.guest.image.build [FLAVOUR]...
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.guest.image.archive import Archive
from tests.guest.image.kernel import Modules, run_inside, unpacked
from tests.guest.image.packages import MirrorError, Package, Packages, unpack
from tests.guest.image.recipe import BOOT_MODULES, FLAVOURS, Flavour

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[3]
CACHE: Final = ROOT / ".guest"
_OURS: Final = ROOT / "tests" / "guest"
_NEEDED: Final = ("qemu-system-x86_64", "setpriv", "apt-get", "dpkg-deb", "tar")
_PUT_IN: Final = ("boot", "start", "agent.py")
"""Files of ours that are part of an image."""
_FREE_BYTES: Final = 256 << 20
"""Room on the root disk for what a test writes there."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest is started from; paths of files that are only read."""

    kernel: Path
    first_files: Path
    root_disk: Path
    manifest: dict[str, object]
    """What is in it: "packages" with their versions, "kernel", "python", "build_s"."""


def why_no_guest() -> str | None:
    """Say why no guest can be made and started on this machine; None where one can."""
    if platform.machine() != "x86_64":
        return f"the guest is made for x86_64, and this machine is {platform.machine()}"
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def image(name: str) -> Image:
    """Return the image of a flavour, made now if there is none or the recipe has changed.

    Raises:
        MirrorError: packages could not be fetched.
    """
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _image(name)


def _image(name: str) -> Image:
    flavour = FLAVOURS[name]
    store = Packages(CACHE)
    store.refresh()
    packages = store.closure(flavour.packages)
    key = _key(packages)
    folder = CACHE / "images" / f"{name}-{key}"
    if not folder.exists():
        try:
            files = store.fetch(packages)
        except MirrorError:
            # The lists may be older than the mirror: one more try with new ones.
            store.refresh(force=True)
            packages = store.closure(flavour.packages)
            key, files = _key(packages), store.fetch(packages)
            folder = CACHE / "images" / f"{name}-{key}"
        for old in (CACHE / "images").glob(f"{name}-*"):
            shutil.rmtree(old)
        _build(flavour, packages, files, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    return Image(folder / "kernel", folder / "first-files", folder / "root-disk", manifest)


def _key(packages: Sequence[Package]) -> str:
    found = hashlib.sha256(repr(packages).encode())
    for path in [*sorted((_OURS / "image").glob("*.py")), *map(_inside, _PUT_IN)]:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _inside(name: str) -> Path:
    return _OURS / "inside" / name


def _build(
    flavour: Flavour, packages: Sequence[Package], files: Sequence[Path], folder: Path
) -> None:
    started = time.monotonic()
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    tree = new / "tree"
    tree.mkdir(parents=True)
    unpack(files, tree)
    modules = Modules(tree)
    (new / "kernel").write_bytes(unpacked(next((tree / "boot").glob("vmlinuz-*")).read_bytes()))
    _write_first_files(tree, modules, new / "first-files")
    modules.keep([*BOOT_MODULES, *flavour.modules, *flavour.more_modules])
    shutil.rmtree(tree / "boot")
    python = _prepare(tree, flavour)
    _write_disk(tree, new / "root-disk")
    manifest = {
        "packages": {package.name: package.version for package in packages},
        "kernel": modules.release,
        "python": python,
        "build_s": round(time.monotonic() - started, 1),
    }
    (new / "manifest.json").write_text(json.dumps(manifest, indent=1))
    shutil.rmtree(tree)
    new.rename(folder)


def _write_first_files(tree: Path, modules: Modules, path: Path) -> None:
    archive = Archive()
    archive.add_folder("dev")
    archive.add_character_device("dev/console", 5, 1)
    archive.add("init", _inside("boot").read_bytes(), mode=0o755)
    archive.add("bin/busybox", (tree / "usr/bin/busybox").read_bytes(), mode=0o755)
    ordered = modules.in_order(BOOT_MODULES)
    for module in ordered:
        archive.add(f"modules/{module.name}", module.read_bytes())
    archive.add("modules/order", "\n".join(module.name for module in ordered).encode())
    path.write_bytes(archive.content())


def _prepare(tree: Path, flavour: Flavour) -> str:
    """Put our own files into the tree, and compile Python's; return Python's version."""
    for name in ("dev", "proc", "sys", "run", "tmp", "mnt", "root", "guest", "etc", "var/lib"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("start", "agent.py"):
        shutil.copy2(_inside(name), tree / "guest" / name)
    (tree / "guest" / "start").chmod(0o755)
    (tree / "guest" / "modules").write_text("".join(f"{name}\n" for name in flavour.modules))
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    if not (tree / "usr/bin/sh").exists():
        (tree / "usr/bin/sh").symlink_to("bash")
    python = next((tree / "usr/bin").glob("python3.[0-9]*")).name
    # The emulated machine would take a second for what this one does at once.
    library = tree / "usr/lib" / python
    run_inside(
        *(tree, f"usr/bin/{python}", "-m", "compileall", "-q", "-j", "2"),
        *("-s", str(tree), "-p", "/", str(library)),
    )
    return python.removeprefix("python")


def _write_disk(tree: Path, path: Path) -> None:
    used = sum(file.lstat().st_size + 4096 for file in tree.rglob("*"))
    with path.open("wb") as file:
        file.truncate((used * 11 // 10 + _FREE_BYTES) >> 20 << 20)
    # No journal: nobody needs it after the end.
    words = ("-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", str(tree))
    maker = shutil.which("mke2fs", path="/usr/sbin:/sbin")
    if maker is None:
        raise MirrorError("mke2fs is missing: install e2fsprogs")
    subprocess.run([maker, *words, str(path)], check=True)


def main() -> int:
    """Make the images asked for, or all, and say what is in them."""
    if reason := why_no_guest():
        print(f"no guest: {reason}", file=sys.stderr)
        return 1
    for name in sys.argv[1:] or FLAVOURS:
        started = time.monotonic()
        made = image(name)
        size_mib = sum(p.stat().st_size for p in (made.kernel, made.first_files)) >> 20
        disk_mib = made.root_disk.stat().st_blocks * 512 >> 20
        print(
            f"{name}: Linux {made.manifest['kernel']}, {size_mib} MiB to load, root {disk_mib} MiB,"
            f" {time.monotonic() - started:.1f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
