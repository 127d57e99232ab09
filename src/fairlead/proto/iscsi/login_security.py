"""The security stage: which method, and has it succeeded. Spec: RFC 7143 §6.3.2, §12.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.errors import LoginError
from fairlead.proto.iscsi.chap import ChapAuthenticator
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.text import Pair, parse_list

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairlead.proto.iscsi.chap import ChapPolicy


class SecurityStage:
    """The target's side of AuthMethod. With a CHAP policy only CHAP will do, else only None."""

    def __init__(self, chap: ChapPolicy | None, *, challenge: Callable[[int], bytes]) -> None:
        self._chap = None if chap is None else ChapAuthenticator(chap, challenge=challenge)
        self._method: str | None = None

    @property
    def is_satisfied(self) -> bool:
        """Nothing more has to be proven."""
        return self._chap is None or self._chap.user is not None

    @property
    def has_begun(self) -> bool:
        """A method was agreed on."""
        return self._method is not None

    @property
    def user(self) -> str | None:
        """The account that was proven."""
        return None if self._chap is None else self._chap.user

    def receive_keys(self, keys: Mapping[str, str]) -> list[Pair]:
        """Take the security keys of one batch; return our own.

        Raises:
            LoginError: no method in common, keys of a method not agreed on, or a failed proof.
        """
        pairs = []
        if "AuthMethod" in keys:
            pairs.append(self._choose(keys["AuthMethod"]))
        chap_keys = {key: value for key, value in keys.items() if key != "AuthMethod"}
        if not chap_keys:
            return pairs
        if self._chap is None or self._method != "CHAP":
            raise LoginError(
                LoginStatus.AUTHENTICATION_FAILURE,
                f"{', '.join(sorted(chap_keys))} without AuthMethod=CHAP",
            )
        return pairs + self._chap.receive_keys(chap_keys)

    def _choose(self, offered: str) -> Pair:
        method = "None" if self._chap is None else "CHAP"
        if method not in parse_list(offered):
            raise LoginError(
                LoginStatus.AUTHENTICATION_FAILURE,
                f"AuthMethod={offered[:80]!a}, this target needs {method}",
            )
        self._method = method
        return Pair("AuthMethod", method)
