"""Text keys after the login: SendTargets, and the few keys that may change. Pure.

Spec: RFC 7143 §6.4, §11.10, §13.3, appendix C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fairlead.errors import InvalidNameError
from fairlead.names import normalise
from fairlead.proto.iscsi.keys import Phase
from fairlead.proto.iscsi.negotiate import Negotiation
from fairlead.proto.iscsi.text import REJECT, Pair, encode_pairs, parse_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fairlead.proto.iscsi.login_policy import LoginPolicy
    from fairlead.proto.iscsi.session import SessionParameters

ALL_TARGETS: Final = "All"

_REJECTED: Final = [Pair("SendTargets", REJECT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChanges:
    """What a Text exchange changed. None: as before.

    Attributes:
        peer_max_recv_data_segment_bytes: the longest data segment the initiator takes from now on.
    """

    peer_max_recv_data_segment_bytes: int | None = None


def text_request(
    params: SessionParameters, data: bytes, *, target_addresses: Sequence[str] = ()
) -> tuple[bytes, TextChanges]:
    """Answer the text of one exchange in a normal session.

    Args:
        params: the session.
        data: the text, whole: where the C bit joined several requests, their data segments one
            after another, at most 64 KiB together.
        target_addresses: TargetAddress values of the session's target; empty means the address
            the initiator is connected to, which the standard lets us leave out.

    Returns:
        The text of the answer, to be cut where it is longer than the initiator's
        MaxRecvDataSegmentLength, and what changed.

    Raises:
        ProtocolError: malformed text, or a key sent twice; to be answered by a Reject PDU with
            reason PROTOCOL_ERROR.
    """

    def send_targets(value: str) -> list[Pair]:
        # All "must not be supported on an operational session"; a name must be our own.
        if value and not _is_name_of(value, params.target_name):
            return _REJECTED
        return _one_target(params.target_name, target_addresses)

    pairs, changes = answer_pairs(parse_pairs(data), send_targets)
    return encode_pairs(pairs), changes


def answer_pairs(
    pairs: Iterable[Pair], send_targets: Callable[[str], list[Pair]]
) -> tuple[list[Pair], TextChanges]:
    """Answer the pairs of one exchange.

    Args:
        pairs: as received.
        send_targets: answers the value of SendTargets; the sessions differ in it.

    Raises:
        ProtocolError: a key sent twice, or an answer to nothing.
    """
    negotiation = Negotiation({})
    received = list(pairs)
    replies = negotiation.receive_pairs(received, Phase.FULL_FEATURE)
    answers = list(replies.pairs)
    if "SendTargets" in replies.dialogue:
        answers += send_targets(replies.dialogue["SendTargets"])
    name = "MaxRecvDataSegmentLength"
    # A declaration has a reply only when it is rejected.
    declared = any(pair.key == name for pair in received)
    rejected = any(pair.key == name for pair in answers)
    peer_max = negotiation.number(name) if declared and not rejected else None
    return answers, TextChanges(peer_max_recv_data_segment_bytes=peer_max)


def discover(policy: LoginPolicy, initiator_name: str, value: str) -> list[Pair]:
    """Answer SendTargets in a discovery session.

    Targets which the initiator has no access to are left out, as if they did not exist.

    Args:
        policy: of the portal that was asked.
        initiator_name: normalised.
        value: "All" or a target's name. Anything else is rejected, also the empty value: it means
            the session's own target, which there is none of.
    """
    if value == ALL_TARGETS:
        names = list(policy.targets)
    else:
        try:
            names = [normalise(value)]
        except InvalidNameError:
            return _REJECTED
    pairs = []
    for name in names:
        target = policy.targets.get(name)
        if target is not None and target.admits(initiator_name):
            pairs += _one_target(name, policy.target_addresses(target))
    return pairs


def _one_target(name: str, addresses: Iterable[str]) -> list[Pair]:
    """Spec: RFC 7143 appendix C: the name, then all its addresses."""
    return [Pair("TargetName", name), *(Pair("TargetAddress", address) for address in addresses)]


def _is_name_of(value: str, target_name: str) -> bool:
    try:
        return normalise(value) == target_name
    except InvalidNameError:
        return False
