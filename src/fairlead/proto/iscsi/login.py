"""The login phase of one connection, as the target. Sans-I/O. Spec: RFC 7143 §6.3.

Bytes go in by ``receive_data``, bytes come out of ``data_to_send``. Nothing that a peer sends
raises: a mistake becomes a Login Response with its status, and an outcome. A normal session stops
short of its last response: ``pending`` says who asks, and whoever keeps the sessions answers with
``accept`` or ``refuse``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.errors import LoginError, ProtocolError
from fairlead.proto.iscsi.login_identity import Identity, identify
from fairlead.proto.iscsi.login_result import Login
from fairlead.proto.iscsi.login_security import SecurityStage
from fairlead.proto.iscsi.login_stage import VERSION, Stage, check_first, check_next
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.negotiate import Negotiation
from fairlead.proto.iscsi.pdu import (
    BHS_BYTES,
    RESERVED_TAG,
    LoginRequest,
    LoginResponse,
    Pdu,
    PduError,
    PduReader,
    RejectReason,
    frame,
)
from fairlead.proto.iscsi.session import (
    FullFeature,
    LoginRequestSummary,
    Outcome,
    Refused,
    SessionParameters,
)
from fairlead.proto.iscsi.text import SEQUENCE_BYTES_MAX, Pair, TextSequence, encode_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.proto.iscsi.login_policy import LoginPolicy

# What MaxRecvDataSegmentLength is before it is negotiated, for both sides. Spec: RFC 7143 §13.12.
LOGIN_SEGMENT_BYTES_MAX: Final = 8192
# CHAP with every key in a request of its own takes about ten.
LOGIN_REQUESTS_MAX: Final = 256

_FIRST_STAT_SN: Final = 1
_U32: Final = 0xFFFF_FFFF
_TSIH_MAX: Final = 0xFFFF


class LoginCore:
    """One connection from its first byte to the end of its login.

    The caller sends ``data_to_send`` after each call. When ``pending`` is set it calls ``accept``
    or ``refuse``, and receives nothing in between; when ``done`` it looks at ``outcome``, and
    closes the connection if that is Refused. There is no clock here: the time limit is the
    caller's. Memory is bounded: one PDU of 8 KiB, 64 KiB of text in the whole login.

    Args:
        policy: what the connection's portal allows.
        challenge: returns that many unpredictable bytes; makes CHAP challenges.

    Attributes:
        pending: set while a normal session waits for ``accept`` or ``refuse``.
        outcome: how the login ended; None before.
    """

    def __init__(self, policy: LoginPolicy, *, challenge: Callable[[int], bytes]) -> None:
        self.pending: LoginRequestSummary | None = None
        self.outcome: Outcome | None = None
        self._policy = policy
        self._random = challenge
        self._reader = PduReader(LOGIN_SEGMENT_BYTES_MAX)
        self._out = bytearray()
        self._stage = Stage.SECURITY
        self._stat_sn = _FIRST_STAT_SN
        self._requests = 0
        self._text_bytes = 0
        self._sequence = TextSequence()
        self._unsent = b""  # rest of an answer that was longer than one data segment
        self._answering: LoginRequest | None = None
        self._identity: Identity | None = None
        self._security = SecurityStage(None, challenge=challenge)
        self._negotiation = Negotiation(policy.offers.by_key)
        self._max_recv_data_segment_bytes = LOGIN_SEGMENT_BYTES_MAX
        self._login: Login | None = None
        self._final_text = b""

    @property
    def done(self) -> bool:
        """The login is over, one way or the other."""
        return self.outcome is not None

    @property
    def session(self) -> SessionParameters | None:
        """The parameters of the normal session, after ``accept``."""
        return self.outcome.session if isinstance(self.outcome, FullFeature) else None

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer; those after the last Login Request stay in trailing_data."""
        if isinstance(self.outcome, Refused):
            return
        self._reader.receive_data(data)
        while self.outcome is None and self.pending is None and self._advance():
            pass

    def receive_eof(self) -> None:
        """Take note that the peer will send nothing more. Ends a login that is not over."""
        if self.outcome is None:
            self.pending = None
            self.outcome = Refused(LoginStatus.INITIATOR_ERROR, "connection closed during login")

    def data_to_send(self) -> bytes:
        """Return the bytes to send now; each is returned once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def trailing_data(self) -> bytes:
        """Return the bytes received after the login; they travel with the connection."""
        return self._reader.trailing_data()

    def accept(self, *, tsih: int, command_window: int = 1) -> SessionParameters:
        """Grant the pending session: the last Login Response goes out, the outcome is set.

        Args:
            tsih: handle of the session, 1 to 65535.
            command_window: how many commands the initiator may send at once, from 1 up.
        """
        if self.pending is None or self._login is None:
            raise AssertionError("accept without a pending login")
        if not 0 < tsih <= _TSIH_MAX:
            raise AssertionError(f"TSIH {tsih}")
        self.pending = None
        self._send(
            self._login.request,
            text=self._final_text,
            next_stage=Stage.FULL_FEATURE,
            tsih=tsih,
            command_window=command_window,
        )
        session = self._login.session(tsih=tsih, stat_sn=self._stat_sn)
        self.outcome = FullFeature(session)
        return session

    def refuse(self, status: LoginStatus, reason: str) -> None:
        """End the login with a status; the peer is told if it has asked for anything yet.

        Args:
            status: any but SUCCESS.
            reason: for the log.
        """
        if self.outcome is None:
            self._refuse(status, reason)

    def _advance(self) -> bool:
        """Handle one PDU; False when there is none."""
        try:
            pdu = self._reader.next_pdu()
            if pdu is None:
                return False
            self._receive_pdu(pdu)
        except LoginError as error:
            self._refuse(LoginStatus(error.status), error.reason)
        except PduError as error:
            invalid = error.reason is RejectReason.COMMAND_NOT_SUPPORTED
            status = LoginStatus.INVALID_DURING_LOGIN if invalid else LoginStatus.INITIATOR_ERROR
            self._answering = self._answering or _stand_in(_task_tag(error.header))
            self._refuse(status, str(error))
        except ProtocolError as error:
            self._refuse(LoginStatus.INITIATOR_ERROR, str(error))
        return True

    def _receive_pdu(self, pdu: Pdu) -> None:
        if not isinstance(pdu, LoginRequest):
            tag = getattr(pdu, "initiator_task_tag", RESERVED_TAG)
            self._answering = self._answering or _stand_in(tag)
            raise LoginError(
                LoginStatus.INVALID_DURING_LOGIN, f"{pdu.OPCODE.name} before the end of the login"
            )
        before, self._answering = self._answering, pdu
        if before is None:
            self._stage = check_first(pdu)
        else:
            check_next(pdu, before=before, stage=self._stage)
        self._count(pdu)
        if self._unsent:
            if pdu.data or pdu.continue_:
                raise ProtocolError("text received before all of ours was sent")
            self._answer(pdu, self._unsent)
            return
        pairs = self._sequence.receive_segment(pdu.data, more=pdu.continue_)
        if pairs is None:
            self._send(pdu)
        else:
            self._receive_pairs(pdu, pairs)

    def _count(self, request: LoginRequest) -> None:
        self._requests += 1
        self._text_bytes += len(request.data)
        if self._requests > LOGIN_REQUESTS_MAX:
            raise ProtocolError(f"more than {LOGIN_REQUESTS_MAX} Login Requests")
        if self._text_bytes > SEQUENCE_BYTES_MAX:
            raise ProtocolError(
                f"{self._text_bytes} bytes of text in one login, limit {SEQUENCE_BYTES_MAX}"
            )

    def _receive_pairs(self, request: LoginRequest, pairs: list[Pair]) -> None:
        declarations = []
        if self._identity is None:
            self._identity = identify(dict(pairs), self._policy)
            if self._redirect(self._identity):
                return
            self._negotiation.discovery = self._identity.is_discovery
            self._security = SecurityStage(self._identity.chap, challenge=self._random)
            declarations = self._declare_target(self._identity)
        if self._stage is Stage.OPERATIONAL and not self._security.is_satisfied:
            raise LoginError(LoginStatus.AUTHENTICATION_FAILURE, "the login skips authentication")
        replies = self._negotiation.receive_pairs(pairs, self._stage.phase)
        answers = [*declarations, *replies.pairs, *self._security.receive_keys(replies.dialogue)]
        if self._stage is Stage.OPERATIONAL:
            answers += self._declare_operational()
        self._answer(request, encode_pairs(answers))

    def _redirect(self, identity: Identity) -> bool:
        """Send the initiator elsewhere if its target says so."""
        redirect = None if identity.target is None else identity.target.redirect
        if redirect is None:
            return False
        address = redirect.format_target_address()
        text = encode_pairs([Pair("TargetAddress", address)])
        self._refuse(redirect.status, f"sent to {address}", text)
        return True

    def _declare_target(self, identity: Identity) -> list[Pair]:
        """Spec: RFC 7143 §13.9: the tag goes into the first response of a normal session."""
        if identity.target is None:
            return []
        pairs = [self._negotiation.declare("TargetPortalGroupTag", self._policy.portal.tag)]
        if identity.target.alias is not None:
            pairs.append(self._negotiation.declare("TargetAlias", identity.target.alias))
        return pairs

    def _declare_operational(self) -> list[Pair]:
        """Return what the first operational response declares and, at any time, our offers."""
        pairs = self._negotiation.originate()
        ours = self._policy.offers.max_recv_data_segment_bytes
        if self._max_recv_data_segment_bytes != ours:
            self._max_recv_data_segment_bytes = ours
            pairs.insert(0, self._negotiation.declare("MaxRecvDataSegmentLength", ours))
        return pairs

    def _answer(self, request: LoginRequest, text: bytes) -> None:
        """Send text, in several responses if need be, and change the stage if it is time."""
        limit = min(LOGIN_SEGMENT_BYTES_MAX, self._negotiation.number("MaxRecvDataSegmentLength"))
        self._unsent = text[limit:]
        if self._unsent:
            self._send(request, text=text[:limit], more=True)
            return
        next_stage = self._granted_stage(request)
        if next_stage is Stage.FULL_FEATURE:
            self._complete(request, text)
        else:
            self._send(request, text=text, next_stage=next_stage)
            self._stage = self._stage if next_stage is None else next_stage

    def _granted_stage(self, request: LoginRequest) -> Stage | None:
        """Return the stage to go to now, or None to stay.

        Raises:
            LoginError: the initiator leaves the security stage without having begun to prove what
                it must.
            ProtocolError: the login would end with a value beyond our limits.
        """
        if not request.transit:
            return None
        if not self._security.is_satisfied:
            if self._security.has_begun:
                return None
            raise LoginError(
                LoginStatus.AUTHENTICATION_FAILURE, "the login ends its security stage unproven"
            )
        if self._negotiation.awaits_reply:
            return None
        next_stage = Stage(request.nsg)
        if next_stage is Stage.FULL_FEATURE:
            self._negotiation.check_limits()
        return next_stage

    def _complete(self, request: LoginRequest, text: bytes) -> None:
        """The negotiation is over: grant a discovery session, ask for a normal one."""
        if self._identity is None:
            raise AssertionError("a login ends without an identity")
        self._login = Login(
            request=request,
            identity=self._identity,
            negotiation=self._negotiation,
            max_recv_data_segment_bytes=self._max_recv_data_segment_bytes,
            auth_user=self._security.user,
        )
        if not self._identity.is_discovery:
            self._final_text = text
            self.pending = self._login.summary()
            return
        if request.tsih:
            raise LoginError(
                LoginStatus.SESSION_DOES_NOT_EXIST,
                f"TSIH {request.tsih} for a discovery session, which has one connection",
            )
        tsih = int.from_bytes(self._random(2)) or _TSIH_MAX
        self._send(request, text=text, next_stage=Stage.FULL_FEATURE, tsih=tsih)
        self.outcome = self._login.discovery(tsih=tsih, stat_sn=self._stat_sn)

    def _refuse(self, status: LoginStatus, reason: str, text: bytes = b"") -> None:
        self.pending = None
        self.outcome = Refused(status, reason)
        if self._answering is not None:
            self._send(self._answering, text=text, status=status)

    def _send(
        self,
        request: LoginRequest,
        *,
        text: bytes = b"",
        more: bool = False,
        next_stage: Stage | None = None,
        tsih: int | None = None,
        command_window: int = 1,
        status: LoginStatus = LoginStatus.SUCCESS,
    ) -> None:
        """Queue one Login Response. Spec: RFC 7143 §11.13."""
        response = LoginResponse(
            transit=next_stage is not None,
            continue_=more,
            csg=request.csg,
            nsg=0 if next_stage is None else next_stage,
            version_max=VERSION,
            version_active=VERSION,
            isid=request.isid,
            tsih=request.tsih if tsih is None else tsih,
            initiator_task_tag=request.initiator_task_tag,
            stat_sn=self._stat_sn,
            exp_cmd_sn=request.cmd_sn,
            max_cmd_sn=(request.cmd_sn + command_window - 1) & _U32,
            status=status,
            data=text,
        )
        self._stat_sn = (self._stat_sn + 1) & _U32
        self._out += frame(response)


def _stand_in(initiator_task_tag: int) -> LoginRequest:
    """What a Login Response answers where the peer sent no Login Request."""
    return LoginRequest(
        transit=False, csg=0, isid=bytes(6), initiator_task_tag=initiator_task_tag, cmd_sn=0
    )


def _task_tag(header: bytes) -> int:
    """Initiator Task Tag of a header that could not be decoded."""
    return int.from_bytes(header[16:20]) if len(header) == BHS_BYTES else RESERVED_TAG
