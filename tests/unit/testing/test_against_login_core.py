"""The initiator's login against the target's: two implementations written apart."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.discovery import DiscoveryCore
from fairlead.proto.iscsi.key_offers import KeyOffers
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.session import Discovery
from fairlead.testing.chap import Chap, MutualChap, respond_with
from fairlead.testing.initiator import Initiator, State
from fairlead.testing.outcome import Completed, LoginRefused, TextResult
from tests.support.login_peer import (
    SECRET,
    SECURED,
    TARGET_SECRET,
    TARGET_USER,
    USER,
    login_core,
    policy,
)
from tests.support.login_peer import TARGET as OPEN
from tests.support.scripted_target import offer

if TYPE_CHECKING:
    from fairlead.proto.iscsi.login import LoginCore


def run(initiator: Initiator, core: LoginCore) -> None:
    """Carry bytes to and fro until the login is over on both sides."""
    while initiator.state is State.LOGIN and (data := initiator.data_to_send()):
        core.receive_data(data)
        if core.pending is not None:
            core.accept(tsih=0x55, command_window=16)
        initiator.receive_data(core.data_to_send())


def chap(secret: bytes = SECRET, **changes: Any) -> Chap:
    return Chap.from_secret(USER, secret, **changes)


MUTUAL = MutualChap(name=TARGET_USER, respond=respond_with(TARGET_SECRET))


@pytest.mark.parametrize(
    "changes",
    [
        {"target_name": OPEN},
        {"target_name": OPEN, "begins_operational": True},
        {"target_name": OPEN, "segment_bytes_max": 50},
        {"target_name": SECURED, "chap": chap()},
        {"target_name": SECURED, "chap": chap(mutual=MUTUAL)},
        *({"target_name": SECURED, "chap": chap(algorithms=(number,))} for number in (5, 6, 7, 8)),
    ],
    ids=str,
)
def test_login(changes: dict[str, Any]) -> None:
    initiator, core = Initiator(offer(**changes)), login_core()
    run(initiator, core)
    assert initiator.state is State.FULL_FEATURE
    assert core.session is not None
    assert (initiator.login.tsih, core.session.tsih) == (0x55, 0x55)
    assert core.session.auth_user == (USER if changes.get("chap") else None)
    assert initiator.sequence.exp_stat_sn == core.session.stat_sn
    assert initiator.sequence.next_cmd_sn == core.session.exp_cmd_sn
    assert initiator.sequence.max_cmd_sn == core.session.exp_cmd_sn + 15


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"target_name": SECURED}, LoginStatus.AUTHENTICATION_FAILURE),
        (
            {"target_name": SECURED, "chap": chap(b"no secret of anybody's")},
            LoginStatus.AUTHENTICATION_FAILURE,
        ),
        ({"target_name": "iqn.2025-01.com.example:none"}, LoginStatus.NOT_FOUND),
    ],
    ids=str,
)
def test_refusal(changes: dict[str, Any], status: LoginStatus) -> None:
    initiator, core = Initiator(offer(**changes)), login_core()
    with pytest.raises(LoginRefused) as caught:
        run(initiator, core)
    assert caught.value.status == status


YES_NO = st.sampled_from(["Yes", "No"])
LENGTHS = st.integers(512, 1 << 20).map(str)
DIGESTS = st.sampled_from(["None", "CRC32C", "CRC32C,None", "None,CRC32C"])


@given(
    keys=st.fixed_dictionaries(
        {},
        optional={
            "InitialR2T": YES_NO,
            "ImmediateData": YES_NO,
            "MaxBurstLength": LENGTHS,
            "FirstBurstLength": st.just("512"),
            "MaxRecvDataSegmentLength": LENGTHS,
            "MaxOutstandingR2T": st.integers(1, 65535).map(str),
            "HeaderDigest": DIGESTS,
            "DataDigest": DIGESTS,
            "X-com.example.key": st.just("value"),
        },
    ),
    removed=st.sets(st.sampled_from(["MaxBurstLength", "ImmediateData", "DataDigest"])),
    ours=st.builds(
        KeyOffers,
        max_recv_data_segment_bytes=st.integers(512, 1 << 20),
        max_burst_bytes=st.integers(512, 1 << 20),
        initial_r2t=st.booleans(),
        immediate_data=st.booleans(),
        max_outstanding_r2t=st.integers(1, 64),
    ),
)
def test_both_sides_agree_on_every_parameter(
    keys: dict[str, str], removed: set[str], ours: KeyOffers
) -> None:
    initiator = Initiator(offer(target_name=OPEN, keys=keys | dict.fromkeys(removed)))
    core = login_core(policy(offers=ours))
    run(initiator, core)
    assert core.session is not None
    theirs = asdict(core.session)
    mine = asdict(initiator.parameters)
    mine["peer_max_recv_data_segment_bytes"] = mine.pop("max_recv_data_segment_bytes")
    mine["max_recv_data_segment_bytes"] = mine.pop("target_max_recv_data_segment_bytes")
    assert {name: theirs[name] for name in mine} == mine


def test_discovery() -> None:
    initiator, core = Initiator(offer(target_name=None)), login_core()
    run(initiator, core)
    assert isinstance(core.outcome, Discovery)
    discovery = DiscoveryCore(policy(), core.outcome)
    tags = [initiator.text({"SendTargets": "All"}), initiator.ping(b"abc"), initiator.logout()]
    outcomes: dict[int, Any] = {}
    while data := initiator.data_to_send():
        discovery.receive_data(data)
        initiator.receive_data(discovery.data_to_send())
    for event in iter(initiator.next_event, None):
        assert isinstance(event, Completed)
        outcomes[event.task_tag] = event.outcome
    text, ping, logout = (outcomes[tag] for tag in tags)
    assert isinstance(text, TextResult)
    assert f"TargetName={OPEN}".encode() in text.data
    assert ping.data == b"abc"
    assert logout.response == 0
