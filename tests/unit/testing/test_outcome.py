"""What results say of themselves."""

from __future__ import annotations

import pytest

from fairlead.testing.outcome import Result


@pytest.mark.parametrize(
    ("sense", "code"),
    [
        ("", None),
        ("70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00 00 00", (5, 0x21, 0)),
        ("f1 00 06 00 00 00 00 06 00 00 00 00 29 01", (6, 0x29, 1)),
        ("72 06 2a 09 00 00 00 00", (6, 0x2A, 9)),
        ("70 00 05", None),
        ("72 06", None),
        ("7f 06 2a 09", None),
    ],
)
def test_sense_code(sense: str, code: tuple[int, int, int] | None) -> None:
    """Spec: SPC-4, sense data."""
    assert Result(status=2, sense=bytes.fromhex(sense)).sense_code == code


def test_is_good() -> None:
    assert Result(status=0).is_good
    assert not Result(status=2).is_good
    assert not Result(status=0, response=1).is_good
