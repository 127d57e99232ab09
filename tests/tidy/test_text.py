"""What no file of this repository may contain."""

from __future__ import annotations

import re

import pytest

from tests.tidy.source_tree import ROOT, files, shown

TEXT_SUFFIXES = (
    *(".c", ".cfg", ".h", ".in", ".md", ".py", ".pyi", ".rs", ".sh", ".svg", ".toml", ".txt"),
    *(".yaml", ".yml"),
)
# Written in pieces, so that this file does not contain them.
FORBIDDEN = {
    "unfinished work": r"\b(TO"
    r"DO|FIX"
    r"ME|X"
    r"XX)\b|\bNotImplemented"
    r"Error\b|\b(to"
    r"do|unimpl"
    r"emented)!\(",
    "a path of one machine": r"(?<![\w.])/(work|root|home)/[a-z]",
    "a merge's leftover": r"^(<{7}|>{7}) ",
}
# LICENSE is quoted; the pinned lists are generated.
EXEMPT = {"LICENSE"}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    offenders = []
    for path in files():
        if (path.suffix and path.suffix not in TEXT_SUFFIXES) or shown(path) in EXEMPT:
            continue
        text = path.read_text(errors="replace")
        offenders += [
            f"{shown(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
            for match in pattern.finditer(text)
        ]
    assert not offenders, "\n".join(offenders)


def test_text_files_end_with_one_newline() -> None:
    offenders = [
        shown(path)
        for path in files(*TEXT_SUFFIXES)
        if (text := path.read_text(errors="replace")) and not re.search(r"[^\n]\n\Z", text)
    ]
    assert not offenders


def test_log_calls_show_no_secret() -> None:
    """CHAP secrets and responses never reach a log line."""
    call = re.compile(r"\blog(?:ger)?\.\w+\((?:[^()]|\([^()]*\))*\)", re.DOTALL)
    secret = re.compile(r"\b(secret|password|chap_r|response)\b", re.IGNORECASE)
    offenders = [
        f"{shown(path)}: {match[0]}"
        for path in files(".py")
        if path.is_relative_to(ROOT / "src")
        for match in call.finditer(path.read_text())
        if secret.search(match[0])
    ]
    assert not offenders, "\n".join(offenders)
