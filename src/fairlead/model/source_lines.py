"""Where in a TOML text each key stands.

`tomllib` gives values without positions. This reader follows the same grammar for keys, tables,
arrays and strings, and records the line of each; it never looks at what a value means. It expects
a text that `tomllib` has accepted and, given another, stops early with what it has.
"""

from __future__ import annotations

import re
from typing import Final

KeyPath = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r"""
      (?P<space>[ \t\r]+|\#[^\n]*)
    | (?P<newline>\n)
    | (?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    | (?P<mark>[\[\]{}=,.])
    | (?P<word>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)


def find_line(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of a key path, or of the nearest part of it that is written down."""
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            return line
    return None


def source_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of every key, table and array element of a TOML text.

    A path is made of keys and array positions: ``("targets", 2, "luns", 0, "volume")``.
    """
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._table_counts: dict[KeyPath, int] = {}
        line = 1
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or ""
            if kind != "space":
                self._tokens.append((kind, match[0], line))
            line += match[0].count("\n")
        self._tokens.append(("end", "", line))

    def read(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._kind() != "end":
            if self._kind() == "newline":
                self._at += 1
            elif self._is("["):
                table = self._header()
            else:
                start = self._at
                self._pair(table)
                if self._at == start:
                    break  # Not TOML: no progress is possible.
        return self._lines

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _line(self) -> int:
        return self._tokens[self._at][2]

    def _is(self, mark: str) -> bool:
        kind, text, _ = self._tokens[self._at]
        return kind == "mark" and text == mark

    def _take(self, mark: str) -> bool:
        taken = self._is(mark)
        self._at += taken
        return taken

    def _skip_newlines(self) -> None:
        while self._kind() == "newline":
            self._at += 1

    def _header(self) -> KeyPath:
        line = self._line()
        self._take("[")
        is_array = self._take("[")
        path = self._resolve(self._key())
        while self._take("]"):
            pass
        if is_array:
            self._lines.setdefault(path, line)
            position = self._table_counts.get(path, 0)
            self._table_counts[path] = position + 1
            path = (*path, position)
        self._lines[path] = line
        return path

    def _resolve(self, key: KeyPath) -> KeyPath:
        """Below an array of tables, a header means its newest element."""
        path: KeyPath = ()
        for index, part in enumerate(key):
            path = (*path, part)
            if index < len(key) - 1 and path in self._table_counts:
                path = (*path, self._table_counts[path] - 1)
        return path

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while self._kind() in ("word", "text"):
            kind, text, _ = self._tokens[self._at]
            parts.append(text if kind == "word" else text[1:-1])
            self._at += 1
            if not self._take("."):
                break
        return tuple(parts)

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._key())
        for length in range(len(table) + 1, len(path) + 1):
            self._lines.setdefault(path[:length], line)
        if self._take("="):
            self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            self._inline_table(path)
        else:  # A scalar; a number or a date may be several tokens ("1.5").
            while self._kind() in ("word", "text") or self._is("."):
                self._at += 1

    def _array(self, path: KeyPath) -> None:
        position = 0
        while True:
            self._skip_newlines()
            if self._take("]") or self._kind() == "end":
                return
            self._lines[(*path, position)] = self._line()
            start = self._at
            self._value((*path, position))
            position += 1
            self._skip_newlines()
            if not self._take(",") and self._at == start:
                return

    def _inline_table(self, path: KeyPath) -> None:
        while True:
            self._skip_newlines()
            if self._take("}") or self._kind() == "end":
                return
            start = self._at
            self._pair(path)
            self._skip_newlines()
            if not self._take(",") and self._at == start:
                return
