"""Operational keys of a test initiator: what it offers, and whether the target's answer is lawful.

Written from the standard and apart from the target's own negotiation, which it is there to check.

Spec: RFC 7143 §6.2 (result functions) and §13 (keys).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from fairlead.testing.outcome import TargetViolation

Choose = Callable[[str, str], str]
"""Result function: our value and the target's, to the value that holds."""


def _and(ours: str, theirs: str) -> str:
    return "Yes" if ours == theirs == "Yes" else "No"


def _or(ours: str, theirs: str) -> str:
    return "Yes" if "Yes" in (ours, theirs) else "No"


def _minimum(ours: str, theirs: str) -> str:
    return str(min(int(ours, 0), int(theirs, 0)))


def _maximum(ours: str, theirs: str) -> str:
    return str(max(int(ours, 0), int(theirs, 0)))


def _from_list(ours: str, theirs: str) -> str:
    """Return the first of the offered list that the other side also has."""
    offered = theirs.split(",")
    return next((value for value in ours.split(",") if value in offered), "Reject")


_CHOICES: Final[dict[str, Choose]] = {
    "DataDigest": _from_list,
    "DataPDUInOrder": _or,
    "DataSequenceInOrder": _or,
    "DefaultTime2Retain": _minimum,
    "DefaultTime2Wait": _maximum,
    "ErrorRecoveryLevel": _minimum,
    "FirstBurstLength": _minimum,
    "HeaderDigest": _from_list,
    "ImmediateData": _and,
    "InitialR2T": _or,
    "MaxBurstLength": _minimum,
    "MaxConnections": _minimum,
    "MaxOutstandingR2T": _minimum,
}

DECLARED: Final = frozenset(
    {
        "InitiatorAlias",
        "MaxRecvDataSegmentLength",
        "TargetAddress",
        "TargetAlias",
        "TargetName",
        "TargetPortalGroupTag",
    }
)
"""Keys that each side states for itself: they have no answer."""

NO_VALUE: Final = frozenset({"NotUnderstood", "Irrelevant", "Reject"})
"""Answers that leave a key at its default. Spec: RFC 7143 §6.2."""

DISCOVERY_OFFER: Final = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "MaxRecvDataSegmentLength": "65536",
}

NORMAL_OFFER: Final = DISCOVERY_OFFER | {
    "MaxRecvDataSegmentLength": "262144",
    "MaxConnections": "1",
    "InitialR2T": "Yes",
    "ImmediateData": "Yes",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "65536",
    "MaxOutstandingR2T": "1",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What holds in full-feature phase; the defaults are the standard's. Spec: RFC 7143 §13."""

    max_recv_data_segment_bytes: int = 8192  # ours
    target_max_recv_data_segment_bytes: int = 8192
    max_burst_bytes: int = 262144
    first_burst_bytes: int = 65536
    initial_r2t: bool = True
    immediate_data: bool = True
    max_outstanding_r2t: int = 1
    header_digest: bool = False
    data_digest: bool = False

    @classmethod
    def from_keys(cls, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Self:
        """Combine our offers with the target's answers.

        Args:
            ours: keys we offered or declared.
            theirs: every key the target sent in operational negotiation.
        """

        def number(keys: Mapping[str, str], name: str, default: int) -> int:
            value = keys.get(name, "NotUnderstood")
            return default if value in NO_VALUE else int(value, 0)

        def is_on(name: str, on: str, *, default: bool) -> bool:
            value = theirs.get(name, "NotUnderstood")
            return default if value in NO_VALUE else value == on

        max_burst_bytes = number(theirs, "MaxBurstLength", 262144)
        first_burst_bytes = number(theirs, "FirstBurstLength", 65536)
        return cls(
            max_recv_data_segment_bytes=number(ours, "MaxRecvDataSegmentLength", 8192),
            target_max_recv_data_segment_bytes=number(theirs, "MaxRecvDataSegmentLength", 8192),
            max_burst_bytes=max_burst_bytes,
            first_burst_bytes=min(first_burst_bytes, max_burst_bytes),  # Spec: §13.14.
            initial_r2t=is_on("InitialR2T", "Yes", default=True),
            immediate_data=is_on("ImmediateData", "Yes", default=True),
            max_outstanding_r2t=number(theirs, "MaxOutstandingR2T", 1),
            header_digest=is_on("HeaderDigest", "CRC32C", default=False),
            data_digest=is_on("DataDigest", "CRC32C", default=False),
        )


def check_answer(name: str, offer: str, answer: str) -> None:
    """Check the target's answer to a key that we offered.

    Raises:
        TargetViolation: the answer is not a result that the key's function can have.
    """
    choose = _CHOICES.get(name)
    if choose is None or answer in NO_VALUE:
        return
    try:
        lawful = choose(offer, answer) == answer
    except ValueError:
        lawful = False
    if not lawful:
        raise TargetViolation(f"{name}={answer} in answer to our {offer}")


def answer_offer(name: str, theirs: str) -> str | None:
    """Return our answer to a key that the target offered first; None for a declaration."""
    if name in DECLARED:
        return None
    choose = _CHOICES.get(name)
    return "NotUnderstood" if choose is None else choose(NORMAL_OFFER[name], theirs)


def encode_keys(keys: Mapping[str, str]) -> bytes:
    """Encode text keys, each ended by a zero byte. Spec: RFC 7143 §6.1."""
    return b"".join(f"{name}={value}".encode() + b"\0" for name, value in keys.items())


def decode_pairs(data: bytes) -> list[tuple[str, str]]:
    """Decode text keys that may repeat, as those of SendTargets do.

    Raises:
        TargetViolation: not UTF-8, no final zero byte, or a part without "=".
    """
    if data and not data.endswith(b"\0"):
        raise TargetViolation(f"text of {len(data)} bytes does not end with a zero byte")
    pairs: list[tuple[str, str]] = []
    for part in data.split(b"\0"):
        if not part:
            continue  # The last one, and padding by zero bytes, which some targets add.
        try:
            name, separator, value = part.decode().partition("=")
        except UnicodeDecodeError as error:
            raise TargetViolation(f"text key {part[:32]!r} is not UTF-8") from error
        if not separator:
            raise TargetViolation(f"text key {name[:32]!r} has no value")
        pairs.append((name, value))
    return pairs


def decode_keys(data: bytes) -> dict[str, str]:
    """Decode text keys of which each may come once.

    Raises:
        TargetViolation: as ``decode_pairs``, or a repeated key.
    """
    pairs = decode_pairs(data)
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise TargetViolation(f"text with a key that comes twice: {[name for name, _ in pairs]}")
    return keys
