"""One SCSI task: what the initiator sends for it, and which answers it accepts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    DataIn,
    DataOut,
    R2t,
    ScsiResponse,
    encode_sense_segment,
)
from fairlead.testing.negotiated import Parameters
from fairlead.testing.outcome import Result, TargetViolation
from fairlead.testing.task import Task, TaskRequest

SENSE = bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00 00 00")
SMALL = Parameters(
    target_max_recv_data_segment_bytes=4,
    max_burst_bytes=10,
    first_burst_bytes=7,
    max_outstanding_r2t=2,
)
DATA = bytes(range(32))


def task(parameters: Parameters = SMALL, **changes: Any) -> Task:
    values: dict[str, Any] = {"lun_field": bytes(8), "cdb": bytes(16)}
    return Task(5, TaskRequest(**values | changes), parameters)


def sent(parameters: Parameters = SMALL, **changes: Any) -> Task:
    begun = task(parameters, **changes)
    begun.command(cmd_sn=1, exp_stat_sn=0)
    return begun


def r2t(**changes: Any) -> R2t:
    values: dict[str, Any] = {
        "initiator_task_tag": 5,
        "target_transfer_tag": 9,
        "stat_sn": 0,
        "exp_cmd_sn": 0,
        "max_cmd_sn": 0,
        "r2t_sn": 0,
        "buffer_offset_bytes": 4,
        "desired_bytes": 10,
    }
    return R2t(**values | changes)


def data_in(data: bytes, offset: int = 0, sn: int = 0, **changes: Any) -> DataIn:
    values: dict[str, Any] = {
        "final": False,
        "initiator_task_tag": 5,
        "exp_cmd_sn": 0,
        "max_cmd_sn": 0,
        "data_sn": sn,
        "buffer_offset_bytes": offset,
        "data": data,
    }
    return DataIn(**values | changes)


def response(**changes: Any) -> ScsiResponse:
    values: dict[str, Any] = {
        "initiator_task_tag": 5,
        "stat_sn": 0,
        "exp_cmd_sn": 0,
        "max_cmd_sn": 0,
    }
    return ScsiResponse(**values | changes)


@pytest.mark.parametrize(
    ("immediate_data", "initial_r2t", "immediate_bytes", "unsolicited"),
    [
        (True, True, 4, []),
        (True, False, 4, [(4, 3)]),
        (False, True, 0, []),
        (False, False, 0, [(0, 4), (4, 3)]),
    ],
)
def test_first_burst(
    *,
    immediate_data: bool,
    initial_r2t: bool,
    immediate_bytes: int,
    unsolicited: list[tuple[int, int]],
) -> None:
    """Spec: RFC 7143 §13.10, §13.11, §13.14."""
    parameters = replace(SMALL, immediate_data=immediate_data, initial_r2t=initial_r2t)
    begun = task(parameters, data_out=DATA)
    command = begun.command(cmd_sn=1, exp_stat_sn=2)
    assert command.data == DATA[:immediate_bytes]
    assert command.expected_data_bytes == 32
    assert (command.write, command.read) == (True, False)
    assert command.final is not bool(unsolicited)
    pdus = begun.unsolicited_data(exp_stat_sn=2)
    assert [(pdu.buffer_offset_bytes, len(pdu.data)) for pdu in pdus] == unsolicited
    assert [pdu.data_sn for pdu in pdus] == list(range(len(pdus)))
    assert [pdu.final for pdu in pdus] == [False] * (len(pdus) - 1) + [True] * bool(pdus)
    assert {pdu.target_transfer_tag for pdu in pdus} <= {RESERVED_TAG}


def test_first_burst_may_be_left_out() -> None:
    parameters = replace(SMALL, initial_r2t=False)
    begun = task(
        parameters, data_out=DATA, sends_immediate_data=False, sends_unsolicited_data=False
    )
    command = begun.command(cmd_sn=1, exp_stat_sn=2)
    assert (command.data, command.final) == (b"", True)


def test_bidirectional_command() -> None:
    command = task(data_out=DATA, data_in_bytes=8).command(cmd_sn=1, exp_stat_sn=2)
    assert (command.read, command.write) == (True, True)
    assert (command.expected_data_bytes, command.bidirectional_read_bytes) == (32, 8)


def test_answer_to_an_r2t() -> None:
    begun = sent(data_out=DATA, lun_field=b"12345678")
    begun.receive_r2t(r2t())
    pdus = begun.answer_r2t(r2t(), exp_stat_sn=7)
    assert pdus == [
        DataOut(
            final=offset == 12,
            lun_field=b"12345678",
            initiator_task_tag=5,
            target_transfer_tag=9,
            exp_stat_sn=7,
            data_sn=data_sn,
            buffer_offset_bytes=offset,
            data=DATA[offset : min(offset + 4, 14)],
        )
        for data_sn, offset in enumerate((4, 8, 12))
    ]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"r2t_sn": 1}, "R2TSN 1, expected 0"),
        ({"target_transfer_tag": RESERVED_TAG}, "reserved transfer tag"),
        ({"desired_bytes": 0}, "R2T for 0 bytes, range 1 to 10"),
        ({"desired_bytes": 11}, "R2T for 11 bytes, range 1 to 10"),
        ({"buffer_offset_bytes": 8}, "R2T at 8, expected 4"),
        ({"data": b"x"}, "R2T with a data segment"),
    ],
    ids=str,
)
def test_r2t_rules(changes: dict[str, Any], rule: str) -> None:
    """Spec: RFC 7143 §11.8."""
    with pytest.raises(TargetViolation, match=rule):
        sent(data_out=DATA).receive_r2t(r2t(**changes))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"target_transfer_tag": 9}, "transfer tag 0x9, which is in use"),
        ({"r2t_sn": 0}, "R2TSN 0, expected 1"),
        ({"buffer_offset_bytes": 4}, "R2T at 4, expected 14"),
    ],
    ids=str,
)
def test_second_r2t_rules(changes: dict[str, Any], rule: str) -> None:
    begun = sent(data_out=DATA)
    begun.receive_r2t(r2t())
    second = {"r2t_sn": 1, "buffer_offset_bytes": 14, "target_transfer_tag": 10}
    with pytest.raises(TargetViolation, match=rule):
        begun.receive_r2t(r2t(**second | changes))


def test_r2t_beyond_the_data() -> None:
    with pytest.raises(TargetViolation, match="R2T up to byte 14 of 13"):
        sent(data_out=DATA[:13]).receive_r2t(r2t())


def test_too_many_r2ts_outstanding() -> None:
    """Spec: RFC 7143 §13.17."""
    begun = sent(data_out=DATA)
    for sn in range(2):
        begun.receive_r2t(
            r2t(r2t_sn=sn, buffer_offset_bytes=4 + sn, desired_bytes=1, target_transfer_tag=sn)
        )
    with pytest.raises(TargetViolation, match="more than 2 R2Ts outstanding"):
        begun.receive_r2t(
            r2t(r2t_sn=2, buffer_offset_bytes=6, desired_bytes=1, target_transfer_tag=2)
        )


def test_r2t_before_the_command() -> None:
    with pytest.raises(TargetViolation, match="R2T before the command was sent"):
        task(data_out=DATA).receive_r2t(r2t())


def test_data_in_is_joined() -> None:
    begun = sent(data_in_bytes=14)
    assert begun.receive_data_in(data_in(b"01234567")) is None
    assert begun.receive_data_in(data_in(b"89", 8, 1, final=True)) is None
    result = begun.receive_data_in(data_in(b"abcd", 10, 2, final=True, has_status=True))
    assert result == Result(status=0, data=b"0123456789abcd")


def test_data_in_then_response() -> None:
    begun = sent(data_in_bytes=14)
    begun.receive_data_in(data_in(b"0123", final=True))
    result = begun.receive_response(response(exp_data_sn=1, underflow=True, residual_bytes=10))
    assert (result.data, result.underflow, result.residual_bytes) == (b"0123", True, 10)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"data_sn": 1}, "DataSN 1, expected 0"),
        ({"buffer_offset_bytes": 4}, "Data-In at 4, expected 0"),
        ({"data": bytes(15)}, "Data-In up to byte 15 of 14"),
        ({"data": bytes(11)}, "Data-In sequence of 11 bytes, limit 10"),
        ({"acknowledge": True}, "A bit at ErrorRecoveryLevel 0"),
        ({"has_status": True}, "with status but without the F bit"),
        ({"has_status": True, "final": True, "status": 2}, "CHECK CONDITION in a Data-In"),
        ({"has_status": True, "final": True}, "GOOD after sending 4 of 14 bytes"),
        (
            {"has_status": True, "final": True, "underflow": True, "residual_bytes": 9},
            "GOOD after sending 4 of 5 bytes",
        ),
    ],
    ids=str,
)
def test_data_in_rules(changes: dict[str, Any], rule: str) -> None:
    """Spec: RFC 7143 §11.7, §13.13."""
    with pytest.raises(TargetViolation, match=rule):
        sent(data_in_bytes=14).receive_data_in(replace(data_in(b"0123"), **changes))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"exp_data_sn": 1}, "ExpDataSN 1, expected 0"),
        ({"data": b"\0\x05123"}, "SenseLength 5 in a data segment of 5 bytes"),
        ({"status": 2}, "CHECK CONDITION without sense data"),
        ({"overflow": True, "underflow": True, "residual_bytes": 1}, "both the O and the U bit"),
        ({"residual_bytes": 1}, "residual count 1, O False, U False"),
        ({"underflow": True}, "residual count 0, O False, U True"),
        ({"underflow": True, "residual_bytes": 15}, "underflow of 15 of 14 bytes"),
        ({}, "GOOD after sending 0 of 14 bytes"),
    ],
    ids=str,
)
def test_response_rules(changes: dict[str, Any], rule: str) -> None:
    """Spec: RFC 7143 §11.4."""
    with pytest.raises(TargetViolation, match=rule):
        sent(data_in_bytes=14).receive_response(response(**changes))


def test_response_inside_a_data_in_sequence() -> None:
    begun = sent(data_in_bytes=14)
    begun.receive_data_in(data_in(b"0123"))
    with pytest.raises(TargetViolation, match="inside a Data-In sequence"):
        begun.receive_response(response(exp_data_sn=1, underflow=True, residual_bytes=10))


def test_check_condition_needs_no_data() -> None:
    result = sent(data_in_bytes=14).receive_response(
        response(status=2, data=encode_sense_segment(SENSE))
    )
    assert (result.status, result.sense, result.sense_code) == (2, SENSE, (5, 0x21, 0))


def test_target_failure_is_reported() -> None:
    result = sent(data_in_bytes=14).receive_response(response(response=1, exp_data_sn=99))
    assert (result.response, result.is_good) == (1, False)


def test_write_without_all_of_its_data() -> None:
    with pytest.raises(TargetViolation, match="GOOD after taking 4 of 32 bytes"):
        sent(data_out=DATA).receive_response(response())


def test_write_that_takes_less_than_expected() -> None:
    begun = sent(data_out=DATA)
    result = begun.receive_response(response(underflow=True, residual_bytes=28))
    assert result.is_good


def test_good_while_an_r2t_is_unanswered() -> None:
    begun = sent(data_out=DATA[:14])
    begun.receive_r2t(r2t())
    with pytest.raises(TargetViolation, match="GOOD while an R2T is unanswered"):
        begun.receive_response(response())


def test_r2ts_do_not_count_as_data_in() -> None:
    """Spec: RFC 7143 §11.4.8."""
    begun = sent(data_out=DATA[:14])
    begun.receive_r2t(r2t())
    begun.answer_r2t(r2t(), exp_stat_sn=0)
    assert begun.receive_response(response(exp_data_sn=0)).is_good
