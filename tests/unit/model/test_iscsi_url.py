from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.iscsi_url import IscsiUrl, parse_iscsi_url, without_password

TARGET = "iqn.2026-01.example:Disk"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"iscsi://host/{TARGET}/0", (None, None, "host", 3260, 0)),
        (f"iscsi://10.0.0.1:99/{TARGET}/255", (None, None, "10.0.0.1", 99, 255)),
        (f"iscsi://[fe80::1%eth0]:99/{TARGET}/1", (None, None, "fe80::1%eth0", 99, 1)),
        (f"iscsi://bob@host/{TARGET}/0", ("bob", None, "host", 3260, 0)),
        (f"iscsi://bob%a/b:c%d@host/{TARGET}/0", ("bob", "a/b:c%d", "host", 3260, 0)),
    ],
)
def test_forms(text: str, expected: tuple[str | None, str | None, str, int, int]) -> None:
    url = parse_iscsi_url(text)
    assert (url.user, url.password, url.host, url.port, url.lun) == expected
    assert url.target == TARGET
    assert parse_iscsi_url(url.whole) == url
    assert (url.password or "-----") not in url.shown + repr(url)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://host/x/0", "is not the URL of a LUN"),
        (f"iscsi://bob?x%y@host/{TARGET}/0", "names no user"),
        (f"iscsi://bob%y?x@host/{TARGET}/0", "without @ and \\?"),
        (f"iscsi://{'b' * 200}@host/{TARGET}{'x' * 50}/0", "is too long; take at most 254 bytes"),
        ("iscsi://host", "does not end with a target's name and a LUN"),
        (f"iscsi://host/{TARGET}", "does not end with a target's name and a LUN"),
        (f"iscsi://host/{TARGET}/256", "does not end with a target's name and a LUN"),
        (f"iscsi://host/{TARGET}/0?header_digest=crc32c", "has options, which are not known"),
        ("iscsi://host/disk/0", "names no target"),
        (f"iscsi:///{TARGET}/0", "names no host"),
        (f"iscsi://fe80::1/{TARGET}/0", "names no host"),
        (f"iscsi://host:0/{TARGET}/0", "has port 0; it must be 1 to 65535"),
        (f"iscsi://@host/{TARGET}/0", "names no user"),
    ],
)
def test_mistakes_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_iscsi_url(text)


@given(st.text(max_size=40), st.text())
def test_a_password_is_never_in_a_message(before: str, password: str) -> None:
    secret = f"S3CR{password}T"
    text = f"{before}iscsi://bob%{secret}@host/x"
    assert secret not in without_password(text)
    with pytest.raises(ValueError, match=r"iscsi://|the password cannot be used") as caught:
        parse_iscsi_url(f"iscsi://bob%{secret}@host/x")
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("iscsi://us@corp%S3CR@ET@h/x/0", "iscsi://us@corp@h/x/0"),
        ("iscsi://bob:S3CRET@h/x/0", "iscsi://bob@h/x/0"),
        ("ISCSI://bob%S3CRET@h/x/0", "ISCSI://bob@h/x/0"),
        ("iser://bob%S3CRET@h/x/0", "iser://bob@h/x/0"),
        ("iscsi://[bob%S3CRET@h/x/0", "iscsi://[bob@h/x/0"),
        ("no iscsi://u%S3CR@ET@h; write iscsi://[user[%password]@]host/l", "no iscsi://u@h; write"),
        ("write iscsi://[user[%password]@]host", "write iscsi://[user[%password]@]host"),
        ("so: iscsi://[<username>[%<password>]@]<host>", "so: iscsi://[<username>[%<password>]@]<"),
        ("iscsi://[fe80::1%eth0]/x/0", "iscsi://[fe80::1%eth0]/x/0"),
    ],
)
def test_what_is_left_of_a_text(text: str, shown: str) -> None:
    assert without_password(text).startswith(shown)
    assert "ET" not in without_password(text)


@pytest.mark.parametrize(
    "text",
    [
        f"iscsi://us@corp%S3CRET@h/{TARGET}/0",
        f"iscsi://us%S3CRET/{TARGET}/0",
        f"iscsi:us%S3CRET@h/{TARGET}/0",
        f"us%S3CRET@h/{TARGET}/0",
        f"iser://us%S3CRET@h/{TARGET}/0",
    ],
)
def test_an_ill_formed_url_is_explained_without_the_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"write iscsi://\[user") as caught:
        parse_iscsi_url(text)
    assert "S3C" not in str(caught.value)


def test_a_url_is_as_long_as_libiscsi_takes_it_with_the_password() -> None:
    url = f"iscsi://bob%{{}}@h:3260/{TARGET}/0"
    longest = "p" * (254 - len(url.format("")))
    assert len(parse_iscsi_url(url.format(longest)).whole) == 254
    with pytest.raises(ValueError, match="is too long") as caught:
        parse_iscsi_url(url.format(longest + "p"))
    assert "pp" not in str(caught.value)


def test_who_logs_in_gets_the_password() -> None:
    url = IscsiUrl(user="u", password="p", host="::1", port=3260, target=TARGET, lun=0)
    assert url.whole == f"iscsi://u%p@[::1]:3260/{TARGET}/0"
