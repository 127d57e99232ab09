from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.proto.iscsi.discovery import COMMAND_WINDOW, OUTPUT_BYTES_MAX, DiscoveryCore
from fairlead.proto.iscsi.login_policy import LoginPolicy, Portal, TargetPolicy
from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    DataOut,
    LogoutReason,
    LogoutRequest,
    LogoutResponse,
    LogoutResult,
    NopIn,
    NopOut,
    Pdu,
    PduReader,
    Reject,
    RejectReason,
    ScsiCommand,
    TaskManagementRequest,
    TextRequest,
    TextResponse,
    frame,
)
from fairlead.proto.iscsi.session import Discovery
from fairlead.proto.iscsi.text import parse_pairs
from tests.support.login_peer import INITIATOR, ISID, SECURED, TARGET, policy

SESSION = Discovery(
    initiator_name=INITIATOR,
    isid=ISID,
    tsih=3,
    cid=7,
    exp_cmd_sn=100,
    stat_sn=5,
    max_recv_data_segment_bytes=262_144,
    peer_max_recv_data_segment_bytes=8192,
    header_digest=False,
    data_digest=False,
    auth_user=None,
)


class Peer:
    """The initiator's end of a discovery session."""

    def __init__(self, login_policy: LoginPolicy | None = None, **session: Any) -> None:
        self.session = replace(SESSION, **session)
        self.core = DiscoveryCore(login_policy or policy(), self.session)
        self._reader = PduReader(1 << 20, self.session.header_digest, self.session.data_digest)

    def send(self, *pdus: Pdu) -> list[Pdu]:
        for pdu in pdus:
            self.core.receive_data(frame(pdu, self.session.header_digest, self.session.data_digest))
        return self.received()

    def received(self) -> list[Pdu]:
        self._reader.receive_data(self.core.data_to_send())
        found = []
        while (pdu := self._reader.next_pdu()) is not None:
            found.append(pdu)
        return found

    def text(self, **fields: Any) -> TextResponse:
        (response,) = self.send(text(**fields))
        assert isinstance(response, TextResponse)
        return response

    def reject(self, pdu: Pdu) -> Reject:
        (response,) = self.send(pdu)
        assert isinstance(response, Reject)
        return response


def text(data: bytes = b"SendTargets=All\0", **fields: Any) -> TextRequest:
    values: dict[str, Any] = {
        "final": True, "initiator_task_tag": 0x11, "cmd_sn": 100, "exp_stat_sn": 0, "data": data,
    }  # fmt: skip
    return TextRequest(**values | fields)


def logout(**fields: Any) -> LogoutRequest:
    values: dict[str, Any] = {
        "reason": LogoutReason.CLOSE_SESSION, "initiator_task_tag": 0x12, "cmd_sn": 100,
        "exp_stat_sn": 0,
    }  # fmt: skip
    return LogoutRequest(**values | fields)


def many_targets(count: int) -> LoginPolicy:
    names = [f"iqn.2025-01.com.example.storage:disk-{number:04}" for number in range(count)]
    return policy(targets={name: TargetPolicy() for name in names})


def test_send_targets_all() -> None:
    response = Peer().text()
    assert parse_pairs(response.data) == [
        ("TargetName", TARGET),
        ("TargetAddress", "192.0.2.10:3260,1"),
        ("TargetName", SECURED),
        ("TargetAddress", "192.0.2.10:3260,1"),
    ]
    assert (response.final, response.continue_) == (True, False)
    assert response.target_transfer_tag == RESERVED_TAG
    assert response.initiator_task_tag == 0x11
    assert (response.stat_sn, response.exp_cmd_sn) == (5, 101)
    assert response.max_cmd_sn == 100 + COMMAND_WINDOW


def test_send_targets_of_one() -> None:
    response = Peer().text(data=f"SendTargets={SECURED}\0".encode())
    assert parse_pairs(response.data)[0] == ("TargetName", SECURED)
    assert len(parse_pairs(response.data)) == 2


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("iqn.1999-09.org.nobody", []),
        ("", [("SendTargets", "Reject")]),
        ("junk", [("SendTargets", "Reject")]),
    ],
)
def test_send_targets_without_result(value: str, answer: list[tuple[str, str]]) -> None:
    response = Peer().text(data=f"SendTargets={value}\0".encode())
    assert parse_pairs(response.data) == answer
    assert response.final


def test_no_target_at_all_is_an_empty_answer() -> None:
    assert Peer(policy(targets={})).text().data == b""


