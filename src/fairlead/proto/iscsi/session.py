"""What comes out of a login: the parameters of a session, and how a login can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.proto.iscsi.login_status import LoginStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParameters:
    """Everything the full-feature phase of a normal session starts from.

    Sequence numbers, negotiated values and the bytes already received belong together: whoever
    takes over the connection needs all three.

    Attributes:
        initiator_name: normalised.
        target_name: normalised.
        isid: 6 bytes; names the session together with the initiator's name.
        tsih: 1 to 65535, chosen by us.
        cid: the initiator's number of the connection.
        exp_cmd_sn: CmdSN of the first command.
        stat_sn: StatSN of the next response.
        max_recv_data_segment_bytes: what we declared; 8192 if the login had no operational stage.
        peer_max_recv_data_segment_bytes: what the initiator declared.
        max_burst_bytes: MaxBurstLength.
        first_burst_bytes: FirstBurstLength, never above ``max_burst_bytes``.
        initial_r2t: no unsolicited Data-Out.
        immediate_data: data may come with the SCSI Command.
        max_outstanding_r2t: for each task.
        header_digest: CRC32C after each header.
        data_digest: CRC32C after each data segment.
        auth_user: the CHAP account, or None.

    Spec: RFC 7143 §6.3, §13.
    """

    initiator_name: str
    target_name: str
    isid: bytes
    tsih: int
    cid: int
    exp_cmd_sn: int
    stat_sn: int
    max_recv_data_segment_bytes: int
    peer_max_recv_data_segment_bytes: int
    max_burst_bytes: int
    first_burst_bytes: int
    initial_r2t: bool
    immediate_data: bool
    max_outstanding_r2t: int
    header_digest: bool
    data_digest: bool
    auth_user: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequestSummary:
    """Who asks for a normal session, once everything that needs no state has been checked.

    ``tsih`` is as the initiator sent it: 0 for a new session (which reinstates an old one with the
    same initiator name, ISID and target name), else the session this connection wants to join.

    Spec: RFC 7143 §6.3.1 (ISID and TSIH), §6.3.5 (reinstatement).
    """

    initiator_name: str
    initiator_alias: str | None
    isid: bytes
    target_name: str
    tsih: int
    cid: int
    auth_user: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The login ended in a discovery session; these are its parameters. Spec: RFC 7143 §4.3."""

    initiator_name: str
    isid: bytes
    tsih: int
    cid: int
    exp_cmd_sn: int
    stat_sn: int
    max_recv_data_segment_bytes: int
    peer_max_recv_data_segment_bytes: int
    header_digest: bool
    data_digest: bool
    auth_user: str | None


@dataclass(frozen=True, slots=True)
class FullFeature:
    """The login ended in a normal session."""

    session: SessionParameters


@dataclass(frozen=True, slots=True)
class Refused:
    """The login failed. ``reason`` is for the log: one line, printable, bounded."""

    status: LoginStatus
    reason: str


Outcome = Discovery | FullFeature | Refused
"""How a login ends."""
