"""PDUs that open and close a session: Login and Logout. Spec: RFC 7143 §11.12 to §11.15."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from fairlead.proto.iscsi.bhs import Bhs
from fairlead.proto.iscsi.opcode import Opcode

_TRANSIT: Final = 0x80
_CONTINUE: Final = 0x40
_FINAL: Final = 0x80
_STAGE_MASK: Final = 0x03

ISID_BYTES: Final = 6

_LOGIN_REQUEST: Final = struct.Struct(">HxxII16x")
_LOGIN_RESPONSE: Final = struct.Struct(">4xIIIH10x")
_LOGOUT_REQUEST: Final = struct.Struct(">HxxII16x")
_LOGOUT_RESPONSE: Final = struct.Struct(">4xIII4xHH4x")
_ISID_TSIH: Final = struct.Struct(">6sH")


class LogoutReason(enum.IntEnum):
    """What a Logout Request closes. Spec: RFC 7143 §11.14.1."""

    CLOSE_SESSION = 0
    CLOSE_CONNECTION = 1
    REMOVE_CONNECTION_FOR_RECOVERY = 2


class LogoutResult(enum.IntEnum):
    """Response field of a Logout Response. Spec: RFC 7143 §11.15.1."""

    CLOSED = 0
    CID_NOT_FOUND = 1
    RECOVERY_NOT_SUPPORTED = 2
    CLEANUP_FAILED = 3


def _login_flags(*, transit: bool, continue_: bool, csg: int, nsg: int) -> int:
    return (
        (_TRANSIT if transit else 0)
        | (_CONTINUE if continue_ else 0)
        | (csg & _STAGE_MASK) << 2
        | (nsg & _STAGE_MASK)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """Login Request; always sent with the I bit. Spec: RFC 7143 §11.12."""

    OPCODE: ClassVar[Opcode] = Opcode.LOGIN_REQUEST

    transit: bool  # T: ready to leave stage `csg` for `nsg`
    continue_: bool = False  # C: the text goes on in the next Login Request
    csg: int  # current stage, 0 to 3
    nsg: int = 0  # next stage, 0 to 3; meaningless without `transit`
    version_max: int = 0
    version_min: int = 0
    isid: bytes  # 6 bytes
    tsih: int = 0  # 0 asks for a new session
    initiator_task_tag: int
    cid: int = 0
    cmd_sn: int
    exp_stat_sn: int = 0
    data: bytes = b""  # text keys

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is LOGIN_REQUEST, and its data segment."""
        isid, tsih = _ISID_TSIH.unpack(bhs.lun_field)
        cid, cmd_sn, exp_stat_sn = _LOGIN_REQUEST.unpack(bhs.specific_20)
        return cls(
            transit=bool(bhs.flags & _TRANSIT),
            continue_=bool(bhs.flags & _CONTINUE),
            csg=bhs.flags >> 2 & _STAGE_MASK,
            nsg=bhs.flags & _STAGE_MASK,
            version_max=bhs.specific_2[0],
            version_min=bhs.specific_2[1],
            isid=isid,
            tsih=tsih,
            initiator_task_tag=bhs.initiator_task_tag,
            cid=cid,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            immediate=True,
            flags=_login_flags(
                transit=self.transit, continue_=self.continue_, csg=self.csg, nsg=self.nsg
            ),
            specific_2=bytes((self.version_max, self.version_min)),
            data_segment_bytes=len(self.data),
            lun_field=_ISID_TSIH.pack(self.isid, self.tsih),
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_LOGIN_REQUEST.pack(self.cid, self.cmd_sn, self.exp_stat_sn),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResponse:
    """Login Response. Spec: RFC 7143 §11.13."""

    OPCODE: ClassVar[Opcode] = Opcode.LOGIN_RESPONSE

    transit: bool  # T: the target agrees to leave stage `csg` for `nsg`
    continue_: bool = False  # C: the text goes on in the next Login Response
    csg: int
    nsg: int = 0
    version_max: int = 0
    version_active: int = 0
    isid: bytes  # 6 bytes
    tsih: int = 0  # non-zero in the final response of a normal session
    initiator_task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    status: int = 0  # Status-Class << 8 | Status-Detail
    data: bytes = b""  # text keys

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is LOGIN_RESPONSE, and its data segment."""
        isid, tsih = _ISID_TSIH.unpack(bhs.lun_field)
        stat_sn, exp_cmd_sn, max_cmd_sn, status = _LOGIN_RESPONSE.unpack(bhs.specific_20)
        return cls(
            transit=bool(bhs.flags & _TRANSIT),
            continue_=bool(bhs.flags & _CONTINUE),
            csg=bhs.flags >> 2 & _STAGE_MASK,
            nsg=bhs.flags & _STAGE_MASK,
            version_max=bhs.specific_2[0],
            version_active=bhs.specific_2[1],
            isid=isid,
            tsih=tsih,
            initiator_task_tag=bhs.initiator_task_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            status=status,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            flags=_login_flags(
                transit=self.transit, continue_=self.continue_, csg=self.csg, nsg=self.nsg
            ),
            specific_2=bytes((self.version_max, self.version_active)),
            data_segment_bytes=len(self.data),
            lun_field=_ISID_TSIH.pack(self.isid, self.tsih),
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_LOGIN_RESPONSE.pack(
                self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, self.status
            ),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """Logout Request. Spec: RFC 7143 §11.14."""

    OPCODE: ClassVar[Opcode] = Opcode.LOGOUT_REQUEST

    immediate: bool = True
    reason: int  # LogoutReason, 0 to 127
    initiator_task_tag: int
    cid: int = 0  # meaningless where the whole session is closed
    cmd_sn: int
    exp_stat_sn: int
    data: bytes = b""  # the standard allows none

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is LOGOUT_REQUEST, and its data segment."""
        cid, cmd_sn, exp_stat_sn = _LOGOUT_REQUEST.unpack(bhs.specific_20)
        return cls(
            immediate=bhs.immediate,
            reason=bhs.flags & ~_FINAL,
            initiator_task_tag=bhs.initiator_task_tag,
            cid=cid,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            immediate=self.immediate,
            flags=_FINAL | self.reason,
            data_segment_bytes=len(self.data),
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_LOGOUT_REQUEST.pack(self.cid, self.cmd_sn, self.exp_stat_sn),
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutResponse:
    """Logout Response. Spec: RFC 7143 §11.15."""

    OPCODE: ClassVar[Opcode] = Opcode.LOGOUT_RESPONSE

    response: int  # LogoutResult
    initiator_task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    time2wait_s: int = 0
    time2retain_s: int = 0
    data: bytes = b""  # the standard allows none

    @classmethod
    def decode(cls, bhs: Bhs, data: bytes) -> Self:
        """Decode from a BHS whose opcode is LOGOUT_RESPONSE, and its data segment."""
        stat_sn, exp_cmd_sn, max_cmd_sn, wait_s, retain_s = _LOGOUT_RESPONSE.unpack(bhs.specific_20)
        return cls(
            response=bhs.specific_2[0],
            initiator_task_tag=bhs.initiator_task_tag,
            stat_sn=stat_sn,
            exp_cmd_sn=exp_cmd_sn,
            max_cmd_sn=max_cmd_sn,
            time2wait_s=wait_s,
            time2retain_s=retain_s,
            data=data,
        )

    def encode(self) -> bytes:
        """Encode the 48-byte BHS."""
        return Bhs(
            opcode=self.OPCODE,
            specific_2=bytes((self.response, 0)),
            data_segment_bytes=len(self.data),
            initiator_task_tag=self.initiator_task_tag,
            specific_20=_LOGOUT_RESPONSE.pack(
                self.stat_sn,
                self.exp_cmd_sn,
                self.max_cmd_sn,
                self.time2wait_s,
                self.time2retain_s,
            ),
        ).encode()
