"""A login client in raw bytes: just enough iSCSI to log in, stay, answer pings, and log out.

Small on purpose: ten thousand sessions are held in one process, and the client's own cost must
not be what a login rate measures. Spec: RFC 7143 §11.12 (Login Request), §11.13 (Login Response),
§11.18/§11.19 (NOP-Out, NOP-In), §11.14 (Logout Request).
"""

from __future__ import annotations

import asyncio
import struct

from typing_extensions import override

_BHS_BYTES = 48
_LOGIN_REQUEST = 0x43  # Immediate.
_LOGIN_RESPONSE = 0x23
_NOP_OUT = 0x40  # Immediate.
_NOP_IN = 0x20
_LOGOUT_REQUEST = 0x46  # Immediate.
_LOGOUT_RESPONSE = 0x26
_TRANSIT_OPERATIONAL_TO_FULL = 0x87  # T, CSG 1, NSG 3.
_NO_TAG = 0xFFFFFFFF
_ROUNDS_MAX = 8
_DATA_BYTES_MAX = 65536


class LoginFailedError(Exception):
    """The target refused the login, or said something that is no login response."""


def login_request(*, isid: bytes, exp_stat_sn: int, text: bytes) -> bytes:
    """Encode a Login Request that asks for full feature phase in one step."""
    header = struct.pack(
        ">BB2xI6sHIH2xII16x",
        _LOGIN_REQUEST,
        _TRANSIT_OPERATIONAL_TO_FULL,
        len(text),  # TotalAHSLength 0 in the upper byte.
        isid,
        0,  # TSIH: a new session.
        1,  # Initiator task tag, kept through the login.
        0,  # CID
        1,  # CmdSN
        exp_stat_sn,
    )
    return header + text + bytes(-len(text) % 4)


def login_text(*, initiator: str, target: str) -> bytes:
    """Encode the keys of a normal session without digests."""
    pairs = {
        "InitiatorName": initiator,
        "TargetName": target,
        "SessionType": "Normal",
        "HeaderDigest": "None",
        "DataDigest": "None",
        "MaxRecvDataSegmentLength": "65536",
    }
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in pairs.items())


class Session(asyncio.Protocol):
    """One connection that logs in as soon as it is made.

    ``logged_in`` resolves when the target has accepted, ``ended`` when the connection is gone.
    """

    def __init__(self, *, isid: bytes, text: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.logged_in: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._isid = isid
        self._text = text
        self._received = bytearray()
        self._rounds = 0
        self._stat_sn = 0
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first and usually only Login Request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  create_connection makes it.
        self._transport = transport
        self._send_login(self._text, exp_stat_sn=0)

    @override
    def data_received(self, data: bytes) -> None:
        """Take PDUs as they become whole."""
        self._received += data
        while len(self._received) >= _BHS_BYTES:
            data_bytes = int.from_bytes(self._received[5:8])
            pdu_bytes = _BHS_BYTES + self._received[4] * 4 + data_bytes + -data_bytes % 4
            if data_bytes > _DATA_BYTES_MAX:
                self._fail(f"a PDU with {data_bytes} bytes of data")
                return
            if len(self._received) < pdu_bytes:
                return
            header = bytes(self._received[:_BHS_BYTES])
            del self._received[:pdu_bytes]
            self._take(header)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; before the login is over it is a failure."""
        self._fail(f"connection closed: {exc}" if exc else "connection closed")
        if not self.ended.done():
            self.ended.set_result(None)

    def log_out(self) -> None:
        """Ask the target to close the session; it then closes the connection, or we do."""
        if self._transport is not None:
            header = struct.pack(
                ">BB14xIH2xII16x", _LOGOUT_REQUEST, 0x80, 2, 0, 1, self._stat_sn + 1
            )
            self._transport.write(header)

    def close(self) -> None:
        """Close the connection without a word."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, header: bytes) -> None:
        opcode = header[0] & 0x3F
        self._stat_sn = int.from_bytes(header[24:28])
        if opcode == _LOGIN_RESPONSE:
            self._take_login_response(header)
        elif opcode == _NOP_IN and header[20:24] != b"\xff\xff\xff\xff":
            self._answer_ping(header)
        elif opcode == _LOGOUT_RESPONSE:
            self.close()

    def _take_login_response(self, header: bytes) -> None:
        status = int.from_bytes(header[36:38])
        if status != 0:
            self._fail(f"login refused with status {status:#06x}")
        elif header[1] & 0x80 and header[1] & 0x03 == 3:
            if not self.logged_in.done():
                self.logged_in.set_result(None)
        elif self._rounds < _ROUNDS_MAX:
            self._send_login(b"", exp_stat_sn=self._stat_sn + 1)
        else:
            self._fail(f"no end of the login after {_ROUNDS_MAX} rounds")

    def _answer_ping(self, header: bytes) -> None:
        if self._transport is not None:
            self._transport.write(
                struct.pack(
                    ">BB6x8sI4sII16x",
                    _NOP_OUT,
                    0x80,
                    header[8:16],
                    _NO_TAG,
                    header[20:24],
                    1,
                    self._stat_sn,
                )
            )

    def _send_login(self, text: bytes, *, exp_stat_sn: int) -> None:
        self._rounds += 1
        if self._transport is not None:
            self._transport.write(
                login_request(isid=self._isid, exp_stat_sn=exp_stat_sn, text=text)
            )

    def _fail(self, reason: str) -> None:
        if not self.logged_in.done():
            self.logged_in.set_exception(LoginFailedError(reason))
            self.close()


async def log_in(host: str, port: int, *, number: int, initiator: str, target: str) -> Session:
    """Open a connection and log in as session ``number`` of ``initiator``.

    Raises:
        LoginFailedError: refused, or the connection ended first.
        OSError: no connection.
    """
    # ISID type "random" (10b), RFC 7143 §11.12.5: the number makes it unique.
    isid = b"\x80" + (number >> 16).to_bytes(3) + (number & 0xFFFF).to_bytes(2)
    text = login_text(initiator=initiator, target=target)
    loop = asyncio.get_running_loop()
    _, session = await loop.create_connection(lambda: Session(isid=isid, text=text), host, port)
    try:
        await session.logged_in
    except BaseException:  # Also when the caller's patience ends: no half-open session stays.
        session.close()
        raise
    return session
