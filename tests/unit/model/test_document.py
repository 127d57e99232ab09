from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import ConfigError
from fairlead.model.config import Config
from fairlead.model.document import (
    DocumentError,
    format_field_path,
    parse_field_path,
    place_mistakes,
    read_document,
)

GOOD = """\
grouping = "nexus"
portals = ["127.0.0.1:0"]

[[volumes]]
name = "db"
path = "/srv/db.img"
size = "10G"

[[targets]]
name = "iqn.2020-01.org.example:db"
[[targets.luns]]
volume = "db"
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        read_document(text)
    return [f"{mistake.line}: {mistake}" for mistake in caught.value.mistakes]


def test_a_good_document_is_read() -> None:
    config = read_document(GOOD)
    assert config.grouping == "nexus"
    assert config.volumes[0].size == 10 * 1024**3


def test_an_empty_document_is_the_default() -> None:
    assert read_document("") == Config()


@pytest.mark.parametrize(
    ("text", "explained"),
    [
        (
            "grouping = \n",
            "1: not TOML: invalid value (strings need quotes, "
            "tables are [name], lists of tables [[name]])",
        ),
        (
            "\na = 'x",
            '2: not TOML: expected "\'" (strings need quotes, '
            "tables are [name], lists of tables [[name]])",
        ),
        (
            "groping = 'initiator'",
            "1: groping: no such field (did you mean grouping? there are: "
            "chap_accounts, devices, discovery, engine, grouping, groups, identity, limits, "
            "naming, policies, portals, shares, targets, volumes)",
        ),
        (
            "[engine]\ndriver = 'uring'",
            '2: engine.driver = "uring": not one of the choices '
            "(take 'auto', 'io_uring' or 'threads')",
        ),
        (
            "[engine]\n\nqueue_depth = 0",
            "3: engine.queue_depth = 0: out of range (take at least 1)",
        ),
        (
            "[engine]\nqueue_depth = 2000",
            "2: engine.queue_depth = 2000: out of range (take at most 1024)",
        ),
        (
            "[limits]\nlogin_timeout_s = 0",
            "2: limits.login_timeout_s = 0: out of range (take more than 0)",
        ),
        (
            "[engine]\nsubmitters = 1.5",
            "2: engine.submitters = 1.5: of the wrong type (write a whole number)",
        ),
        (
            "[engine]\nsubmitters = 'two'",
            '2: engine.submitters = "two": of the wrong type (write a whole number)',
        ),
        (
            "[engine]\nnop_timeout_s = 'long'",
            '2: engine.nop_timeout_s = "long": of the wrong type (write a number)',
        ),
        ("grouping = 1", "1: grouping = 1: of the wrong type (write a text in quotes)"),
        ("volumes = 1", "1: volumes = 1: of the wrong type (write a list)"),
        ("engine = 'x'", '1: engine = "x": of the wrong type (write a table)'),
        ("portals = []", "1: portals: empty (add at least one to portals)"),
        (
            "portals = [\n'127.0.0.1',\n'example.org']",
            "3: portals[1] = \"example.org\": 'example.org' is not an IP address "
            "(write ADDRESS:PORT, for example 127.0.0.1:3260 or [::1]:3260)",
        ),
        (
            "portals = [7]",
            "1: portals[0] = 7: 7 is not a portal (write ADDRESS:PORT, for example "
            "127.0.0.1:3260 or [::1]:3260)",
        ),
        ("[[volumes]]\npath = 'x'", "1: volumes[0].name: missing (add name = ...)"),
        (
            "[[volumes]]\nname = 'x'",
            '1: volumes[0]: a file volume needs a path (add path = "...")',
        ),
        (
            "[[volumes]]\nname = 'a b'\npath = 'x'",
            '2: volumes[0].name = "a b": has characters that are not allowed here, or too many '
            "(use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit)",
        ),
        (
            "[[volumes]]\nname = 'a'\npath = 'x'\nserial = 'a/b'",
            '4: volumes[0].serial = "a/b": has characters that are not allowed here, or too many '
            "(use 1 to 36 of the characters 0-9 A-Z a-z . _ : -)",
        ),
        (
            "[[volumes]]\nname = 'a'\npath = 'x'\nsize = '1X'",
            "4: volumes[0].size = \"1X\": '1X' is not a size (write a whole number of bytes, or "
            "with K, M, G or T (binary: 1K is 1024 bytes))",
        ),
        (
            "[[volumes]]\nname = 'a'\npath = 'x'\nread_only = 'maybe'",
            '4: volumes[0].read_only = "maybe": of the wrong type (write true or false)',
        ),
        (
            "[[volumes]]\nname = 'a'\npath = 'x'\nlogical_block_bytes = 1024",
            "4: volumes[0].logical_block_bytes = 1024: not one of the choices (take 512 or 4096)",
        ),
        (
            "[[targets]]\nluns = []",
            "2: targets[0].luns: empty (add at least one to luns)",
        ),
        (
            "[[targets]]\nname = 'disk'\nluns = [{ volume = 'x' }]",
            "2: targets[0].name = \"disk\": 'disk' is not an iSCSI name: expected "
            "iqn.YYYY-MM.DOMAIN[:STRING], eui. and 16 hex digits, or naa. and 16 or 32 hex digits",
        ),
        (
            "[[targets]]\nluns = [{ volume = 'x', lun = 256 }]",
            "2: targets[0].luns[0].lun = 256: out of range (take at most 255)",
        ),
        (
            "[[targets]]\ninitiators = ['']\nluns = [{ volume = 'x' }]",
            '2: targets[0].initiators[0] = "": an initiator pattern is empty '
            "('*' matches every name)",
        ),
        (
            GOOD.replace('volume = "db"', 'volume = "dc"'),
            "12: targets[0].luns[0].volume = \"dc\": no volume 'dc' (there are: db)",
        ),
    ],
)
def test_each_mistake_has_line_value_and_remedy(text: str, explained: str) -> None:
    assert mistakes(text) == [explained]


def test_mistakes_come_in_the_order_of_their_lines() -> None:
    found = mistakes("volumes = [{}]\ngrouping = 1\n[engine]\nx = 1\ny = 2\n")
    assert [line.partition(":")[0] for line in found] == ["1", "2", "4", "5"]


def test_too_many_luns_are_counted() -> None:
    luns = ", ".join(f"{{ volume = 'x', lun = {number % 256} }}" for number in range(257))
    [found] = mistakes(f"[[targets]]\nluns = [{luns}]")
    assert found == "2: targets[0].luns: too long (at most 256 are possible)"


def test_secrets_do_not_show() -> None:
    [found] = mistakes("[[chap_accounts]]\nuser = 'a'\nsecret = 1234567\n")
    assert "1234567" not in found
    [found] = mistakes("[[chap_accounts]]\nuser = 'a'\nsecret = 'hunter2'\n")
    assert "hunter2" not in found


def test_long_values_are_cut() -> None:
    [found] = mistakes(f"identity = '{'x' * 500}'")
    assert len(found) < 200


@given(
    st.lists(st.integers(0, 99) | st.from_regex(r"[a-z_]+", fullmatch=True), max_size=4).map(tuple)
)
def test_field_paths_read_back(path: tuple[str | int, ...]) -> None:
    assert parse_field_path(format_field_path(path)) == path


def test_a_mistake_found_later_is_placed() -> None:
    error = ConfigError("too dark", where="volumes[0].size", remedy="light")
    [mistake] = place_mistakes(error, GOOD)
    assert (mistake.line, str(mistake)) == (7, "volumes[0].size: too dark (light)")


@pytest.mark.parametrize(
    "fields",
    [
        "kind = 'iscsi'\npath = 'us%hunter2@h/iqn.2026-01.example:a/0'",
        "kind = 'iscsi'\npath = 'iscsi:us%hunter2@h/iqn.2026-01.example:a/0'",
        "kind = 'iscsi'\npath = 'iscsi://us@corp%hunter2@h/iqn.2026-01.example:a/0'",
        "kind = 'iscsi'\npath = 'iscsi://us%hunter2/iqn.2026-01.example:a/0'",
        "kind = 'sg'\npath = 'iscsi://us%hunter2@h/iqn.2026-01.example:a/0'",
        "kind = 'scsi'\npath = 'iscsi://us%hunter2@h/iqn.2026-01.example:a/0'",
        "path = 'iscsi://us%hunter2@h/iqn.2026-01.example:a/0'",
        "path = 'us%hunter2@h/iqn.2026-01.example:a/0'",
        "kind = 'iscsi'\npath = 'iscsi://us@h/iqn.2026-01.example:a/0'\npasswort = 'hunter2'",
    ],
)
def test_a_password_that_stands_elsewhere_does_not_show(fields: str) -> None:
    found = mistakes(f"[[volumes]]\nname = 'v'\n{fields}\n")
    assert found
    assert "hunter" not in "".join(map(str, found))
