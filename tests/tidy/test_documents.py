"""What the documents say is there: commands, options, files, tests, configuration."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache

import pytest

from scripts.draw_picture import PICTURE, draw
from tests.tidy.source_tree import ROOT, files, shown

DOCUMENTS = [path for path in files(".md") if not path.is_relative_to(ROOT / "docs" / "research")]
REQUIRED = (
    *("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"),
    *("docs/adr/README.md", "docs/adr/dependencies.md"),
)


def blocks(language: str) -> list[tuple[str, str]]:
    """(document, text) of every fenced block of one language."""
    return [
        (shown(path), text)
        for path in DOCUMENTS
        for text in re.findall(
            rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL
        )
    ]


def commands() -> list[tuple[str, list[str]]]:
    """(document, words) of every command line in the shell examples."""
    found = []
    for document, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.append((document, words))
    return found


@cache
def help_text(*subcommand: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fairlead", *subcommand, "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"COLUMNS": "200", "TERM": "dumb", "PYTHONPATH": str(ROOT / "src")},
    )
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("name", REQUIRED)
def test_document_is_there(name: str) -> None:
    assert (ROOT / name).read_text().strip()


def test_readme_names_the_two_commands() -> None:
    named = {words[0] for document, words in commands() if document == "README.md"}
    assert {"./demo", "./test"} <= named


def test_scripts_and_make_targets_in_examples_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    missing = []
    for document, words in commands():
        if words[0].startswith("./"):
            if not (ROOT / words[0]).exists():
                missing.append(f"{document}: {words[0]}")
        elif words[0] == "make":
            named = {word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)}
            missing += [f"{document}: make {target}" for target in named - targets]
    assert not missing, "\n".join(missing)


def test_fairlead_commands_and_options_in_examples_exist() -> None:
    examples = [(document, words) for document, words in commands() if words[0] == "fairlead"]
    assert examples, "the README shows no command"
    missing = []
    for document, words in examples:
        text = help_text(words[1])
        if not text:
            missing.append(f"{document}: fairlead {words[1]}")
        missing += [
            f"{document}: fairlead {words[1]} {option}"
            for word in words[2:]
            if word.startswith("--") and (option := word.partition("=")[0]) not in text
        ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(("document", "text"), blocks("toml"))
def test_configuration_examples_are_valid(document: str, text: str) -> None:
    from fairlead.model.config import Config  # noqa: PLC0415 -- the other tests need no package

    Config.model_validate(tomllib.loads(text))


@pytest.mark.parametrize(("document", "text"), blocks("python"))
def test_python_examples_use_what_is_there(document: str, text: str) -> None:
    """They compile, and every name they take from the package exists."""
    import fairlead  # noqa: PLC0415 -- as above

    compile(text, document, "exec")
    names = set(re.findall(r"\bfairlead\.([A-Za-z_]+)", text))
    missing = {name for name in names if not hasattr(fairlead, name)}
    assert not missing, f"{document}: {missing}"


def test_links_lead_somewhere() -> None:
    dead = [
        f"{shown(path)}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists()
    ]
    assert not dead, "\n".join(dead)


def test_named_tests_exist() -> None:
    """`path::name` in a document is a test: of Python, or a `fn` of Rust."""
    missing = []
    for path in DOCUMENTS:
        for file, name in re.findall(r"`([\w./-]+\.(?:py|rs))::(\w+)`", path.read_text()):
            source = ROOT / file
            if not source.exists() or not re.search(
                rf"\b(def|fn|class) {name}\b", source.read_text()
            ):
                missing.append(f"{shown(path)}: {file}::{name}")
    assert not missing, "\n".join(missing)


def test_named_files_exist() -> None:
    """A path in backquotes that starts in one of our folders is there."""
    folders = "|".join(
        ("bench", "crates", "docs", "requirements", "scripts", "src", "tests", "examples", "fuzz")
    )
    missing = [
        f"{shown(path)}: {name}"
        for path in DOCUMENTS
        if path.name != "CHANGELOG.md"
        for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", path.read_text())
        if not (ROOT / name).exists()
    ]
    assert not missing, "\n".join(missing)


def test_every_make_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert phony == explained


def test_the_picture_is_what_its_script_draws() -> None:
    assert PICTURE.read_text() == draw(), "run python -m scripts.draw_picture"
