"""The initiator's side of CHAP. Spec: RFC 7143 §12.1; RFC 1994."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from fairlead.testing.outcome import TargetViolation

DIGEST_NAMES: Final = {5: "md5", 6: "sha1", 7: "sha256", 8: "sha3_256"}
"""CHAP algorithm to its hash. Spec: RFC 7143 §12.1.3; the IANA registry of PPP numbers."""

Respond = Callable[[int, int, bytes], bytes]
"""Algorithm, identifier and challenge to the response."""


def respond_with(secret: bytes) -> Respond:
    """Return the function that answers challenges with this secret."""

    def respond(algorithm: int, identifier: int, challenge: bytes) -> bytes:
        digest = hashlib.new(DIGEST_NAMES[algorithm], usedforsecurity=False)
        digest.update(bytes((identifier,)) + secret + challenge)
        return digest.digest()

    return respond


@dataclass(frozen=True, slots=True, kw_only=True)
class MutualChap:
    """How the target has to prove who it is.

    Attributes:
        name: CHAP_N that the target must give; None takes any.
        respond: the function whose response the target's must equal.
        identifier: CHAP_I that we send, 0 to 255.
        challenge: CHAP_C that we send.
    """

    name: str | None = None
    respond: Respond
    identifier: int = 1
    challenge: bytes = bytes(range(16))

    def keys(self) -> dict[str, str]:
        """The challenge, as text keys."""
        return {"CHAP_I": str(self.identifier), "CHAP_C": encode_binary(self.challenge)}

    def check(self, algorithm: int, name: str, response: bytes) -> None:
        """Check the target's proof.

        Raises:
            TargetViolation: another name, or a wrong response.
        """
        wanted = self.respond(algorithm, self.identifier, self.challenge)
        if self.name not in (None, name) or not hmac.compare_digest(wanted, response):
            raise TargetViolation(f"mutual CHAP: {name!r} has not proved its name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chap:
    """How we prove who we are.

    Attributes:
        name: CHAP_N that we send.
        respond: makes CHAP_R; a test that wants a wrong one injects another function.
        algorithms: CHAP_A that we offer, best first.
        mutual: ask the target to prove itself, too.
    """

    name: str
    respond: Respond
    algorithms: tuple[int, ...] = (7, 5)
    mutual: MutualChap | None = None

    @classmethod
    def from_secret(
        cls,
        name: str,
        secret: bytes,
        *,
        algorithms: tuple[int, ...] = (7, 5),
        mutual: MutualChap | None = None,
    ) -> Self:
        """Prove ``name`` by ``secret``."""
        return cls(name=name, respond=respond_with(secret), algorithms=algorithms, mutual=mutual)

    def offer(self) -> dict[str, str]:
        """Our algorithms, as text keys."""
        return {"CHAP_A": ",".join(map(str, self.algorithms))}

    def answer(self, challenge: dict[str, str]) -> tuple[int, dict[str, str]]:
        """Answer the target's challenge.

        Returns:
            The algorithm, and the text keys to send.

        Raises:
            TargetViolation: a key is missing or malformed, or the algorithm was not offered.
        """
        try:
            algorithm = int(challenge["CHAP_A"], 0)
            identifier = int(challenge["CHAP_I"], 0)
            challenge_bytes = decode_binary(challenge["CHAP_C"])
        except (KeyError, ValueError) as error:
            raise TargetViolation(f"malformed CHAP challenge {sorted(challenge)}") from error
        if algorithm not in self.algorithms:
            raise TargetViolation(f"CHAP_A={algorithm} was not offered")
        response = self.respond(algorithm, identifier, challenge_bytes)
        keys = {"CHAP_N": self.name, "CHAP_R": encode_binary(response)}
        return algorithm, keys | (self.mutual.keys() if self.mutual else {})


def encode_binary(value: bytes) -> str:
    """Encode a binary value in hexadecimal. Spec: RFC 7143 §6.1 (binary-value)."""
    return "0x" + value.hex()


def decode_binary(text: str) -> bytes:
    """Decode a binary value: hexadecimal after 0x, base 64 after 0b.

    Raises:
        ValueError: neither.
    """
    prefix, digits = text[:2].lower(), text[2:]
    if prefix == "0x":
        return bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    if prefix == "0b":
        return base64.b64decode(digits, validate=True)
    raise ValueError(f"binary value without prefix: {text[:16]!r}")
