"""The synchronous client over a loopback socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from fairlead.proto.iscsi.pdu import LogoutRequest, NopIn, NopOut, ScsiCommand
from fairlead.testing import cdb
from fairlead.testing.client import Client, connect
from fairlead.testing.connection import make_offer
from fairlead.testing.initiator import State
from fairlead.testing.outcome import ConnectionClosed, TaskAborted
from tests.support.core_server import Mute, serving
from tests.support.ram_target import OUT_OF_RANGE, RamTarget
from tests.support.scripted_target import INITIATOR, TARGET

SHORT_S = 0.05  # for what is not going to happen


def log_in(portal: str, **keys: Any) -> Client:
    return connect(portal, TARGET, INITIATOR, timeout_s=10, **keys)


def test_write_and_read_back() -> None:
    data = bytes(range(256)) * 64
    with serving(RamTarget()) as portal, log_in(portal, MaxBurstLength="4096") as client:
        assert client.test_unit_ready().is_good
        assert client.write_10(3, data).is_good
        assert client.read_10(3, 32).data == data


def test_check_condition_is_a_result() -> None:
    with serving(RamTarget(blocks=8)) as portal, log_in(portal) as client:
        result = client.read_10(8, 1)
        assert (result.status, result.sense) == (2, OUT_OF_RANGE)
        assert (result.underflow, result.residual_bytes) == (True, 512)


def test_many_outstanding() -> None:
    with serving(RamTarget()) as portal, log_in(portal) as client:
        writes = [
            client.submit(0, cdb.rw_10(0x2A, lba, 1), bytes((lba,)) * 512) for lba in range(64)
        ]
        assert all(client.wait(tag).is_good for tag in reversed(writes))
        reads = [client.submit(0, cdb.rw_10(0x28, lba, 1), b"", 512) for lba in range(64)]
        assert [client.wait(tag).data for tag in reads] == [
            bytes((lba,)) * 512 for lba in range(64)
        ]


def test_other_requests() -> None:
    with serving(RamTarget()) as portal, log_in(portal) as client:
        assert client.ping(b"abc").data == b"abc"
        assert client.text(X="1") == {"X": "NotUnderstood"}
        assert client.send_targets() == [("SendTargets", "NotUnderstood")]
        assert client.logout().response == 0
        client.wait_closed()
        assert client.initiator.state is State.CLOSED


def test_a_byte_at_a_time() -> None:
    target = RamTarget()
    with serving(target) as portal, log_in(portal) as client:
        client.send_chunk_bytes = 1
        assert client.write_10(0, b"x" * 512).is_good
        assert target.disk[:512] == b"x" * 512


def test_more_than_the_socket_buffers_hold_in_both_directions() -> None:
    """Neither side may wait for the other to read first."""
    blocks = 16384
    target = RamTarget(blocks=blocks, max_recv_data_segment_bytes=65536)
    with serving(target) as portal, log_in(portal, FirstBurstLength="262144") as client:
        half = blocks // 2
        data = bytes(range(256)) * half * 2
        read = client.submit(0, cdb.rw_10(0x28, 0, half), b"", half * 512)
        write = client.submit(0, cdb.rw_10(0x2A, half, half), data)
        assert client.wait(write).is_good
        assert client.wait(read).data == bytes(half * 512)
        assert target.disk[half * 512 :] == data


def test_a_client_that_stops_reading() -> None:
    with serving(RamTarget()) as portal, log_in(portal) as client:
        client.reading = False
        tag = client.submit(0, bytes(6))
        with pytest.raises(TimeoutError, match="nothing will be read"):
            client.wait(tag)
        client.reading = True
        assert client.wait(tag).is_good


def test_held_data_out() -> None:
    target = RamTarget()
    with serving(target) as portal, log_in(portal, ImmediateData="No") as client:
        client.initiator.hold_data_out = True
        tag = client.submit(0, cdb.rw_10(0x2A, 0, 1), b"x" * 512)
        client.timeout_s = SHORT_S
        with pytest.raises(TimeoutError, match=f"no answer within {SHORT_S} s"):
            client.wait(tag)
        assert target.disk[:512] == bytes(512)
        client.timeout_s = 10
        client.initiator.hold_data_out = False
        assert client.wait(tag).is_good


def test_any_pdu_and_its_notice() -> None:
    with serving(RamTarget()) as portal, log_in(portal) as client:
        client.send(NopOut(initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1, data=b"raw"))
        notice = client.wait_notice()
        assert isinstance(notice, NopIn)
        assert (notice.data, client.notices) == (b"raw", [])


def test_any_bytes() -> None:
    target = RamTarget()
    with serving(target) as portal, log_in(portal) as client:
        command = ScsiCommand(
            initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1, cdb=bytes(6), immediate=True
        )
        client.initiator.send(command)
        client.send_bytes(client.initiator.frame(command))
        client.wait_notice()
        client.wait_notice()
        assert [seen.initiator_task_tag for seen in target.commands] == [0x500, 0x500]


def test_connection_that_ends_ends_the_requests() -> None:
    with serving(RamTarget()) as portal, log_in(portal) as client:
        client.send(LogoutRequest(reason=0, initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1))
        client.wait_closed()
        tag = client.initiator.sequence.next_cmd_sn
        assert tag == 1
        assert client.initiator.outstanding == 0


def test_wait_after_the_end() -> None:
    with serving(RamTarget()) as portal, log_in(portal, ImmediateData="No") as client:
        client.initiator.hold_data_out = True
        tag = client.submit(0, cdb.rw_10(0x2A, 0, 1), b"x" * 512)
        client.send(LogoutRequest(reason=0, initiator_task_tag=0x500, cmd_sn=2, exp_stat_sn=1))
        with pytest.raises(ConnectionClosed, match="the target closed the connection"):
            client.wait(tag)


def test_abort_task() -> None:
    with serving(RamTarget()) as portal, log_in(portal, ImmediateData="No") as client:
        client.initiator.hold_data_out = True
        tag = client.submit(0, cdb.rw_10(0x2A, 0, 1), b"x" * 512)
        assert client.manage(1, referenced_task_tag=0x999) == 1
        assert client.manage(1, referenced_task_tag=tag) == 0
        with pytest.raises(TaskAborted, match="ABORT_TASK"):
            client.wait(tag)


def test_request_on_a_connection_that_ends() -> None:
    with serving(RamTarget()) as portal, log_in(portal) as client:
        client.send(LogoutRequest(reason=0, initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1))
        with pytest.raises(ConnectionClosed):
            client.ping()


def test_sending_to_a_connection_that_was_reset() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    client = Client(ours, make_offer(TARGET, INITIATOR, None, {}), timeout_s=10)
    theirs.close()
    client.flush()  # meets a broken pipe
    with client, pytest.raises(ConnectionResetError, match="login"):
        client.log_in()


def test_target_that_hangs_up_during_login() -> None:
    with serving(Mute(closes=True)) as portal, pytest.raises(ConnectionResetError, match="login"):
        log_in(portal)


def test_target_that_does_not_answer() -> None:
    with serving(Mute()) as portal, pytest.raises(TimeoutError, match="no answer within"):
        connect(portal, TARGET, INITIATOR, timeout_s=SHORT_S)


def test_discovery_session() -> None:
    with (
        serving(RamTarget()) as portal,
        connect(portal, None, INITIATOR, timeout_s=10) as client,
    ):
        assert client.initiator.state is State.FULL_FEATURE
