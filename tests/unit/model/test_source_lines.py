from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.source_lines import find_line, source_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.model.source_lines import KeyPath

TEXT = '''\
grouping = "initiator"  # [not] = a table
portals = [
  "127.0.0.1:3260", # with, commas and ] in it
  "[::1]:3260",
]

[engine]
nop_timeout_s = 1.5
"driver" = 'auto'
naming.authority = """
several
lines = [ ]
"""

[[targets]]
name = "a"
luns = [{ lun = 0, volume = "x" },
  { lun = 1, volume = "y" }]

[[targets]]
name = "b"
[[targets.luns]]
volume = "x"
[[targets.luns]]
volume = \'\'\'y
z\'\'\'
at = 2026-01-01T00:00:00Z
[ targets.extra ]
deep."quoted.key" = -1
'''

LINES: dict[KeyPath, int] = {
    ("grouping",): 1,
    ("portals",): 2,
    ("portals", 0): 3,
    ("portals", 1): 4,
    ("engine",): 7,
    ("engine", "nop_timeout_s"): 8,
    ("engine", "driver"): 9,
    ("engine", "naming", "authority"): 10,
    ("targets", 0): 15,
    ("targets", 0, "name"): 16,
    ("targets", 0, "luns", 0, "lun"): 17,
    ("targets", 0, "luns", 1, "lun"): 18,
    ("targets", 0, "luns", 1, "volume"): 18,
    ("targets", 1): 20,
    ("targets", 1, "name"): 21,
    ("targets", 1, "luns", 0): 22,
    ("targets", 1, "luns", 0, "volume"): 23,
    ("targets", 1, "luns", 1, "volume"): 25,
    ("targets", 1, "luns", 1, "at"): 27,
    ("targets", 1, "extra"): 28,
    ("targets", 1, "extra", "deep", "quoted.key"): 29,
}


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


def test_lines_of_every_way_to_write_a_key() -> None:
    lines = source_lines(TEXT)
    assert {path: lines.get(path) for path in LINES} == LINES


def test_every_path_of_the_document_has_a_line() -> None:
    lines = source_lines(TEXT)
    assert not [path for path in paths(tomllib.loads(TEXT)) if path not in lines]


def test_a_field_that_is_missing_is_shown_at_what_it_is_missing_from() -> None:
    lines = source_lines(TEXT)
    assert find_line(lines, ("targets", 1, "luns", 0, "read_only")) == 22
    assert find_line(lines, ("nothing",)) is None


@given(st.text(max_size=200))
def test_text_that_is_not_toml_ends(text: str) -> None:
    source_lines(text)


SCALARS = st.one_of(st.integers(), st.booleans(), st.text("ab]}[{=,#.\n\"'\\", max_size=5))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab.", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        escaped = "".join(f"\\u{ord(c):04x}" if c in '"\\\n' else c for c in value)
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(written, value)) + "]"
    assert isinstance(value, dict)
    return "{" + ", ".join(f'"{key}" = {written(inner)}' for key, inner in value.items()) + "}"


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=2), VALUES, max_size=4))
def test_every_path_of_any_document_has_a_line(document: dict[str, object]) -> None:
    text = "".join(f'"{key}" = {written(value)}\n' for key, value in document.items())
    assert set(paths(tomllib.loads(text))) == set(source_lines(text))
