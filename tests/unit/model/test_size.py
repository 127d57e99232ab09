from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fairlead.model.size import SIZE_MAX_BYTES, SizeBytes, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("512", 512),
        ("1K", 1024),
        ("1k", 1024),
        ("3M", 3 * 1024**2),
        ("1G", 1024**3),
        ("2T", 2 * 1024**4),
        ("1GiB", 1024**3),
        ("1gib", 1024**3),
        (" 7M ", 7 * 1024**2),
    ],
)
def test_sizes_count_in_1024s(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "G", "1GB", "1.5G", "-1", "1iB", "1X", "0x10", "1 G", "½G"])
def test_what_is_no_size_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write a whole number of bytes.*binary"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "0G", str(SIZE_MAX_BYTES + 1), "99999999T"])
def test_sizes_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"size {text} is out of range; it must be 1 byte"):
        parse_size(text)


@given(st.integers(1, SIZE_MAX_BYTES))
def test_format_is_exact(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


def test_field_takes_numbers_and_texts() -> None:
    adapter = TypeAdapter(SizeBytes)
    assert adapter.validate_python("1K") == adapter.validate_python(1024) == 1024
    for wrong in (True, 1.5, None, -1):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
