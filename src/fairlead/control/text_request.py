"""Answers the Text Requests of normal sessions. Spec: RFC 7143 §11.10, §13.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.control.log import logger
from fairlead.errors import ProtocolError
from fairlead.proto.iscsi.full_feature_text import text_request

if TYPE_CHECKING:
    from fairlead.control.sessions import LiveSession
    from fairlead.dataplane.api import DataPlane, TextRequested

log = logger(__name__)


def answer_text_request(plane: DataPlane, request: TextRequested, live: LiveSession | None) -> None:
    """Answer one request; a session that breaks the rules of text ends.

    Args:
        plane: takes the answer.
        request: what the initiator asks.
        live: its session, None when that has ended meanwhile.
    """
    if live is None:
        return  # The data plane has nobody to send an answer to.
    parameters = live.parameters
    try:
        data, changes = text_request(
            parameters, request.data, target_addresses=live.target_addresses
        )
        limit = (
            changes.peer_max_recv_data_segment_bytes or parameters.peer_max_recv_data_segment_bytes
        )
        if len(data) > limit:
            # The initiator knows the address that it has come to, so it may be left out.
            data, changes = text_request(parameters, request.data)
    except ProtocolError as error:
        # At error recovery level 0 a protocol error may end the session.
        log.info("iscsi.protocol", peer=live.peer, session=live.session, reason=error)
        plane.end_session(live.session)
        return
    plane.answer_text(
        request.id,
        data=data,
        peer_max_recv_data_segment_bytes=changes.peer_max_recv_data_segment_bytes,
    )
