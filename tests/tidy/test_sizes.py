"""How large files and functions may grow, and how they are called."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.tidy.source_tree import ROOT, SOURCE, files, shown

if TYPE_CHECKING:
    from pathlib import Path

PYTHON_LINES_MAX = 500
RUST_LINES_MAX = 600  # The tests at the end of the file not counted.
FUNCTION_LINES_MAX = 70
NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
# Files whose point is one long table.
TABLES: frozenset[str] = frozenset({"src/fairlead/scsi/commands.py"})
# Modules beside a protocol's that are ours alone: no standard speaks of them.
OWN_MODULES = {"scsi/logical_unit.py", "scsi/request.py"}


def code_lines(path: Path) -> int:
    """Counts lines that are neither empty nor only a comment; Rust's unit tests left out."""
    text = path.read_text()
    if path.suffix == ".rs":
        text = re.split(r"^#\[cfg\(test\)\]\nmod \w+ \{", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = (line.strip() for line in text.splitlines())
    return sum(1 for line in lines if line and not line.startswith(("#", "//")))


def test_files_stay_small() -> None:
    limits = {".py": PYTHON_LINES_MAX, ".rs": RUST_LINES_MAX}
    too_long = [
        f"{shown(path)}: {count} lines, limit {limits[path.suffix]}"
        for path in files(*limits)
        if (count := code_lines(path)) > limits[path.suffix] and shown(path) not in TABLES
    ]
    assert not too_long, "\n".join(too_long)


def test_python_functions_stay_small() -> None:
    """Counted without the docstring: explaining more must not cost anything."""
    too_long = []
    for path in files(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body
            if ast.get_docstring(node, clean=False) is not None:
                body = body[1:]
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > FUNCTION_LINES_MAX:
                too_long.append(f"{shown(path)}:{node.lineno} {node.name}: {lines} lines")
    assert not too_long, "\n".join(too_long)


def test_file_names_say_something() -> None:
    offenders = [
        shown(path)
        for path in files(".py", ".rs")
        if path.stem in NAMES_THAT_SAY_NOTHING or path.parent.name in NAMES_THAT_SAY_NOTHING
    ]
    assert not offenders


def test_every_package_has_a_docstring_and_every_public_item_too() -> None:
    missing = []
    for path in files(".py"):
        if not path.is_relative_to(SOURCE):
            continue
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            missing.append(shown(path))
        missing += [
            f"{shown(path)}:{node.lineno} {node.name}"
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    assert not missing, "\n".join(missing)


def test_every_module_that_implements_a_standard_names_it() -> None:
    """Spec: lines are how a reader gets from the code to the requirement."""
    without = [
        shown(path)
        for package in ("proto", "scsi")
        for path in (SOURCE / package).rglob("*.py")
        if path.name != "__init__.py"
        and str(path.relative_to(SOURCE)) not in OWN_MODULES
        and "Spec:" not in path.read_text()
    ]
    assert not without, "\n".join(without)


def test_scripts_can_be_executed() -> None:
    for name in ("demo", "test", ".ci/run", "scripts/pin_requirements.sh"):
        assert (ROOT / name).stat().st_mode & 0o111, f"{name} is not executable"
