"""From a finished login to the parameters of its session. Spec: RFC 7143 §6.3, §13."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.proto.iscsi.session import Discovery, LoginRequestSummary, SessionParameters

if TYPE_CHECKING:
    from fairlead.proto.iscsi.login_identity import Identity
    from fairlead.proto.iscsi.negotiate import Negotiation
    from fairlead.proto.iscsi.pdu import LoginRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Everything one login found out.

    Attributes:
        request: the Login Request that asked for the full-feature phase.
        identity: who logged in to what.
        negotiation: what the keys stand at.
        max_recv_data_segment_bytes: what we declared.
        auth_user: the CHAP account, or None.
    """

    request: LoginRequest
    identity: Identity
    negotiation: Negotiation
    max_recv_data_segment_bytes: int
    auth_user: str | None

    def summary(self) -> LoginRequestSummary:
        """Return who asks for a normal session."""
        return LoginRequestSummary(
            initiator_name=self.identity.initiator_name,
            initiator_alias=self.identity.initiator_alias,
            isid=self.request.isid,
            target_name=self._target_name,
            tsih=self.request.tsih,
            cid=self.request.cid,
            auth_user=self.auth_user,
        )

    def session(self, *, tsih: int, stat_sn: int) -> SessionParameters:
        """Return the parameters of a normal session.

        Args:
            tsih: chosen by the target.
            stat_sn: of the first response after the login.
        """
        values = self.negotiation
        max_burst_bytes = values.number("MaxBurstLength")
        return SessionParameters(
            initiator_name=self.identity.initiator_name,
            target_name=self._target_name,
            isid=self.request.isid,
            tsih=tsih,
            cid=self.request.cid,
            exp_cmd_sn=self.request.cmd_sn,
            stat_sn=stat_sn,
            max_recv_data_segment_bytes=self.max_recv_data_segment_bytes,
            peer_max_recv_data_segment_bytes=values.number("MaxRecvDataSegmentLength"),
            max_burst_bytes=max_burst_bytes,
            # A later MaxBurstLength may have come below an earlier FirstBurstLength.
            first_burst_bytes=min(values.number("FirstBurstLength"), max_burst_bytes),
            initial_r2t=values.claim("InitialR2T"),
            immediate_data=values.claim("ImmediateData"),
            max_outstanding_r2t=values.number("MaxOutstandingR2T"),
            header_digest=values.value("HeaderDigest") == "CRC32C",
            data_digest=values.value("DataDigest") == "CRC32C",
            auth_user=self.auth_user,
        )

    def discovery(self, *, tsih: int, stat_sn: int) -> Discovery:
        """Return the parameters of a discovery session; arguments as for ``session``."""
        values = self.negotiation
        return Discovery(
            initiator_name=self.identity.initiator_name,
            isid=self.request.isid,
            tsih=tsih,
            cid=self.request.cid,
            exp_cmd_sn=self.request.cmd_sn,
            stat_sn=stat_sn,
            max_recv_data_segment_bytes=self.max_recv_data_segment_bytes,
            peer_max_recv_data_segment_bytes=values.number("MaxRecvDataSegmentLength"),
            header_digest=values.value("HeaderDigest") == "CRC32C",
            data_digest=values.value("DataDigest") == "CRC32C",
            auth_user=self.auth_user,
        )

    @property
    def _target_name(self) -> str:
        if self.identity.target_name is None:
            raise AssertionError("a discovery session has no target")
        return self.identity.target_name
