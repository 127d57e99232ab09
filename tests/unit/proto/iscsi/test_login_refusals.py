"""Every status of the standard's table, and what leads to it. Spec: RFC 7143 §11.13.5."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.proto.iscsi.bhs import Bhs
from fairlead.proto.iscsi.login import LOGIN_REQUESTS_MAX
from fairlead.proto.iscsi.login_policy import LoginPolicy, Portal, Redirect, TargetPolicy
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.opcode import Opcode
from fairlead.proto.iscsi.pdu import (
    NopIn,
    NopOut,
    Pdu,
    ScsiCommand,
    TextRequest,
    frame,
)
from tests.support.login_peer import (
    CHAP,
    DISCOVERY,
    INITIATOR,
    NAMES,
    SECURED,
    TARGET,
    keys_of,
    peer,
    policy,
    refusal,
    request,
    security,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SECURED_NAMES = NAMES | {"TargetName": SECURED}
NOP = NopOut(cmd_sn=1, exp_stat_sn=0, initiator_task_tag=0x77)


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in NAMES.items() if key != name}


def target_policy(**changes: Any) -> LoginPolicy:
    return policy(targets={TARGET: TargetPolicy(**changes)})


@dataclass(frozen=True)
class Case:
    """The last of ``pdus`` is refused with ``status``, for a reason that contains ``reason``."""

    status: LoginStatus
    reason: str
    pdus: Sequence[Pdu]
    policy: LoginPolicy | None = None


ERROR = LoginStatus.INITIATOR_ERROR
AUTH = LoginStatus.AUTHENTICATION_FAILURE
BEGUN = security(NAMES, transit=False)

CASES = {
    "temporarily moved": Case(
        LoginStatus.TARGET_MOVED_TEMPORARILY,
        "sent to 192.0.2.99:3261",
        [request(NAMES)],
        target_policy(redirect=Redirect(address="192.0.2.99", port=3261)),
    ),
    "permanently moved": Case(
        LoginStatus.TARGET_MOVED_PERMANENTLY,
        "sent to [2001:db8::1]:3260",
        [request(NAMES)],
        target_policy(redirect=Redirect(address="2001:db8::1", permanent=True)),
    ),
    "T and C": Case(ERROR, "T and C", [request(NAMES, continue_=True)]),
    "begins in full feature": Case(ERROR, "CSG 3", [request(NAMES, csg=3, nsg=3)]),
    "reserved stage": Case(ERROR, "CSG 2", [request(NAMES, csg=2, nsg=3)]),
    "to the same stage": Case(ERROR, "stage 1 to 1", [request(NAMES, csg=1, nsg=1)]),
    "to an earlier stage": Case(ERROR, "stage 1 to 0", [request(NAMES, csg=1, nsg=0)]),
    "to the reserved stage": Case(ERROR, "stage 0 to 2", [security(NAMES, nsg=2)]),
    "stage skipped without asking": Case(ERROR, "CSG 1 in stage 0", [BEGUN, request()]),
    "stage gone back to": Case(ERROR, "CSG 0 in stage 1", [security(NAMES), security()]),
    "isid changed": Case(ERROR, "isid changed", [BEGUN, security(isid=bytes(6))]),
    "tsih changed": Case(ERROR, "tsih changed", [BEGUN, security(tsih=1)]),
    "cid changed": Case(ERROR, "cid changed", [BEGUN, security(cid=8)]),
    "version changed": Case(ERROR, "version_max changed", [BEGUN, security(version_max=1)]),
    "initiator name is none": Case(
        ERROR, "InitiatorName: 'host'", [request(NAMES | {"InitiatorName": "host"})]
    ),
    "name changed": Case(
        ERROR, "sent twice", [BEGUN, security({"InitiatorName": INITIATOR + "x"})]
    ),
    "key twice": Case(ERROR, "sent twice", [request(NAMES | {"X-1": ""}, transit=False),
                                            request({"X-1": ""})]),
    "answer to nothing": Case(ERROR, "answers nothing", [request(NAMES | {"X-1": "Reject"})]),
    "malformed text": Case(ERROR, "without '='", [request(b"junk\0")]),
    "text without end": Case(ERROR, "does not end", [request(b"InitiatorName=iqn")]),
    "text too long": Case(
        ERROR,
        "limit 65536",
        [request(b"A=" + bytes([65 + n]) * 8190, transit=False, continue_=True) for n in range(9)],
    ),
    "key too long": Case(ERROR, "64 bytes, limit 63", [request(b"K" * 64 + b"=1\0")]),
    "too many keys": Case(ERROR, "limit 512", [request(b"A=1\0" * 513)]),
    "too many requests": Case(
        ERROR,
        "more than 256",
        [request(NAMES, transit=False)]
        + [request(transit=False)] * LOGIN_REQUESTS_MAX,
    ),
    "data segment too long": Case(ERROR, "8193 bytes, limit 8192", [request(b"A" * 8193)]),
    "no method in common": Case(
        AUTH, "needs CHAP", [security(SECURED_NAMES | {"AuthMethod": "KRB5,SRP,None"})]
    ),
    "method we do not have": Case(
        AUTH, "needs None", [security(NAMES | {"AuthMethod": "CHAP"})]
    ),
    "authentication skipped": Case(AUTH, "skips", [request(SECURED_NAMES)]),
    "no method offered": Case(AUTH, "unproven", [security(SECURED_NAMES)]),
    "security left for full feature": Case(AUTH, "unproven", [security(SECURED_NAMES, nsg=3)]),
    "CHAP without method": Case(
        AUTH, "without AuthMethod=CHAP", [security(SECURED_NAMES | {"CHAP_A": "5"})]
    ),
    "CHAP where nothing is asked": Case(
        AUTH, "without AuthMethod=CHAP",
        [security(NAMES | {"AuthMethod": "None", "CHAP_A": "5"})],
    ),
    "discovery needs CHAP": Case(
        AUTH, "skips", [request(DISCOVERY)], policy(discovery_chap=CHAP)
    ),
    "not on the access list": Case(
        LoginStatus.AUTHORIZATION_FAILURE,
        f"no access for {INITIATOR}",
        [request(NAMES)],
        target_policy(initiators=("iqn.2004-10.com.example:host-2",)),
    ),
    "unknown target": Case(
        LoginStatus.NOT_FOUND, "no target", [request(NAMES | {"TargetName": TARGET + "x"})]
    ),
    "target name is none": Case(
        LoginStatus.NOT_FOUND, "TargetName: 'disk'", [request(NAMES | {"TargetName": "disk"})]
    ),
    "target on other portals": Case(
        LoginStatus.NOT_FOUND,
        "in portal group 1",
        [request(NAMES)],
        target_policy(portals=(Portal(address="192.0.2.11", tag=2),)),
    ),
    "target removed": Case(
        LoginStatus.TARGET_REMOVED,
        "was removed",
        [request(NAMES)],
        policy(targets={}, removed_targets=frozenset({TARGET})),
    ),
    "later version": Case(
        LoginStatus.UNSUPPORTED_VERSION, "versions 1..2",
        [request(NAMES, version_min=1, version_max=2)],
    ),
    "no initiator name": Case(
        LoginStatus.MISSING_PARAMETER, "InitiatorName", [request(without("InitiatorName"))]
    ),
    "no target name": Case(
        LoginStatus.MISSING_PARAMETER, "TargetName", [request(without("TargetName"))]
    ),
    "names too late": Case(
        LoginStatus.MISSING_PARAMETER, "first request", [security(b"", transit=False)]
    ),
    "unknown session type": Case(
        LoginStatus.SESSION_TYPE_NOT_SUPPORTED, "Boot", [request(NAMES | {"SessionType": "Boot"})]
    ),
    "no discovery here": Case(
        LoginStatus.SESSION_TYPE_NOT_SUPPORTED, "Discovery", [request(DISCOVERY)],
        policy(discovery=False),
    ),
    "second connection of a discovery session": Case(
        LoginStatus.SESSION_DOES_NOT_EXIST, "TSIH 5", [request(DISCOVERY, tsih=5)]
    ),
    "another request first": Case(LoginStatus.INVALID_DURING_LOGIN, "NOP_OUT", [NOP]),
    "another request later": Case(LoginStatus.INVALID_DURING_LOGIN, "NOP_OUT", [BEGUN, NOP]),
    "text request": Case(
        LoginStatus.INVALID_DURING_LOGIN,
        "TEXT_REQUEST",
        [TextRequest(final=True, initiator_task_tag=1, cmd_sn=1, exp_stat_sn=0)],
    ),
    "a target's PDU": Case(
        LoginStatus.INVALID_DURING_LOGIN,
        "NOP_IN",
        [NopIn(stat_sn=1, exp_cmd_sn=1, max_cmd_sn=1)],
    ),
}  # fmt: skip

# What only the caller can know: it has the sessions, the limits and the devices.
BY_CALLER = [
    LoginStatus.TOO_MANY_CONNECTIONS,
    LoginStatus.CANNOT_INCLUDE_IN_SESSION,
    LoginStatus.SESSION_DOES_NOT_EXIST,
    LoginStatus.TARGET_ERROR,
    LoginStatus.SERVICE_UNAVAILABLE,
    LoginStatus.OUT_OF_RESOURCES,
]


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_refusal(case: Case) -> None:
    initiator = peer(case.policy)
    for pdu in case.pdus[:-1]:
        (response,) = initiator.send_bytes(frame(pdu))
        assert response.status == LoginStatus.SUCCESS
    (response,) = initiator.send_bytes(frame(case.pdus[-1]))
    assert LoginStatus(response.status) is case.status
    assert response.transit is False
    outcome = refusal(initiator.core)
    assert outcome.status is case.status
    assert case.reason in outcome.reason
    assert outcome.reason.isprintable()
    assert initiator.core.done
    assert initiator.core.pending is None


@pytest.mark.parametrize("status", BY_CALLER)
def test_refusal_by_the_caller(status: LoginStatus) -> None:
    initiator = peer()
    initiator.ask(request(NAMES, tsih=9))
    initiator.core.refuse(status, "the reason")
    (response,) = initiator.responses()
    assert response.status == status
    assert refusal(initiator.core).reason == "the reason"


def test_every_status_of_the_standard_is_reached() -> None:
    reached = {case.status for case in CASES.values()} | set(BY_CALLER) | {LoginStatus.SUCCESS}
    assert reached == set(LoginStatus)


@pytest.mark.parametrize("status", LoginStatus)
def test_status_is_class_and_detail(status: LoginStatus) -> None:
    assert status == status.status_class << 8 | status.status_detail
    assert status.status_class in range(4)


def test_redirection_says_where_to() -> None:
    """Spec: RFC 7143 §13.8: without the portal group tag."""
    initiator = peer(CASES["permanently moved"].policy)
    response = initiator.send(request(NAMES))
    assert keys_of(response) == {"TargetAddress": "[2001:db8::1]:3260"}


def test_refusal_answers_the_task_tag() -> None:
    for pdu in (NOP, ScsiCommand(
        lun_field=bytes(8), initiator_task_tag=0x77, expected_data_bytes=0, cmd_sn=1,
        exp_stat_sn=0, cdb=bytes(16), read=False, write=False,
    )):  # fmt: skip
        initiator = peer()
        (response,) = initiator.send_bytes(frame(pdu))
        assert response.initiator_task_tag == 0x77


def test_unknown_opcode_is_invalid_during_login() -> None:
    header = bytearray(Bhs(opcode=Opcode.LOGIN_REQUEST, initiator_task_tag=0xABCD).encode())
    header[0] = 0x1F
    initiator = peer()
    (response,) = initiator.send_bytes(bytes(header))
    assert response.status == LoginStatus.INVALID_DURING_LOGIN
    assert response.initiator_task_tag == 0xABCD


def test_another_protocol_is_refused_at_its_first_48_bytes() -> None:
    initiator = peer()
    (response,) = initiator.send_bytes(
        b"GET / HTTP/1.1\r\nHost: storage.example.com\r\n\r\n".ljust(64)
    )
    assert response.status >> 8 == 2


def test_segment_too_long_is_refused_before_it_is_received() -> None:
    """16 MiB announced, nothing of it sent."""
    header = replace(Bhs.decode(request(NAMES).encode()), data_segment_bytes=(1 << 24) - 1).encode()
    initiator = peer()
    (response,) = initiator.send_bytes(header)
    assert response.status == LoginStatus.INITIATOR_ERROR
    assert "16777215 bytes, limit 8192" in refusal(initiator.core).reason


def test_nothing_is_heard_after_a_refusal() -> None:
    initiator = peer()
    initiator.send(request(b"junk\0"))
    before = refusal(initiator.core)
    assert initiator.send_bytes(frame(request(NAMES)) * 100) == []
    assert initiator.core.trailing_data() == b""
    assert initiator.core.outcome is before


def test_redirected_initiator_needs_no_proof() -> None:
    """It will prove itself where it is sent."""
    secured = policy(
        targets={SECURED: TargetPolicy(chap=CHAP, redirect=Redirect(address="192.0.2.99"))}
    )
    response = peer(secured).send(security(SECURED_NAMES))
    assert response.status == LoginStatus.TARGET_MOVED_TEMPORARILY


def test_reason_shows_a_bounded_part_of_what_was_sent() -> None:
    long_name = NAMES | {"InitiatorName": "x" * 8000}
    initiator = peer()
    initiator.send(request(long_name))
    assert len(refusal(initiator.core).reason) < 600
