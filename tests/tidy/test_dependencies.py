"""Every dependency is pinned, hashed, and has its reason in writing."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.tidy.source_tree import ROOT

LISTS = ("runtime", "build", "dev")


def requirement_names(list_name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{list_name}.in").read_text()
    return set(re.findall(r"^([a-z][a-z0-9-]*)", text, re.MULTILINE))


def crate_names() -> set[str]:
    manifests = [ROOT / "Cargo.toml", *(ROOT / "crates").glob("*/Cargo.toml")]
    manifests += (ROOT / "fuzz").glob("Cargo.toml")
    names: set[str] = set()
    for path in manifests:
        manifest = tomllib.loads(path.read_text())
        for table in (manifest, manifest.get("workspace", {})):
            for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
                names |= set(table.get(kind, {}))
    return {name for name in names if not name.startswith("fairlead-")}


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "adr" / "dependencies.md").read_text()
    explained = set(re.findall(r"^\| `([A-Za-z0-9_-]+)`", page, re.MULTILINE))
    used = crate_names().union(*map(requirement_names, LISTS))
    assert used <= explained, f"without a reason: {sorted(used - explained)}"


@pytest.mark.parametrize("name", LISTS)
def test_pinned_lists_have_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.findall(r"^[a-z](?:[^\n]*\\\n)*[^\n]*", text, re.MULTILINE)
    assert len(entries) > 0
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[^ ]+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"https?://|--(extra-)?index|--find-links|--trusted", text)


@pytest.mark.parametrize("name", LISTS)
def test_pinned_lists_hold_what_is_asked_for(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    assert requirement_names(name) <= pinned


def test_the_package_asks_for_what_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^a-z0-9-]", line)[0] for line in project["dependencies"]}
    assert names == requirement_names("runtime")


def test_the_lock_file_has_checksums_and_the_public_registry_only() -> None:
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    foreign = [package for package in packages if "source" in package]
    assert foreign
    for package in foreign:
        assert package["source"] == "registry+https://github.com/rust-lang/crates.io-index"
        assert package["checksum"]


def test_one_minimum_version_of_rust() -> None:
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    minimum = manifest["workspace"]["package"]["rust-version"]
    assert f"CARGO_MINIMUM={minimum}\n" in (ROOT / "scripts" / "prepare.sh").read_text()
