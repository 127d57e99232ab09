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


def test_who_logs_in_gets_the_password() -> None:
    url = IscsiUrl(user="u", password="p", host="::1", port=3260, target=TARGET, lun=0)
    assert url.whole == f"iscsi://u%p@[::1]:3260/{TARGET}/0"
