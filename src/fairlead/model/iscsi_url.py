"""The URL of a LUN: ``iscsi://[user[%password]@]host[:port]/target-iqn/lun``, as libiscsi has it.

A password is taken off where the URL is read, so that what is shown, logged or compared later does
not hold it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import AfterValidator

from fairlead.names import normalise

IscsiName = Annotated[str, AfterValidator(normalise)]
"""As a field of a model: in its normal form."""

SCHEME: Final = "iscsi://"
PORT_DEFAULT: Final = 3260  # Spec: RFC 7143 §4.2.7.1.
# Peripheral device addressing, which is all that libiscsi writes. Spec: SAM-5, LUN structures.
LUN_MAX: Final = 255

URL_BYTES_MAX: Final = 254
"""With its password. libiscsi cuts what is longer, and logs in with the rest."""

_RULE: Final = "write iscsi://[user[%password]@]host[:port]/target-iqn/lun"
# What explains a URL is none: ours, and libiscsi's own.
_USAGES: Final = r"\[user\[%password\]@|\[<username>\[%<password>\]@"
# Up to the last @, so that nothing of an ill-formed one is left over. A user may have an @, too.
_PASSWORD: Final = re.compile(
    rf"(://)(?!{_USAGES})([^%:]*?)([%:].*)?"
    r"(?<!\[%password\])(?<!\[%<password>\])@(?!.*(?<!\[%password\])(?<!\[%<password>\])@)",
    re.DOTALL,
)
# A path that is meant for another kind of volume, or for none.
_URL_LIKE: Final = re.compile(r"://|%.*@.*/(iqn|eui|naa)\.", re.IGNORECASE | re.DOTALL)
# libiscsi takes what follows a ? for options, wherever it stands.
_PASSWORD_RULE: Final = re.compile(r"[!->A-~]{1,255}", re.ASCII)
_HOST: Final = re.compile(r"\[([0-9A-Za-z:.%_-]+)\]|([A-Za-z0-9._-]+)", re.ASCII)
_USER: Final = re.compile(r"[!-$&-.0-9;->A-~]{1,255}", re.ASCII)  # No @, %, :, / or ?.


@dataclass(frozen=True, slots=True, kw_only=True)
class IscsiUrl:
    """A LUN of another target.

    Attributes:
        user: who logs in by CHAP; None: nobody does.
        password: of that user; never part of `shown`.
        host: name or address, IPv6 without brackets.
        port: 1..65535.
        target: its iSCSI name.
        lun: 0..255.
    """

    user: str | None
    password: str | None = field(repr=False)
    host: str
    port: int
    target: str
    lun: int

    @property
    def shown(self) -> str:
        """The URL without the password."""
        return self._text("" if self.user is None else f"{self.user}@")

    @property
    def whole(self) -> str:
        """The URL with the password, for who logs in."""
        if self.user is None or self.password is None:
            return self.shown
        return self._text(f"{self.user}%{self.password}@")

    def _text(self, who: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{who}{host}:{self.port}/{self.target}/{self.lun}"


def parse_iscsi_url(text: str) -> IscsiUrl:
    """Read a URL. Messages never show the password.

    Raises:
        ValueError: says what is wrong and how it is written.
    """
    if not text.lower().startswith(SCHEME):
        raise ValueError(f"this is not the URL of a LUN; {_RULE}")
    shown = _shown(text)
    who, at, place = text[len(SCHEME) :].rpartition("@")
    user, _, password = who.partition("%")
    portal, _, rest = place.partition("/")
    target, _, lun = rest.rpartition("/")
    if at and not _USER.fullmatch(user):
        raise ValueError(f"{shown!r} names no user that can be told from a password; {_RULE}")
    if password:
        check_password(password)
    if "?" in place:
        raise ValueError(f"{shown!r} has options, which are not known here; {_RULE}")
    if not target or not lun.isascii() or not lun.isdigit() or int(lun) > LUN_MAX:
        raise ValueError(f"{shown!r} does not end with a target's name and a LUN; {_RULE}")
    host, port = _split_portal(portal, shown)
    try:
        normalise(target)
    except ValueError as error:
        raise ValueError(f"{shown!r} names no target: {error}; {_RULE}") from None
    url = IscsiUrl(
        user=user if at else None,
        password=password or None,
        host=host,
        port=port,
        # As it is written: not every target folds names as it should.
        target=target,
        lun=int(lun),
    )
    check_length(url)
    return url


def check_length(url: IscsiUrl) -> None:
    """Check that libiscsi takes all of a URL.

    Raises:
        ValueError: it is too long with its password.
    """
    if len(url.whole.encode()) > URL_BYTES_MAX:
        raise ValueError(
            f"{url.shown!r} is too long; take at most {URL_BYTES_MAX} bytes with user and password"
        )


def is_url_like(path: str) -> bool:
    """Whether a path is a URL, perhaps with a password: not to be shown where none should be."""
    return _URL_LIKE.search(path) is not None


def check_password(password: str) -> None:
    """Check that a password can stand in a URL; the message never shows it.

    Raises:
        ValueError: it is empty or too long, or has a blank, ``@``, ``?`` or what is not ASCII.
    """
    if not _PASSWORD_RULE.fullmatch(password):
        raise ValueError("the password cannot be used; take 1 to 255 of ! to ~, without @ and ?")


def without_password(text: str) -> str:
    """Return a text without the passwords of the URLs in it, also where they are ill-formed."""
    return _PASSWORD.sub(r"\1\2@", text)


def _shown(text: str) -> str:
    """An ill-formed URL without what may be a password in it."""
    if "@" in text or "[" in text:
        return without_password(text)
    return text.partition("%")[0]  # Only the address of a host has a % otherwise.


def _split_portal(portal: str, shown: str) -> tuple[str, int]:
    match = _HOST.match(portal)
    port = "" if match is None else portal[match.end() :]
    if match is None or not re.fullmatch(r"(:\d{1,5})?", port, re.ASCII):
        raise ValueError(f"{shown!r} names no host; {_RULE}, an IPv6 address in [brackets]")
    number = int(port[1:] or PORT_DEFAULT)
    if not 1 <= number <= 0xFFFF:
        raise ValueError(f"{shown!r} has port {number}; it must be 1 to 65535")
    return match[1] or match[2], number
