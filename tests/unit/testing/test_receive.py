"""Full-feature phase: each PDU a target may send, and those it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    AsyncMessage,
    DataIn,
    DataOut,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    R2t,
    Reject,
    ScsiCommand,
    ScsiResponse,
    TaskManagementFunction,
    TaskManagementRequest,
    TaskManagementResponse,
    TextRequest,
    TextResponse,
    frame,
)
from fairlead.testing.initiator import Initiator, State
from fairlead.testing.outcome import (
    Completed,
    ConnectionClosed,
    Notice,
    Result,
    TargetViolation,
    TaskAborted,
    TaskRejected,
    TextResult,
)
from fairlead.testing.task import TaskRequest
from tests.support.scripted_target import ScriptedTarget, logged_in

if TYPE_CHECKING:
    from collections.abc import Callable

READ = TaskRequest(lun_field=bytes(8), cdb=bytes(16), data_in_bytes=4)
WRITE = TaskRequest(
    lun_field=bytes(8), cdb=bytes(16), data_out=bytes(4), sends_immediate_data=False
)
OTHER_LUN = TaskRequest(lun_field=bytes.fromhex("0001 0000 0000 0000"), cdb=bytes(16))


def events(initiator: Initiator) -> list[Any]:
    return list(iter(initiator.next_event, None))


def outcome(initiator: Initiator, tag: int) -> Any:
    (event,) = events(initiator)
    assert isinstance(event, Completed)
    assert event.task_tag == tag
    return event.outcome


def test_ping() -> None:
    initiator, target = logged_in()
    tag = initiator.ping(b"abc")
    sent = target.hears(NopOut)
    assert (sent.data, sent.immediate, sent.cmd_sn, sent.exp_stat_sn) == (b"abc", True, 1, 102)
    target.says(NopIn, initiator_task_tag=tag, data=b"abc")
    assert outcome(initiator, tag).data == b"abc"


@pytest.mark.parametrize("values", [{"data": b"abd"}, {"target_transfer_tag": 5}], ids=str)
def test_wrong_answer_to_a_ping(values: dict[str, Any]) -> None:
    initiator, target = logged_in()
    tag = initiator.ping(b"abc")
    target.heard()
    with pytest.raises(TargetViolation, match="in answer to a ping of 3 bytes"):
        target.says(NopIn, **{"initiator_task_tag": tag, "data": b"abc"} | values)


def test_targets_ping_is_answered() -> None:
    """Spec: RFC 7143 §11.18.2."""
    initiator, target = logged_in()
    target.says(NopIn, target_transfer_tag=7, lun_field=b"12345678")
    assert target.hears(NopOut) == NopOut(
        immediate=True,
        lun_field=b"12345678",
        initiator_task_tag=RESERVED_TAG,
        target_transfer_tag=7,
        cmd_sn=1,
        exp_stat_sn=102,
    )
    assert [type(event.pdu) for event in events(initiator)] == [NopIn]


def test_targets_ping_is_left_alone_on_request() -> None:
    initiator, target = logged_in()
    initiator.answers_pings = False
    assert not initiator.answers_pings
    target.says(NopIn, target_transfer_tag=7)
    assert target.heard() == []


def test_targets_news_need_no_answer() -> None:
    _, target = logged_in()
    target.says(NopIn)
    assert target.heard() == []


def test_targets_ping_uses_no_stat_sn_up() -> None:
    """Spec: RFC 7143 §11.19.2."""
    _, target = logged_in()
    target.says(NopIn)
    target.says(NopIn)
    with pytest.raises(TargetViolation, match="StatSN 103 shown, expected 102"):
        target.says(NopIn, stat_sn=103)


def test_text() -> None:
    initiator, target = logged_in()
    tag = initiator.text({"SendTargets": "All"})
    assert target.hears(TextRequest).data == b"SendTargets=All\0"
    target.says(
        TextResponse, final=False, continue_=True, target_transfer_tag=9, initiator_task_tag=tag,
        lun_field=b"12345678", data=b"TargetName=iqn",
    )  # fmt: skip
    more = target.hears(TextRequest)
    assert (more.target_transfer_tag, more.lun_field, more.data) == (9, b"12345678", b"")
    target.says(TextResponse, final=True, initiator_task_tag=tag, data=b".x\0")
    assert outcome(initiator, tag) == TextResult(b"TargetName=iqn.x\0")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"final": True, "target_transfer_tag": 5}, "F True and transfer tag 0x5"),
        ({"final": False}, "F False and transfer tag 0xffffffff"),
        ({"final": True, "continue_": True}, "both the F and the C bit"),
    ],
    ids=str,
)
def test_text_rules(values: dict[str, Any], rule: str) -> None:
    """Spec: RFC 7143 §11.11."""
    initiator, target = logged_in()
    tag = initiator.text({})
    target.heard()
    with pytest.raises(TargetViolation, match=rule):
        target.says(TextResponse, initiator_task_tag=tag, **values)


def test_text_without_end() -> None:
    initiator, target = logged_in()
    tag = initiator.text({})

    def go_on() -> None:
        while True:
            target.heard()
            target.says(
                TextResponse, final=False, target_transfer_tag=1, initiator_task_tag=tag,
                data=bytes(200_000),
            )  # fmt: skip

    with pytest.raises(TargetViolation, match="text of more than 1048576 bytes"):
        go_on()


def test_abort_task() -> None:
    initiator, target = logged_in()
    victim, other = initiator.execute(READ), initiator.execute(READ)
    tag = initiator.manage(TaskManagementFunction.ABORT_TASK, referenced_task_tag=other)
    sent = target.heard()[-1]
    assert isinstance(sent, TaskManagementRequest)
    assert (sent.referenced_task_tag, sent.ref_cmd_sn, sent.cmd_sn) == (other, 2, 3)
    target.says(TaskManagementResponse, response=0, initiator_task_tag=tag)
    aborted, done = events(initiator)
    assert aborted.task_tag == other
    assert isinstance(aborted.outcome, TaskAborted)
    assert done.outcome.response == 0
    target.says(ScsiResponse, initiator_task_tag=victim, underflow=True, residual_bytes=4)
    with pytest.raises(TargetViolation, match="ScsiResponse for task 0x2, which is not outst"):
        target.says(ScsiResponse, initiator_task_tag=other)


@pytest.mark.parametrize(
    ("function", "ended"),
    [
        (TaskManagementFunction.ABORT_TASK_SET, {1, 2}),
        (TaskManagementFunction.CLEAR_TASK_SET, {1, 2}),
        (TaskManagementFunction.LOGICAL_UNIT_RESET, {1, 2}),
        (TaskManagementFunction.TARGET_WARM_RESET, {1, 2, 3}),
        (TaskManagementFunction.CLEAR_ACA, set()),
    ],
)
def test_functions_end_what_came_before_them(function: int, ended: set[int]) -> None:
    """Spec: RFC 7143 §11.5.1."""
    initiator, target = logged_in()
    for request in (READ, READ, OTHER_LUN):
        initiator.execute(request)
    tag = initiator.manage(function)
    initiator.execute(READ)  # after the function: not its business
    target.heard()
    target.says(TaskManagementResponse, response=0, initiator_task_tag=tag)
    happened = events(initiator)
    assert {event.task_tag for event in happened[:-1]} == ended
    assert happened[-1].task_tag == tag
    assert initiator.outstanding == 4 - len(ended)


def test_function_that_was_not_carried_out_ends_nothing() -> None:
    initiator, target = logged_in()
    initiator.execute(READ)
    tag = initiator.manage(TaskManagementFunction.LOGICAL_UNIT_RESET)
    target.heard()
    target.says(TaskManagementResponse, response=5, initiator_task_tag=tag)
    assert outcome(initiator, tag).response == 5
    assert initiator.outstanding == 1


def test_abort_drops_data_that_was_due() -> None:
    initiator, target = logged_in()
    initiator.hold_data_out = True
    victim = initiator.execute(WRITE)
    target.heard()
    target.says(
        R2t, initiator_task_tag=victim, target_transfer_tag=1, r2t_sn=0, buffer_offset_bytes=0,
        desired_bytes=4,
    )  # fmt: skip
    tag = initiator.manage(TaskManagementFunction.ABORT_TASK, referenced_task_tag=victim)
    target.heard()
    target.says(TaskManagementResponse, response=0, initiator_task_tag=tag)
    initiator.hold_data_out = False
    assert target.heard() == []


def test_logout() -> None:
    initiator, target = logged_in()
    pending = initiator.execute(READ)
    tag = initiator.logout()
    assert isinstance(target.heard()[-1], LogoutRequest)
    target.says(LogoutResponse, response=0, initiator_task_tag=tag)
    done, closed = events(initiator)
    assert (done.task_tag, done.outcome.response) == (tag, 0)
    assert closed.task_tag == pending
    assert isinstance(closed.outcome, ConnectionClosed)
    assert initiator.state is State.LOGGED_OUT
    with pytest.raises(TargetViolation, match="NopIn after the Logout Response"):
        target.says(NopIn)


def test_logout_that_fails() -> None:
    initiator, target = logged_in()
    tag = initiator.logout(2)
    target.heard()
    target.says(LogoutResponse, response=2, initiator_task_tag=tag)
    assert outcome(initiator, tag).response == 2
    assert initiator.state is State.FULL_FEATURE


def test_reject_ends_the_request() -> None:
    initiator, target = logged_in()
    tag = initiator.execute(READ)
    command = target.hears(ScsiCommand)
    target.says(Reject, reason=9, data=command.encode())
    notice, done = events(initiator)
    assert isinstance(notice, Notice)
    assert done.task_tag == tag
    assert isinstance(done.outcome, TaskRejected)
    assert done.outcome.reject.reason == 9


def test_rejected_data_out_leaves_the_command_to_be_answered() -> None:
    initiator, target = logged_in()
    tag = initiator.execute(WRITE)
    target.heard()
    data = DataOut(
        final=True, initiator_task_tag=tag, exp_stat_sn=0, data_sn=0, buffer_offset_bytes=0
    )
    target.says(Reject, reason=2, data=data.encode())
    assert [type(event) for event in events(initiator)] == [Notice]
    assert initiator.outstanding == 1


def test_reject_without_the_rejected_header() -> None:
    _, target = logged_in()
    with pytest.raises(TargetViolation, match="Reject with 20 bytes of the rejected header"):
        target.says(Reject, reason=9, data=bytes(20))


def test_async_message_is_passed_on() -> None:
    initiator, target = logged_in()
    target.says(AsyncMessage, event=1, parameter_3=5)
    (event,) = events(initiator)
    assert isinstance(event.pdu, AsyncMessage)


@pytest.mark.parametrize(
    ("say", "rule"),
    [
        (lambda target: target.says(NopIn, initiator_task_tag=9), "NopIn for task 0x9"),
        (lambda target: target.says(ScsiResponse, initiator_task_tag=9), "for task 0x9"),
        (
            lambda target: target.says(TextResponse, final=True, initiator_task_tag=9),
            "TextResponse for task 0x9",
        ),
        (
            lambda target: target.says(
                LoginResponse, transit=False, csg=1, isid=bytes(6), initiator_task_tag=0
            ),
            "LoginResponse in full-feature phase",
        ),
        (
            lambda target: target.initiator.receive_data(frame(NopOut(cmd_sn=1, exp_stat_sn=1))),
            "NopOut from a target",
        ),
        (
            lambda target: target.initiator.receive_data(bytes((0x1F,)) + bytes(47)),
            "unknown opcode 0x1f",
        ),
    ],
)
def test_pdu_that_nobody_asked_for(say: Callable[[ScriptedTarget], None], rule: str) -> None:
    _, target = logged_in()
    with pytest.raises(TargetViolation, match=rule):
        say(target)


def test_answers_to_what_a_test_sent_itself_are_notices() -> None:
    """For each kind of answer, however odd."""
    initiator, target = logged_in()
    initiator.send(NopOut(initiator_task_tag=0x500, cmd_sn=1, exp_stat_sn=1))
    target.heard()
    target.says(TextResponse, final=True, initiator_task_tag=0x500)
    target.says(TaskManagementResponse, response=0, initiator_task_tag=0x500)
    target.says(LogoutResponse, response=0, initiator_task_tag=0x500)
    target.says(
        R2t, initiator_task_tag=0x500, target_transfer_tag=1, r2t_sn=0, buffer_offset_bytes=0,
        desired_bytes=4,
    )  # fmt: skip
    target.says(DataIn, final=True, initiator_task_tag=0x500, data_sn=9, buffer_offset_bytes=77)
    target.says(ScsiResponse, initiator_task_tag=0x500)
    assert [type(event.pdu) for event in events(initiator)] == [
        TextResponse,
        TaskManagementResponse,
        LogoutResponse,
        R2t,
        DataIn,
        ScsiResponse,
    ]
    assert target.heard() == []


def test_answer_of_the_wrong_kind() -> None:
    initiator, target = logged_in()
    tag = initiator.ping()
    target.heard()
    with pytest.raises(TargetViolation, match="ScsiResponse for task 0x1"):
        target.says(ScsiResponse, initiator_task_tag=tag)


def test_result_carries_the_residual() -> None:
    initiator, target = logged_in()
    tag = initiator.execute(READ)
    target.heard()
    target.says(ScsiResponse, initiator_task_tag=tag, underflow=True, residual_bytes=4)
    assert outcome(initiator, tag) == Result(status=0, underflow=True, residual_bytes=4)
