"""Cuts a byte stream into PDUs. Spec: RFC 7143 §11.1, §11.2."""

from __future__ import annotations

from typing import Final

from fairlead.proto.iscsi.bhs import BHS_BYTES, Bhs, padded
from fairlead.proto.iscsi.digest import DIGEST_BYTES, crc32c
from fairlead.proto.iscsi.framing import Pdu, decode_pdu
from fairlead.proto.iscsi.opcode import OPCODE_MASK
from fairlead.proto.iscsi.reject import (
    DataDigestError,
    HeaderDigestError,
    PduError,
    RejectReason,
)

_AHS_WORDS_AT: Final = 4
_DATA_SEGMENT_LENGTH_AT: Final = slice(5, 8)


class PduReader:
    """Cut a byte stream into PDUs. Holds bytes and limits, never a socket.

    The three attributes may be changed between two PDUs: negotiated values hold from the first PDU
    of the full-feature phase on. Memory stays below one PDU at the limit plus what the last
    ``receive_data`` brought, if ``next_pdu`` is called until it returns None after each.

    Attributes:
        max_data_segment_bytes: our MaxRecvDataSegmentLength; a longer data segment is refused.
        header_digest: whether a CRC32C follows each header.
        data_digest: whether a CRC32C follows each data segment that is not empty.
    """

    def __init__(
        self,
        max_data_segment_bytes: int,
        header_digest: bool = False,
        data_digest: bool = False,
    ) -> None:
        self.max_data_segment_bytes = max_data_segment_bytes
        self.header_digest = header_digest
        self.data_digest = data_digest
        self._buffer = bytearray()

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the stream."""
        self._buffer += data

    def trailing_data(self) -> bytes:
        """Return the bytes received after the last PDU; they must travel with the socket."""
        return bytes(self._buffer)

    def next_pdu(self) -> Pdu | None:
        """Return the next whole PDU, or None when more bytes are needed.

        Raises:
            PduError: a data segment above the limit, refused before any of it is buffered. The
                stream has no next PDU for us.
            HeaderDigestError: the stream has no next PDU.
            PduError: an unknown opcode, a malformed AHS. The PDU is off the stream; the next call
                goes on behind it.
            DataDigestError: the same.
        """
        if len(self._buffer) < BHS_BYTES:
            return None
        header = bytes(self._buffer[:BHS_BYTES])
        header_bytes = BHS_BYTES + 4 * header[_AHS_WORDS_AT]
        data_at = header_bytes + (DIGEST_BYTES if self.header_digest else 0)
        if len(self._buffer) < data_at and self.header_digest:
            return None
        if self.header_digest:
            self._check_header_digest(header, header_bytes)
        data_bytes = int.from_bytes(header[_DATA_SEGMENT_LENGTH_AT])
        self._check_data_segment_bytes(header, data_bytes)
        digest_at = data_at + padded(data_bytes)
        end = digest_at + (DIGEST_BYTES if self.data_digest and data_bytes else 0)
        if len(self._buffer) < end:
            return None
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        if end > digest_at and crc32c(whole[data_at:digest_at]) != whole[digest_at:]:
            raise DataDigestError(
                RejectReason.DATA_DIGEST_ERROR,
                f"data digest {whole[digest_at:].hex()}, "
                f"computed {crc32c(whole[data_at:digest_at]).hex()}",
                header,
            )
        return _decode(header, whole[BHS_BYTES:header_bytes], whole[data_at : data_at + data_bytes])

    def _check_header_digest(self, header: bytes, header_bytes: int) -> None:
        received = bytes(self._buffer[header_bytes : header_bytes + DIGEST_BYTES])
        computed = crc32c(bytes(self._buffer[:header_bytes]))
        if received != computed:
            raise HeaderDigestError(
                RejectReason.PROTOCOL_ERROR,
                f"header digest {received.hex()}, computed {computed.hex()}",
                header,
            )

    def _check_data_segment_bytes(self, header: bytes, data_bytes: int) -> None:
        if data_bytes > self.max_data_segment_bytes:
            raise PduError(
                RejectReason.PROTOCOL_ERROR,
                f"opcode {header[0] & OPCODE_MASK:#04x}: data segment of {data_bytes} bytes, "
                f"limit {self.max_data_segment_bytes}",
                header,
            )


def _decode(header: bytes, ahs: bytes, data: bytes) -> Pdu:
    """Decode, and see to it that an error carries the header."""
    try:
        return decode_pdu(Bhs.decode(header), data, ahs)
    except PduError as error:
        error.header = header
        raise
