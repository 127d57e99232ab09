"""What we can accept for each negotiated key. Spec: RFC 7143 §13."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.errors import ConfigError
from fairlead.proto.iscsi.keys import Form, find_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.proto.iscsi.keys import Offer

DIGESTS: Final = frozenset({"None", "CRC32C"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOffers:
    """Our side of the negotiation: limits for numbers, preferences for the rest.

    The data plane keeps one connection for each session and recovers at level 0, so
    MaxConnections, ErrorRecoveryLevel, the two orders and the protocol level are no settings.

    Attributes:
        max_recv_data_segment_bytes: the longest data segment we take; declared to the initiator.
        max_burst_bytes: upper limit of MaxBurstLength.
        first_burst_bytes: upper limit of FirstBurstLength.
        initial_r2t: True demands an R2T before any unsolicited Data-Out.
        immediate_data: False forbids data in the SCSI Command PDU.
        max_outstanding_r2t: upper limit of MaxOutstandingR2T.
        default_time2wait_s: lower limit of DefaultTime2Wait.
        default_time2retain_s: upper limit of DefaultTime2Retain.
        header_digests: accepted for HeaderDigest; the initiator's preference decides.
        data_digests: accepted for DataDigest; the initiator's preference decides.
        by_key: the same by the standard's names, with what is no setting.

    Raises:
        ConfigError: a value that the standard does not allow for its key.
    """

    max_recv_data_segment_bytes: int = 262_144
    max_burst_bytes: int = 1_048_576
    first_burst_bytes: int = 262_144
    initial_r2t: bool = False
    immediate_data: bool = True
    max_outstanding_r2t: int = 16
    default_time2wait_s: int = 2
    default_time2retain_s: int = 0
    header_digests: tuple[str, ...] = ("None", "CRC32C")
    data_digests: tuple[str, ...] = ("None", "CRC32C")
    by_key: Mapping[str, Offer] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        offers: dict[str, Offer] = {
            "HeaderDigest": self.header_digests,
            "DataDigest": self.data_digests,
            "MaxConnections": 1,
            "InitialR2T": self.initial_r2t,
            "ImmediateData": self.immediate_data,
            "MaxBurstLength": self.max_burst_bytes,
            "FirstBurstLength": min(self.first_burst_bytes, self.max_burst_bytes),
            "DefaultTime2Wait": self.default_time2wait_s,
            "DefaultTime2Retain": self.default_time2retain_s,
            "MaxOutstandingR2T": self.max_outstanding_r2t,
            "DataPDUInOrder": True,
            "DataSequenceInOrder": True,
            "ErrorRecoveryLevel": 0,
            # With one connection responses are fenced by their order on it. FastAbort is not
            # offered: an abort is answered only when its tasks can no longer touch the medium.
            "TaskReporting": ("ResponseFence", "RFC3720"),
            "iSCSIProtocolLevel": 1,
        }
        _check_number("MaxRecvDataSegmentLength", self.max_recv_data_segment_bytes)
        for name, offer in offers.items():
            if not isinstance(offer, (bool, tuple)):
                _check_number(name, offer)
        for name, words in (
            ("HeaderDigest", self.header_digests),
            ("DataDigest", self.data_digests),
        ):
            if not words or not set(words) <= DIGESTS:
                raise ConfigError(f"{name} {words} is not a choice of {sorted(DIGESTS)}")
        object.__setattr__(self, "by_key", offers)


def _check_number(name: str, number: int) -> None:
    key = find_key(name)
    if key is None or key.form is not Form.NUMBER:
        raise AssertionError(name)
    if not key.minimum <= number <= key.maximum:
        raise ConfigError(f"{name} {number} is outside {key.minimum}..{key.maximum}")