def test_wildcard_portal_becomes_the_address_the_initiator_came_to() -> None:
    target = TargetPolicy(portals=(Portal(address="::", port=3261, tag=4),))
    initiator = Peer(policy(targets={TARGET: target}, portal=Portal(address="2001:db8::7", tag=4)))
    assert parse_pairs(initiator.text().data)[1] == ("TargetAddress", "[2001:db8::7]:3261,4")


def test_list_longer_than_a_segment_is_continued() -> None:
    """Spec: RFC 7143 §11.11: C bit, F bit and transfer tag."""
    initiator = Peer(many_targets(300))
    response = initiator.text()
    received, stat_sns = response.data, [response.stat_sn]
    cmd_sn = 100
    while not response.final:
        assert response.continue_
        assert len(response.data) == 8192
        assert response.target_transfer_tag != RESERVED_TAG
        cmd_sn += 1
        tag = response.target_transfer_tag
        response = initiator.text(data=b"", target_transfer_tag=tag, cmd_sn=cmd_sn)
        received += response.data
        stat_sns.append(response.stat_sn)
    assert response.target_transfer_tag == RESERVED_TAG
    assert not response.continue_
    pairs = parse_pairs(received, pairs_max=600)
    names = [value for key, value in pairs if key == "TargetName"]
    assert names == list(many_targets(300).targets)
    assert stat_sns == list(range(5, 5 + len(stat_sns)))


def test_initiators_segment_length_is_respected_and_may_change() -> None:
    initiator = Peer(many_targets(100), peer_max_recv_data_segment_bytes=512)
    assert len(initiator.text().data) == 512
    response = initiator.text(data=b"MaxRecvDataSegmentLength=1024\0SendTargets=All\0", cmd_sn=101)
    assert len(response.data) == 1024


def test_new_exchange_forgets_the_old_one() -> None:
    initiator = Peer(many_targets(300))
    first = initiator.text()
    again = initiator.text(cmd_sn=101)
    assert again.data == first.data


def test_text_while_ours_is_not_all_sent_is_rejected() -> None:
    initiator = Peer(many_targets(300))
    tag = initiator.text().target_transfer_tag
    rejected = initiator.reject(text(target_transfer_tag=tag, cmd_sn=101))
    assert rejected.reason == RejectReason.PROTOCOL_ERROR


@pytest.mark.parametrize("tag", [0, 1, 77])
def test_transfer_tag_that_we_did_not_give_is_rejected(tag: int) -> None:
    request = text(target_transfer_tag=tag)
    rejected = Peer().reject(request)
    assert rejected.reason == RejectReason.PROTOCOL_ERROR
    assert rejected.rejected_header == request.encode()


def test_request_may_be_continued() -> None:
    initiator = Peer()
    first = initiator.text(data=b"SendTar", final=False, continue_=True)
    assert (first.data, first.final) == (b"", False)
    assert first.target_transfer_tag != RESERVED_TAG
    second = initiator.text(
        data=b"gets=All\0", target_transfer_tag=first.target_transfer_tag, cmd_sn=101
    )
    assert second.final
    assert parse_pairs(second.data)[0] == ("TargetName", TARGET)


def test_exchange_lasts_as_long_as_the_initiator_wants() -> None:
    initiator = Peer()
    first = initiator.text(final=False)
    assert not first.final
    second = initiator.text(data=b"", target_transfer_tag=first.target_transfer_tag, cmd_sn=101)
    assert (second.final, second.data) == (True, b"")


@pytest.mark.parametrize(
    "data", [b"junk\0", b"SendTargets=All", b"SendTargets=All\0SendTargets=All\0"]
)
def test_malformed_text_is_rejected_and_the_session_goes_on(data: bytes) -> None:
    initiator = Peer()
    assert initiator.reject(text(data)).reason == RejectReason.PROTOCOL_ERROR
    assert initiator.text(cmd_sn=101).final
    assert not initiator.core.done


def test_text_without_end_is_rejected_at_64_kib() -> None:
    initiator = Peer()
    tag = RESERVED_TAG
    for number in range(9):
        request = text(
            b"x" * 8000, final=False, continue_=True, target_transfer_tag=tag, cmd_sn=100 + number
        )
        (response,) = initiator.send(request)
        if isinstance(response, Reject):
            assert number == 8
            return
        assert isinstance(response, TextResponse)
        tag = response.target_transfer_tag
    pytest.fail("more than 64 KiB of text were taken")


