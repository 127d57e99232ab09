"""Errors know their Reject reason."""

from __future__ import annotations

from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.reject import (
    DataDigestError,
    HeaderDigestError,
    PduError,
    RejectReason,
)


def test_errors_are_protocol_errors_with_a_reason() -> None:
    for kind in (PduError, HeaderDigestError, DataDigestError):
        error = kind(RejectReason.PROTOCOL_ERROR, "why", b"header")
        assert isinstance(error, ProtocolError)
        assert (error.reason, error.header, str(error)) == (4, b"header", "why")
