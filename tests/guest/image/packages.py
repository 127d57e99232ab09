"""Debian packages, chosen and fetched by apt and unpacked here: nothing is installed.

apt gets folders of its own, so that neither root nor the state of this machine matters; where
packages come from is what the machine's own sources say.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.guest.image.recipe import NOT_UNPACKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# Security updates take the older version away from where it is fetched.
LISTS_AGE_MAX_S: Final = 7 * 24 * 3600.0
_APT_TIMEOUT_S: Final = 240.0
_NOBODY_READS: Final = tuple(
    f"./usr/share/{folder}"
    for folder in ("doc", "man", "locale", "info", "lintian", "bash-completion")
)

# A package's own /bin must not take the place of the link.
_AS_IT_IS: Final = ("--keep-directory-symlink", "--no-same-owner")


class MirrorError(Exception):
    """Packages could not be had; the message holds what apt said."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package as apt names it."""

    name: str
    version: str


class Packages:
    """Packages for the guests.

    Args:
        folder: where apt keeps its lists, and we what was fetched.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._lists: Final = folder / "apt" / "lists"
        self._fetched: Final = folder / "packages"
        for needed in (self._lists / "partial", folder / "apt/cache/archives/partial"):
            needed.mkdir(parents=True, exist_ok=True)
        self._fetched.mkdir(exist_ok=True)
        (folder / "apt" / "status").touch()  # No package is installed.

    def refresh(self, *, force: bool = False) -> None:
        """Renew the lists of packages where they are old.

        Raises:
            MirrorError: there are none, and none could be fetched.
        """
        stamp = self._folder / "apt" / "refreshed"
        if not force and stamp.exists():
            age_s = time.time() - stamp.stat().st_mtime
            if age_s < LISTS_AGE_MAX_S:
                return
        try:
            self._apt("update", "-o", "APT::Update::Error-Mode=any")
        except MirrorError:
            if force or not stamp.exists():
                raise
            return  # Older lists may still do.
        stamp.touch()

    def closure(self, names: Sequence[str]) -> list[Package]:
        """Return the packages of these names and all that they depend on.

        Raises:
            MirrorError: apt does not know one of them.
        """
        stamp = self._folder / "apt" / "refreshed"
        asked = {"names": list(names), "lists": stamp.stat().st_mtime_ns}
        known = self._folder / "apt" / "closures.json"
        closures = json.loads(known.read_text()) if known.exists() else []
        for entry in closures:
            if entry["asked"] == asked:
                return [Package(*pair) for pair in entry["packages"]]
        output = self._apt("install", "--simulate", "--no-install-recommends", *names)
        found = sorted(
            Package(name, version)
            for name, version in re.findall(r"^Inst (\S+) \((\S+) ", output, re.MULTILINE)
            if name not in NOT_UNPACKED
        )
        kept = [entry for entry in closures if entry["asked"]["lists"] == asked["lists"]]
        kept.append({"asked": asked, "packages": [[p.name, p.version] for p in found]})
        known.write_text(json.dumps(kept))
        return found

    def fetch(self, packages: Iterable[Package]) -> list[Path]:
        """Return the packages' files, those fetched that are not there yet.

        Raises:
            MirrorError: not all could be fetched.
        """
        wanted = list(packages)
        missing = [package for package in wanted if self._file(package) is None]
        if missing:
            words = [f"{package.name}={package.version}" for package in missing]
            self._apt("download", *words, folder=self._fetched)
        found = [self._file(package) for package in wanted]
        assert None not in found, "apt fetched something else than was asked for"
        return [path for path in found if path is not None]

    def _file(self, package: Package) -> Path | None:
        version = package.version.replace(":", "%3a")
        return next(iter(self._fetched.glob(f"{package.name}_{version}_*.deb")), None)

    def _apt(self, *words: str, folder: Path | None = None) -> str:
        own = self._folder.resolve() / "apt"
        settings = {
            "Dir::State": own,
            "Dir::State::lists": own / "lists",
            "Dir::State::status": own / "status",
            "Dir::Cache": own / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",  # The sandbox's user cannot write here.
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        try:
            done = subprocess.run(
                ["apt-get", "-q", *options, *words],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_APT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MirrorError(f"apt-get {words[0]}: not within {_APT_TIMEOUT_S:g} s") from error
        if done.returncode != 0:
            raise MirrorError(f"apt-get {words[0]} failed:\n{done.stdout[-2000:]}{done.stderr}")
        return done.stdout


def unpack(files: Iterable[Path], tree: Path) -> None:
    """Unpack packages into a folder that becomes a root file system, /usr merged."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    excluded = [f"--exclude={folder}" for folder in _NOBODY_READS]
    for file in files:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE
        ) as package:
            subprocess.run(
                ["tar", "-x", "-C", str(tree), *_AS_IT_IS, *excluded],
                stdin=package.stdout,
                check=True,
            )
        if package.returncode != 0:
            raise MirrorError(f"{file.name} cannot be unpacked; delete it to fetch it again")
