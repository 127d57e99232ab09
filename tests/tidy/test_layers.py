"""The layer rules of ARCHITECTURE.md that import-linter cannot say, executed."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.tidy.source_tree import ROOT, SOURCE, files, shown

if TYPE_CHECKING:
    from pathlib import Path

PURE_PACKAGES = ("proto", "scsi", "model", "sched")
IMPURE_MODULES = {
    *("asyncio", "logging", "os", "random", "secrets", "selectors", "shutil", "signal", "socket"),
    *("ssl", "structlog", "subprocess", "tempfile", "threading", "time"),
}
IMPURE_BUILTINS = {"breakpoint", "input", "open", "print"}
# Crates that decode and decide; what they may depend on cannot do I/O.
PURE_CRATES = {
    "proto": {"crc32c", "zerocopy", "thiserror"},
    "sched": {"thiserror"},
    "devices": set(),
}


def python_files(package: str) -> list[Path]:
    return [path for path in files(".py") if path.is_relative_to(SOURCE / package)]


def imported_roots(tree: ast.AST) -> set[str]:
    """The top-level names of everything that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def called_builtins(tree: ast.AST) -> set[str]:
    return {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_pure_packages_do_no_io(package: str) -> None:
    """Spec: invariant 1; protocol cores do no I/O and read no clock."""
    paths = python_files(package)
    assert paths, f"no package {package}: the rule would hold for nothing"
    offenders = []
    for path in paths:
        tree = ast.parse(path.read_text())
        bad = imported_roots(tree) & IMPURE_MODULES | called_builtins(tree) & IMPURE_BUILTINS
        if bad:
            offenders.append(f"{shown(path)}: {sorted(bad)}")
    assert not offenders, "\n".join(offenders)


def test_only_the_adapter_imports_the_extension() -> None:
    offenders = [
        shown(path)
        for path in files(".py")
        if path.is_relative_to(SOURCE)
        and re.search(r"\b_dataplane\b", path.read_text())
        and path.parent != SOURCE / "dataplane"
    ]
    assert not offenders


def test_protocols_never_import_one_another() -> None:
    families = [path.name for path in (SOURCE / "proto").iterdir() if path.is_dir()]
    offenders = [
        f"{shown(path)} imports fairlead.proto.{other}"
        for family in families
        for path in python_files(f"proto/{family}")
        for other in families
        if other != family and re.search(rf"\bfairlead\.proto\.{other}\b", path.read_text())
    ]
    assert not offenders


@pytest.mark.parametrize("crate", PURE_CRATES)
def test_pure_crates_depend_on_nothing_that_does_io(crate: str) -> None:
    manifest = tomllib.loads((ROOT / "crates" / crate / "Cargo.toml").read_text())
    allowed = PURE_CRATES[crate] | {"fairlead-proto", "fairlead-sched"}
    assert set(manifest.get("dependencies", {})) <= allowed


@pytest.mark.parametrize("crate", PURE_CRATES)
def test_pure_crates_forbid_unsafe_code(crate: str) -> None:
    assert "#![forbid(unsafe_code)]" in (ROOT / "crates" / crate / "src/lib.rs").read_text()


def test_the_kernel_is_the_engines_alone() -> None:
    users = {
        manifest.parent.name
        for manifest in (ROOT / "crates").glob("*/Cargo.toml")
        if {"io-uring", "libc"} & set(tomllib.loads(manifest.read_text()).get("dependencies", {}))
    }
    assert users == {"engine"}


def test_python_is_known_at_the_rim_alone() -> None:
    """No Python runs on an I/O thread: the crates with threads do not know it."""
    users = {
        manifest.parent.name
        for manifest in (ROOT / "crates").glob("*/Cargo.toml")
        if "pyo3" in tomllib.loads(manifest.read_text()).get("dependencies", {})
    }
    assert users == {"py"}
