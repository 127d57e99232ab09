"""The session core: command window, data on demand, digests, and the knobs for misbehaviour."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    DataOut,
    NopIn,
    NopOut,
    R2t,
    Reject,
    ScsiCommand,
    ScsiResponse,
    SnackRequest,
)
from fairlead.testing import cdb
from fairlead.testing.initiator import Initiator, State
from fairlead.testing.outcome import (
    Completed,
    ConnectionClosed,
    Notice,
    Result,
    TargetViolation,
)
from fairlead.testing.task import TaskRequest
from tests.support.ram_target import RamTarget
from tests.support.scripted_target import logged_in, offer

if TYPE_CHECKING:
    from collections.abc import Iterator

LUN = bytes(8)
NOTHING = TaskRequest(lun_field=LUN, cdb=bytes(6))
WRITE = TaskRequest(lun_field=LUN, cdb=bytes(16), data_out=bytes(range(20)))


def test_commands_wait_for_the_window() -> None:
    """Spec: RFC 7143 §4.2.2.1."""
    initiator, target = logged_in(window=2)
    tags = [initiator.execute(NOTHING) for _ in range(4)]
    first = target.heard()
    assert [pdu.initiator_task_tag for pdu in first] == tags[:2]
    assert target.heard() == []
    target.says(ScsiResponse, initiator_task_tag=tags[0])
    assert [pdu.initiator_task_tag for pdu in target.heard()] == tags[2:]
    assert initiator.sequence.next_cmd_sn == 5


def test_immediate_requests_pass_a_closed_window() -> None:
    initiator, target = logged_in(window=1)
    initiator.execute(NOTHING)
    initiator.execute(NOTHING)
    tag = initiator.ping()
    _, ping = target.heard()
    assert isinstance(ping, NopOut)
    assert (ping.initiator_task_tag, ping.cmd_sn) == (tag, 2)


def test_immediate_command_uses_no_cmd_sn_up() -> None:
    initiator, target = logged_in()
    initiator.execute(TaskRequest(lun_field=LUN, cdb=bytes(6), immediate=True))
    initiator.execute(NOTHING)
    sent = target.heard()
    assert [getattr(pdu, "cmd_sn", None) for pdu in sent] == [1, 1]


def test_exp_stat_sn_follows_the_target() -> None:
    initiator, target = logged_in()
    tag = initiator.execute(NOTHING)
    assert target.hears(ScsiCommand).exp_stat_sn == 102
    target.says(ScsiResponse, initiator_task_tag=tag)
    initiator.execute(NOTHING)
    assert target.hears(ScsiCommand).exp_stat_sn == 103


def test_end_of_stream_ends_every_request() -> None:
    initiator, target = logged_in(window=1)
    tags = [initiator.execute(NOTHING), initiator.execute(NOTHING), initiator.ping()]
    target.heard()
    initiator.receive_eof()
    ended = list(iter(initiator.next_event, None))
    assert {event.task_tag for event in ended if isinstance(event, Completed)} == set(tags)
    assert all(
        isinstance(event.outcome, ConnectionClosed)
        for event in ended
        if isinstance(event, Completed)
    )
    assert (initiator.state, initiator.outstanding) == (State.CLOSED, 0)


def test_requests_need_the_full_feature_phase() -> None:
    with pytest.raises(AssertionError, match="before the end of the login"):
        Initiator(offer()).ping()
    initiator, _ = logged_in()
    initiator.receive_eof()
    with pytest.raises(ConnectionClosed, match="session that is CLOSED"):
        initiator.execute(NOTHING)


def test_task_tags_go_round_and_spare_those_in_use() -> None:
    initiator, target = logged_in()
    first = initiator.execute(NOTHING)
    initiator._next_tag = RESERVED_TAG - 1
    assert [initiator.execute(NOTHING) for _ in range(2)] == [RESERVED_TAG - 1, first + 1]
    assert len(target.heard()) == 3


# Data on demand.


def test_held_data_out() -> None:
    initiator, target = logged_in(
        InitialR2T="No", ImmediateData="No", FirstBurstLength="512", MaxBurstLength="512"
    )
    initiator.hold_data_out = True
    initiator.execute(WRITE)
    assert not target.hears(ScsiCommand).final
    assert target.heard() == []
    assert initiator.release_data_out(0) == 0
    assert initiator.release_data_out(1) == 1
    data = target.hears(DataOut)
    assert (data.data, data.final, data.target_transfer_tag) == (
        bytes(range(20)),
        True,
        RESERVED_TAG,
    )


def test_r2t_is_answered() -> None:
    initiator, target = logged_in(ImmediateData="No")
    tag = initiator.execute(WRITE)
    target.heard()
    target.says(
        R2t, initiator_task_tag=tag, target_transfer_tag=5, r2t_sn=0, buffer_offset_bytes=0,
        desired_bytes=20,
    )  # fmt: skip
    assert target.hears(DataOut).target_transfer_tag == 5


def test_second_r2t_in_one_read_is_a_second_outstanding_one() -> None:
    """Two R2Ts sent back to back cannot both have been answered."""
    initiator, target = logged_in(ImmediateData="No")
    tag = initiator.execute(WRITE)
    target.heard()
    both = b"".join(
        target.encode(
            R2t, initiator_task_tag=tag, target_transfer_tag=sn, r2t_sn=sn,
            buffer_offset_bytes=10 * sn, desired_bytes=10,
        )
        for sn in range(2)
    )  # fmt: skip
    with pytest.raises(TargetViolation, match="more than 1 R2Ts outstanding"):
        initiator.receive_data(both)


# Digests.


@pytest.mark.parametrize("digest", ["HeaderDigest", "DataDigest"])
def test_digest_error_of_the_target(digest: str) -> None:
    offered: dict[str, Any] = {digest: "CRC32C"}
    initiator, target = logged_in(**offered)
    data = bytearray(target.encode(NopIn, data=b"abcd"))
    data[-1] ^= 1
    if digest == "HeaderDigest":
        data[50] ^= 1
    with pytest.raises(TargetViolation, match="digest"):
        initiator.receive_data(bytes(data))


def test_frame_has_the_digests_negotiated() -> None:
    initiator, _ = logged_in(HeaderDigest="CRC32C", DataDigest="CRC32C")
    ping = NopOut(cmd_sn=1, exp_stat_sn=1, data=b"abcd")
    assert len(initiator.frame(ping)) == 48 + 4 + 4 + 4


# Misbehaviour.


def test_any_pdu_may_be_sent_and_its_answer_is_a_notice() -> None:
    initiator, target = logged_in()
    initiator.send(NopOut(initiator_task_tag=0x500, cmd_sn=77, exp_stat_sn=1))
    assert target.hears(NopOut).cmd_sn == 77
    target.says(NopIn, initiator_task_tag=0x500, data=b"whatever")
    event = initiator.next_event()
    assert isinstance(event, Notice)
    assert event.pdu.data == b"whatever"
    assert initiator.sequence.next_cmd_sn == 1


def test_any_pdu_of_another_kind() -> None:
    initiator, target = logged_in()
    snack = SnackRequest(type_=1, exp_stat_sn=1, beg_run=0, run_length=0)
    initiator.send(snack)
    assert target.hears(SnackRequest) == snack
    target.says(Reject, reason=3, data=snack.encode())
    assert isinstance(initiator.next_event(), Notice)


def test_ordered_pdu_with_the_next_cmd_sn_uses_it_up() -> None:
    initiator, target = logged_in()
    initiator.send(ScsiCommand(initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1, cdb=bytes(6)))
    initiator.execute(NOTHING)
    assert [getattr(pdu, "cmd_sn", None) for pdu in target.heard()] == [1, 2]


def test_cmd_sn_out_of_turn() -> None:
    initiator, target = logged_in()
    initiator.execute(TaskRequest(lun_field=LUN, cdb=bytes(6), cmd_sn=0x1234))
    assert target.hears(ScsiCommand).cmd_sn == 0x1234
    assert initiator.sequence.next_cmd_sn == 1


def test_any_bytes() -> None:
    initiator, target = logged_in()
    target.heard()
    initiator.send_bytes(b"garbage")
    assert initiator.data_to_send() == b"garbage"


# Together with a target that keeps the rules.


def drive(initiator: Initiator, target: RamTarget, cuts: Iterator[int]) -> None:
    """Carry bytes to and fro in pieces, until there are none."""
    while True:
        out, back = initiator.data_to_send(), target.data_to_send()
        if not out and not back:
            return
        for data, receive in ((out, target.receive_data), (back, initiator.receive_data)):
            offset = 0
            while offset < len(data):
                end = offset + next(cuts)
                receive(data[offset:end])
                offset = end


YES_NO = st.sampled_from(["Yes", "No"])
LENGTHS = st.integers(512, 5000).map(str)


@given(
    keys=st.fixed_dictionaries(
        {
            "InitialR2T": YES_NO,
            "ImmediateData": YES_NO,
            "MaxBurstLength": LENGTHS,
            "FirstBurstLength": st.just("512"),
            "MaxRecvDataSegmentLength": LENGTHS,
            "MaxOutstandingR2T": st.sampled_from(["1", "3"]),
            "HeaderDigest": st.sampled_from(["None", "CRC32C,None"]),
            "DataDigest": st.sampled_from(["None", "CRC32C"]),
        }
    ),
    declared_bytes=st.integers(512, 9000),
    writes=st.lists(
        st.tuples(st.integers(0, 31), st.integers(1, 16), st.integers(0, 255)), max_size=12
    ),
    cuts=st.lists(st.integers(1, 4000), min_size=1, max_size=8),
    first_cmd_sn=st.sampled_from([1, 0xFFFF_FFFE]),
)
def test_writes_are_read_back(
    keys: dict[str, str],
    declared_bytes: int,
    writes: list[tuple[int, int, int]],
    cuts: list[int],
    first_cmd_sn: int,
) -> None:
    """Whatever is negotiated and however the stream is cut, with many tasks outstanding."""
    target = RamTarget(max_recv_data_segment_bytes=declared_bytes)
    initiator = Initiator(offer(keys=keys, cmd_sn=first_cmd_sn))
    pieces = itertools.cycle(cuts)
    drive(initiator, target, pieces)
    assert initiator.state is State.FULL_FEATURE
    disk = bytearray(len(target.disk))
    for lba, blocks, fill in writes:
        data = bytes((fill,)) * 512 * blocks
        disk[lba * 512 : lba * 512 + len(data)] = data
        request = TaskRequest(lun_field=LUN, cdb=cdb.rw_10(0x2A, lba, blocks), data_out=data)
        initiator.execute(request)
        drive(initiator, target, pieces)
    assert target.disk == disk
    reads = {
        initiator.execute(
            TaskRequest(lun_field=LUN, cdb=cdb.rw_10(0x28, lba, 5), data_in_bytes=2560)
        ): lba
        for lba in range(0, 50, 5)
    }
    drive(initiator, target, pieces)
    for event in iter(initiator.next_event, None):
        assert isinstance(event, Completed)
        assert isinstance(event.outcome, Result)
        assert event.outcome.is_good
        if event.task_tag in reads:
            lba = reads.pop(event.task_tag)
            assert event.outcome.data == disk[lba * 512 : (lba + 5) * 512]
    assert not reads
    assert initiator.outstanding == 0
