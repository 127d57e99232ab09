"""A discovery session, as the target: SendTargets, NOP, Logout. Sans-I/O.

Everything else is answered Reject. Spec: RFC 7143 §4.3, §13.3, appendix C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.full_feature_text import answer_pairs, discover
from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    DataOut,
    HeaderDigestError,
    LogoutReason,
    LogoutRequest,
    LogoutResponse,
    LogoutResult,
    NopIn,
    NopOut,
    Pdu,
    PduError,
    PduReader,
    Reject,
    RejectReason,
    SnackRequest,
    TargetPdu,
    TextRequest,
    TextResponse,
    frame,
)
from fairlead.proto.iscsi.text import TextSequence, encode_pairs

if TYPE_CHECKING:
    from fairlead.proto.iscsi.login_policy import LoginPolicy
    from fairlead.proto.iscsi.session import Discovery

COMMAND_WINDOW: Final = 8
# An initiator waits for one answer before its next request. Whoever piles up this much within one
# ``receive_data`` does not, and is cut off.
OUTPUT_BYTES_MAX: Final = 1 << 20
# A data segment of ours is no longer than this, whatever the initiator would take.
_SEGMENT_BYTES_MAX: Final = 65_536
_TRANSFER_TAG: Final = 1
_U32: Final = 0xFFFF_FFFF

# The stream is lost with these: the next PDU cannot be found, or is too long to be skipped.
_FATAL: Final = frozenset({RejectReason.PROTOCOL_ERROR})


class DiscoveryCore:
    """One discovery session from the end of its login on.

    The caller passes the login's trailing bytes to ``receive_data`` first, sends ``data_to_send``
    after each call, and closes the connection when ``done``. Time limits are the caller's.

    Args:
        policy: of the portal that the connection came to.
        session: what the login ended in.

    Attributes:
        done: the session is over.
        reason: why it ended, for the log; None after a Logout and before the end.
    """

    def __init__(self, policy: LoginPolicy, session: Discovery) -> None:
        self.done = False
        self.reason: str | None = None
        self._policy = policy
        self._session = session
        self._reader = PduReader(
            session.max_recv_data_segment_bytes, session.header_digest, session.data_digest
        )
        self._peer_segment_bytes_max = session.peer_max_recv_data_segment_bytes
        self._exp_cmd_sn = session.exp_cmd_sn
        self._stat_sn = session.stat_sn
        self._sequence = TextSequence()
        self._exchange_open = False  # the initiator may go on with our transfer tag
        self._unsent = b""
        self._out = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer. Never raises for what they are."""
        if self.done:
            return
        self._reader.receive_data(data)
        while not self.done and self._advance():
            if len(self._out) > OUTPUT_BYTES_MAX:
                self._end(f"{len(self._out)} bytes of answers pending, limit {OUTPUT_BYTES_MAX}")

    def receive_eof(self) -> None:
        """Take note that the peer will send nothing more."""
        if not self.done:
            self._end("connection closed without logout")

    def data_to_send(self) -> bytes:
        """Return the bytes to send now; each is returned once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def _advance(self) -> bool:
        """Handle one PDU; False when there is none."""
        try:
            pdu = self._reader.next_pdu()
        except HeaderDigestError as error:
            self._end(str(error))
            return False
        except PduError as error:
            self._reject(error.reason, error.header)
            if error.reason in _FATAL:
                self._end(str(error))
            return True
        if pdu is None:
            return False
        if self._takes_turn(pdu):
            self._receive_pdu(pdu)
        return True

    def _takes_turn(self, pdu: Pdu) -> bool:
        """Tell whether a PDU is the next one, and count it.

        One connection keeps its order, so a CmdSN that is not the expected one is outside the
        window or a repetition: ignored in silence. Spec: RFC 7143 §4.2.2.1.
        """
        cmd_sn = getattr(pdu, "cmd_sn", None)
        if cmd_sn is None or getattr(pdu, "immediate", True):
            return True
        if cmd_sn != self._exp_cmd_sn:
            return False
        self._exp_cmd_sn = (self._exp_cmd_sn + 1) & _U32
        return True

    def _receive_pdu(self, pdu: Pdu) -> None:
        match pdu:
            case NopOut():
                self._nop_out(pdu)
            case TextRequest():
                self._text_request(pdu)
            case LogoutRequest():
                self._logout_request(pdu)
            case DataOut() | SnackRequest():
                self._reject(RejectReason.PROTOCOL_ERROR, pdu.encode())
            case _:
                self._reject(RejectReason.COMMAND_NOT_SUPPORTED, pdu.encode())

    def _nop_out(self, request: NopOut) -> None:
        """Return the ping, unless it wants no answer. Spec: RFC 7143 §11.18."""
        if request.initiator_task_tag == RESERVED_TAG:
            return
        self._send(
            NopIn(
                lun_field=request.lun_field,
                initiator_task_tag=request.initiator_task_tag,
                data=request.data[: self._segment_bytes_max],
                **self._numbers(),
            )
        )

    def _text_request(self, request: TextRequest) -> None:
        """Answer one Text Request, the first of an exchange or one that goes on with it."""
        if request.target_transfer_tag == RESERVED_TAG:
            self._reset_exchange()
        elif not self._exchange_open or request.target_transfer_tag != _TRANSFER_TAG:
            self._reject(RejectReason.PROTOCOL_ERROR, request.encode())
            return
        try:
            text = self._text_of(request)
        except ProtocolError:
            self._reset_exchange()
            self._reject(RejectReason.PROTOCOL_ERROR, request.encode())
            return
        limit = self._segment_bytes_max
        self._unsent = text[limit:]
        final = request.final and not request.continue_ and not self._unsent
        self._exchange_open = not final
        self._send(
            TextResponse(
                final=final,
                continue_=bool(self._unsent),
                lun_field=request.lun_field,
                initiator_task_tag=request.initiator_task_tag,
                target_transfer_tag=RESERVED_TAG if final else _TRANSFER_TAG,
                data=text[:limit],
                **self._numbers(),
            )
        )

    def _text_of(self, request: TextRequest) -> bytes:
        """Return what is to be sent in answer to a request, as a whole.

        Raises:
            ProtocolError: malformed text, or text while ours is not all sent.
        """
        if self._unsent:
            if request.data or request.continue_:
                raise ProtocolError("text received before all of ours was sent")
            return self._unsent
        pairs = self._sequence.receive_segment(request.data, more=request.continue_)
        if pairs is None:
            return b""
        answers, changes = answer_pairs(
            pairs, lambda value: discover(self._policy, self._session.initiator_name, value)
        )
        if changes.peer_max_recv_data_segment_bytes is not None:
            self._peer_segment_bytes_max = changes.peer_max_recv_data_segment_bytes
        return encode_pairs(answers)

    def _reset_exchange(self) -> None:
        self._sequence = TextSequence()
        self._unsent = b""
        self._exchange_open = False

    def _logout_request(self, request: LogoutRequest) -> None:
        """Close the session. Spec: RFC 7143 §11.14, §11.15."""
        result = LogoutResult.CLOSED
        if request.reason == LogoutReason.CLOSE_CONNECTION and request.cid != self._session.cid:
            result = LogoutResult.CID_NOT_FOUND
        elif request.reason == LogoutReason.REMOVE_CONNECTION_FOR_RECOVERY:
            result = LogoutResult.RECOVERY_NOT_SUPPORTED
        elif request.reason not in set(LogoutReason):
            self._reject(RejectReason.INVALID_PDU_FIELD, request.encode())
            return
        self._send(
            LogoutResponse(
                response=result,
                initiator_task_tag=request.initiator_task_tag,
                data=b"",
                **self._numbers(),
            )
        )
        self.done = result is LogoutResult.CLOSED

    def _reject(self, reason: RejectReason, header: bytes) -> None:
        """Spec: RFC 7143 §11.17."""
        self._send(Reject(reason=reason, data=header, **self._numbers()))

    @property
    def _segment_bytes_max(self) -> int:
        return min(_SEGMENT_BYTES_MAX, self._peer_segment_bytes_max)

    def _numbers(self) -> dict[str, int]:
        """StatSN, which this uses up, and the command window. Spec: RFC 7143 §4.2.2."""
        stat_sn = self._stat_sn
        self._stat_sn = (self._stat_sn + 1) & _U32
        return {
            "stat_sn": stat_sn,
            "exp_cmd_sn": self._exp_cmd_sn,
            "max_cmd_sn": (self._exp_cmd_sn + COMMAND_WINDOW - 1) & _U32,
        }

    def _send(self, pdu: TargetPdu) -> None:
        self._out += frame(pdu, self._session.header_digest, self._session.data_digest)

    def _end(self, reason: str) -> None:
        self.done = True
        self.reason = reason