def test_ping_is_returned() -> None:
    ping = NopOut(initiator_task_tag=9, cmd_sn=100, exp_stat_sn=0, data=b"ping", immediate=True)
    assert Peer().send(ping) == [
        NopIn(
            initiator_task_tag=9,
            stat_sn=5,
            exp_cmd_sn=100,
            max_cmd_sn=100 + COMMAND_WINDOW - 1,
            data=b"ping",
        )
    ]


def test_ping_data_is_cut_to_what_the_initiator_takes() -> None:
    ping = NopOut(initiator_task_tag=9, cmd_sn=100, exp_stat_sn=0, data=b"p" * 9000)
    (answer,) = Peer().send(ping)
    assert len(answer.data) == 8192


def test_ping_that_wants_no_answer_gets_none() -> None:
    assert Peer().send(NopOut(cmd_sn=100, exp_stat_sn=0)) == []


@pytest.mark.parametrize(
    ("fields", "result", "done"),
    [
        ({"reason": LogoutReason.CLOSE_SESSION}, LogoutResult.CLOSED, True),
        ({"reason": LogoutReason.CLOSE_CONNECTION, "cid": 7}, LogoutResult.CLOSED, True),
        ({"reason": LogoutReason.CLOSE_CONNECTION, "cid": 8}, LogoutResult.CID_NOT_FOUND, False),
        (
            {"reason": LogoutReason.REMOVE_CONNECTION_FOR_RECOVERY, "cid": 7},
            LogoutResult.RECOVERY_NOT_SUPPORTED,
            False,
        ),
    ],
)
def test_logout(fields: dict[str, Any], result: LogoutResult, done: bool) -> None:
    initiator = Peer()
    (response,) = initiator.send(logout(**fields))
    assert isinstance(response, LogoutResponse)
    assert response.response == result
    assert response.initiator_task_tag == 0x12
    assert initiator.core.done is done
    assert initiator.core.reason is None


def test_logout_reason_that_does_not_exist() -> None:
    assert Peer().reject(logout(reason=99)).reason == RejectReason.INVALID_PDU_FIELD


def test_nothing_is_heard_after_logout() -> None:
    initiator = Peer()
    initiator.send(logout())
    assert initiator.send(text()) == []


@pytest.mark.parametrize(
    "pdu",
    [
        ScsiCommand(initiator_task_tag=4, cmd_sn=100, exp_stat_sn=0, cdb=bytes(16)),
        TaskManagementRequest(function=1, initiator_task_tag=4, cmd_sn=100, exp_stat_sn=0),
    ],
    ids=lambda pdu: str(pdu.OPCODE.name),
)
def test_commands_of_a_normal_session_are_rejected(pdu: Pdu) -> None:
    """Spec: RFC 7143 §4.3."""
    initiator = Peer()
    rejected = initiator.reject(pdu)
    assert rejected.reason == RejectReason.COMMAND_NOT_SUPPORTED
    assert rejected.rejected_header == pdu.encode()
    assert not initiator.core.done


def test_data_that_nobody_asked_for_is_rejected() -> None:
    data_out = DataOut(
        final=True,
        initiator_task_tag=4,
        exp_stat_sn=0,
        data_sn=0,
        buffer_offset_bytes=0,
        data=b"data",
    )
    assert Peer().reject(data_out).reason == RejectReason.PROTOCOL_ERROR


def test_unknown_opcode_is_rejected_and_the_session_goes_on() -> None:
    header = bytearray(text().encode())
    header[0] = 0x1F
    initiator = Peer()
    initiator.core.receive_data(bytes(header) + b"SendTargets=All\0")
    (response,) = initiator.received()
    assert isinstance(response, Reject)
    assert response.reason == RejectReason.COMMAND_NOT_SUPPORTED
    assert initiator.text().final


@pytest.mark.parametrize("cmd_sn", [99, 101, 100 + COMMAND_WINDOW])
def test_command_out_of_turn_is_ignored(cmd_sn: int) -> None:
    """Spec: RFC 7143 §4.2.2.1."""
    initiator = Peer()
    assert initiator.send(text(cmd_sn=cmd_sn)) == []
    assert initiator.text().final


def test_immediate_command_does_not_use_up_a_number() -> None:
    initiator = Peer()
    assert initiator.text(immediate=True).exp_cmd_sn == 100
    assert initiator.text().exp_cmd_sn == 101


