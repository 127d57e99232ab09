"""CHAP, one way and mutual, as the target. Spec: RFC 7143 §12.1.3, RFC 1994.

The authenticator sends a challenge, the other side proves that it knows the secret by hashing
identifier, secret and challenge. With mutual CHAP the initiator then challenges the target.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.errors import LoginError
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.text import (
    SIMPLE_VALUE_BYTES_MAX,
    Pair,
    format_binary,
    parse_binary,
    parse_list,
    parse_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_IDENTIFIER_MAX: Final = 255
_ALGORITHMS_OFFERED_MAX: Final = 16  # The registry has four.


class ChapAlgorithm(enum.IntEnum):
    """Hash algorithms by their numbers in CHAP_A. Spec: RFC 7143 §12.1.3 and its registry."""

    MD5 = 5
    SHA1 = 6
    SHA_256 = 7
    SHA3_256 = 8

    @property
    def digest_bytes(self) -> int:
        """Length of a response."""
        return hashlib.new(_HASHES[self], usedforsecurity=False).digest_size


_HASHES: Final = {
    ChapAlgorithm.MD5: "md5",
    ChapAlgorithm.SHA1: "sha1",
    ChapAlgorithm.SHA_256: "sha256",
    ChapAlgorithm.SHA3_256: "sha3_256",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapAccount:
    """A name and the secret that proves it."""

    user: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapPolicy:
    """What an initiator must prove, and what we can prove to it.

    Attributes:
        accounts: secret by user name; whoever proves one of them is let in.
        mutual: what we answer with when the initiator challenges us; None refuses its challenge.
        algorithms: those allowed; the initiator's preference decides among them.
    """

    accounts: Mapping[str, bytes] = field(repr=False)
    mutual: ChapAccount | None = None
    algorithms: frozenset[ChapAlgorithm] = frozenset(ChapAlgorithm)


def chap_response(
    algorithm: ChapAlgorithm, *, identifier: int, secret: bytes, challenge: bytes
) -> bytes:
    """Return the response to a challenge. Spec: RFC 1994 §4.1."""
    # MD5 and SHA-1 are the standard's mandatory algorithms, not our choice.
    digest = hashlib.new(_HASHES[algorithm], usedforsecurity=False)
    digest.update(bytes((identifier,)) + secret + challenge)
    return digest.digest()


class _Step(enum.Enum):
    ALGORITHM = enum.auto()  # waits for CHAP_A
    RESPONSE = enum.auto()  # waits for CHAP_N and CHAP_R
    DONE = enum.auto()


class ChapAuthenticator:
    """The target's side of one CHAP exchange.

    Attributes:
        user: the account that was proven; None before.
    """

    def __init__(self, policy: ChapPolicy, *, challenge: Callable[[int], bytes]) -> None:
        self.user: str | None = None
        self._policy = policy
        self._random = challenge
        self._step = _Step.ALGORITHM
        self._algorithm = ChapAlgorithm.MD5
        self._identifier = 0
        self._challenge = b""

    def receive_keys(self, keys: Mapping[str, str]) -> list[Pair]:
        """Take the CHAP keys of one Login Request; return those of the response.

        Nothing received changes nothing: an initiator may have nothing to say yet.

        Raises:
            LoginError: authentication failure. Every mistake in the exchange is one, so that a
                guesser learns nothing from the difference.
        """
        if not keys:
            return []
        if self._step is _Step.ALGORITHM:
            _expect(keys, required={"CHAP_A"})
            return self._challenge_initiator(keys["CHAP_A"])
        if self._step is _Step.RESPONSE:
            _expect(keys, required={"CHAP_N", "CHAP_R"}, optional=frozenset({"CHAP_I", "CHAP_C"}))
            return self._check_response(keys)
        raise _failure(f"{', '.join(sorted(keys))} after the end of CHAP")

    def _challenge_initiator(self, offered: str) -> list[Pair]:
        self._algorithm = self._choose_algorithm(offered)
        self._identifier = self._random(1)[0]
        self._challenge = self._random(self._algorithm.digest_bytes)
        self._step = _Step.RESPONSE
        return [
            Pair("CHAP_A", str(int(self._algorithm))),
            Pair("CHAP_I", str(self._identifier)),
            Pair("CHAP_C", format_binary(self._challenge)),
        ]

    def _choose_algorithm(self, offered: str) -> ChapAlgorithm:
        """Return the first of the initiator's list that we allow. Spec: RFC 7143 §6.2.1."""
        for word in parse_list(offered)[:_ALGORITHMS_OFFERED_MAX]:
            number = parse_number(word)
            for algorithm in self._policy.algorithms:
                if algorithm == number:
                    return algorithm
        allowed = ",".join(str(int(algorithm)) for algorithm in sorted(self._policy.algorithms))
        raise _failure(f"CHAP_A={offered[:80]!a} has no algorithm of ours ({allowed})")

    def _check_response(self, keys: Mapping[str, str]) -> list[Pair]:
        user = keys["CHAP_N"]
        if not 0 < len(user.encode()) <= SIMPLE_VALUE_BYTES_MAX:
            raise _failure(f"CHAP_N of {len(user)} characters, limit {SIMPLE_VALUE_BYTES_MAX}")
        response = parse_binary(keys["CHAP_R"])
        if response is None or len(response) != self._algorithm.digest_bytes:
            raise _failure(f"CHAP_R is not a value of {self._algorithm.digest_bytes} bytes")
        secret = self._policy.accounts.get(user)
        # An unknown user costs the same time as a known one with a wrong secret.
        expected = chap_response(
            self._algorithm,
            identifier=self._identifier,
            secret=self._challenge if secret is None else secret,
            challenge=self._challenge,
        )
        proven = hmac.compare_digest(expected, response)
        if secret is None or not proven:
            raise _failure(f"wrong user or secret for {user[:80]!a}")
        pairs = self._answer_initiator(keys, secret)
        self.user = user
        self._step = _Step.DONE
        return pairs

    def _answer_initiator(self, keys: Mapping[str, str], secret: bytes) -> list[Pair]:
        """Answer the initiator's challenge, if it made one.

        Refused is what a reflection attack needs: our own challenge sent back to us, and one
        secret for both directions.

        Spec: RFC 7143 §12.1.3, §9.2.1.
        """
        if "CHAP_I" not in keys and "CHAP_C" not in keys:
            return []
        _expect(keys, required={"CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"})
        mutual = self._policy.mutual
        if mutual is None:
            raise _failure("the initiator challenges us, we have no account for that")
        identifier = parse_number(keys["CHAP_I"])
        if identifier is None or identifier > _IDENTIFIER_MAX:
            raise _failure(f"CHAP_I={keys['CHAP_I'][:80]!a} is not in 0..{_IDENTIFIER_MAX}")
        challenge = parse_binary(keys["CHAP_C"])
        if challenge is None:
            raise _failure("CHAP_C is not a value of 1 to 1024 bytes")
        if hmac.compare_digest(challenge, self._challenge):
            raise _failure("the initiator sent our own challenge back")
        if hmac.compare_digest(mutual.secret, secret):
            raise _failure("both directions have the same secret")
        response = chap_response(
            self._algorithm, identifier=identifier, secret=mutual.secret, challenge=challenge
        )
        return [Pair("CHAP_N", mutual.user), Pair("CHAP_R", format_binary(response))]


def _expect(
    keys: Mapping[str, str], *, required: set[str], optional: frozenset[str] = frozenset()
) -> None:
    missing, extra = required - keys.keys(), keys.keys() - required - optional
    if missing or extra:
        raise _failure(
            f"CHAP expects {', '.join(sorted(required))}, received {', '.join(sorted(keys))}"
        )


def _failure(reason: str) -> LoginError:
    return LoginError(LoginStatus.AUTHENTICATION_FAILURE, reason)
