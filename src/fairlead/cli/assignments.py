"""Changes as words on the command line: ``weight=4 limit.iops=2000 limit.bytes_per_s=none``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigError
from fairlead.model.document import read_change
from fairlead.model.shares import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """Return the change that these words describe, as the API takes it; a later word wins.

    Raises:
        ConfigError: not FIELD=VALUE, no such field, or a value that cannot be.
    """
    change: dict[str, Any] = {}
    for word in words:
        field, equals, value = word.partition("=")
        if not equals or not value:
            raise ConfigError(f"{word!r} is not FIELD=VALUE", remedy="write weight=4")
        if field not in FIELDS:
            similar = difflib.get_close_matches(field, FIELDS, n=1)
            hint = f"did you mean {similar[0]}? " if similar else ""
            raise ConfigError(
                f"no such field {field!r}", remedy=f"{hint}there are: {', '.join(FIELDS)}"
            )
        name, dot, kind = field.partition(".")
        if dot:
            change.setdefault(name, {})[kind] = value
        else:
            change[name] = value
    read_change(change)
    return change