def test_numbers_wrap() -> None:
    initiator = Peer(exp_cmd_sn=0xFFFF_FFFF, stat_sn=0xFFFF_FFFF)
    first = initiator.text(cmd_sn=0xFFFF_FFFF)
    assert (first.stat_sn, first.exp_cmd_sn, first.max_cmd_sn) == (0xFFFF_FFFF, 0, 7)
    assert initiator.text(cmd_sn=0).stat_sn == 0


@pytest.mark.parametrize(("header", "data"), [(True, False), (False, True), (True, True)])
def test_digests(header: bool, data: bool) -> None:
    initiator = Peer(header_digest=header, data_digest=data)
    assert parse_pairs(initiator.text().data)[0] == ("TargetName", TARGET)


def test_wrong_data_digest_is_rejected_and_the_session_goes_on() -> None:
    initiator = Peer(data_digest=True)
    damaged = bytearray(frame(text(), data_digest=True))
    damaged[50] ^= 1
    initiator.core.receive_data(bytes(damaged))
    (response,) = initiator.received()
    assert isinstance(response, Reject)
    assert response.reason == RejectReason.DATA_DIGEST_ERROR
    assert initiator.text().final


def test_wrong_header_digest_ends_the_session_without_an_answer() -> None:
    initiator = Peer(header_digest=True)
    damaged = bytearray(frame(text(), header_digest=True))
    damaged[20] ^= 1
    initiator.core.receive_data(bytes(damaged))
    assert initiator.core.data_to_send() == b""
    assert initiator.core.done
    assert "header digest" in (initiator.core.reason or "")


def test_segment_too_long_ends_the_session() -> None:
    initiator = Peer(max_recv_data_segment_bytes=8192)
    header = bytearray(text(b"x" * 8193).encode())
    initiator.core.receive_data(bytes(header))
    (response,) = initiator.received()
    assert isinstance(response, Reject)
    assert initiator.core.done
    assert "8193 bytes, limit 8192" in (initiator.core.reason or "")


def test_end_of_stream() -> None:
    initiator = Peer()
    initiator.core.receive_eof()
    assert initiator.core.reason == "connection closed without logout"


def test_end_of_stream_after_logout_is_no_fault() -> None:
    initiator = Peer()
    initiator.send(logout())
    initiator.core.receive_eof()
    assert initiator.core.reason is None


def test_requests_by_the_thousand_do_not_pile_up_answers() -> None:
    """64 KiB of small requests ask for 64 MiB of answers."""
    initiator = Peer(many_targets(900), peer_max_recv_data_segment_bytes=1 << 20)
    flood = b"".join(frame(text(cmd_sn=100 + number)) for number in range(1000))
    initiator.core.receive_data(flood)
    assert initiator.core.done
    assert len(initiator.core.data_to_send()) < OUTPUT_BYTES_MAX + 70_000
    assert "limit 1048576" in (initiator.core.reason or "")


PDUS = st.one_of(
    st.builds(
        text,
        st.sampled_from([b"SendTargets=All\0", b"", b"junk", b"A=1\0", b"SendTargets=\0"]),
        final=st.booleans(),
        continue_=st.booleans(),
        target_transfer_tag=st.sampled_from([RESERVED_TAG, 1, 2]),
        cmd_sn=st.integers(99, 103),
        immediate=st.booleans(),
    ),
    st.builds(logout, reason=st.integers(0, 3), cid=st.integers(6, 8)),
    st.builds(NopOut, initiator_task_tag=st.integers(0, 3), cmd_sn=st.just(100),
              exp_stat_sn=st.just(0), data=st.binary(max_size=20)),
)  # fmt: skip


@given(st.lists(PDUS, max_size=8), st.data())
@settings(max_examples=300)
def test_whatever_arrives_is_answered_in_pdus(pdus: list[Pdu], data: st.DataObject) -> None:
    stream = bytearray(b"".join(frame(pdu) for pdu in pdus))
    for _ in range(data.draw(st.integers(0, 3)) if stream else 0):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    initiator = Peer(many_targets(60))
    initiator.core.receive_data(bytes(stream))
    answers = initiator.received()
    assert len(answers) <= len(stream) // 48
    numbers = []
    for pdu in answers:
        assert isinstance(pdu, TextResponse | NopIn | LogoutResponse | Reject)
        numbers.append(pdu.stat_sn)
    assert numbers == list(range(5, 5 + len(answers)))
