from __future__ import annotations

from typing import Any

import pytest

from fairlead.cli.assignments import parse_assignments
from fairlead.errors import ConfigError
from fairlead.model.document import read_change


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["weight=4"], {"weight": 4}),
        (["priority=idle", "burst_s=0.5"], {"priority": "idle", "burst_s": 0.5}),
        (
            ["limit.iops=2000", "limit.bytes_per_s=100M"],
            {"limit.iops": 2000, "limit.bytes_per_s": 100 << 20},
        ),
        (["guarantee.iops=none"], {"guarantee.iops": None}),
        # The later word wins.
        (["limit.iops=2000", "limit.iops=none"], {"limit.iops": None}),
    ],
)
def test_words_say_a_change(words: list[str], said: dict[str, Any]) -> None:
    assert read_change(parse_assignments(words)).said() == said


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("weight", "'weight' is not FIELD=VALUE (write weight=4)"),
        ("weight=", "'weight=' is not FIELD=VALUE (write weight=4)"),
        ("wieght=4", "no such field 'wieght' (did you mean weight? there are: weight, priority"),
        ("limit=4", "no such field 'limit' (did you mean limit.iops? there are:"),
        ("weight=0", 'weight = "0": out of range (take at least 1)'),
        ("weight=none", 'weight = "none": of the wrong type (write a whole number)'),
        ("limit.bytes_per_s=1X", "limit.bytes_per_s = \"1X\": '1X' is not a size"),
        ("priority=high", "priority = \"high\": not one of the choices (take 'urgent'"),
    ],
)
def test_mistakes_say_what_is_right(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignments([word])
    assert str(caught.value).startswith(message)
