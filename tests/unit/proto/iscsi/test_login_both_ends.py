"""The target's login against the test initiator's: written apart, each checks the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.chap import ChapAlgorithm
from fairlead.proto.iscsi.key_offers import KeyOffers
from fairlead.proto.iscsi.pdu import frame
from fairlead.proto.iscsi.session import Discovery, SessionParameters
from fairlead.testing.chap import Chap, MutualChap, respond_with
from fairlead.testing.login import InitiatorLogin, LoginOffer
from fairlead.testing.sequence import Sequence
from tests.support.login_peer import (
    INITIATOR,
    SECRET,
    SECURED,
    TARGET,
    TARGET_SECRET,
    TARGET_USER,
    USER,
    LoginPeer,
    peer,
    policy,
)

ROUNDS_MAX = 40
DIGESTS = st.permutations(["None", "CRC32C"]).map(tuple) | st.sampled_from(
    [("None",), ("None", "CRC32C")]
)
OURS = st.builds(
    KeyOffers,
    max_recv_data_segment_bytes=st.integers(512, 1 << 20),
    max_burst_bytes=st.integers(512, 1 << 20),
    first_burst_bytes=st.integers(512, 1 << 20),
    initial_r2t=st.booleans(),
    immediate_data=st.booleans(),
    max_outstanding_r2t=st.integers(1, 64),
    header_digests=DIGESTS,
    data_digests=DIGESTS,
)
THEIRS = st.fixed_dictionaries(
    {},
    optional={
        "MaxBurstLength": st.integers(512, 1 << 20).map(str) | st.none(),
        "FirstBurstLength": st.integers(512, 1 << 20).map(str) | st.none(),
        "MaxRecvDataSegmentLength": st.integers(512, 1 << 20).map(str),
        "InitialR2T": st.sampled_from(["Yes", "No", None]),
        "ImmediateData": st.sampled_from(["Yes", "No", None]),
        "MaxOutstandingR2T": st.integers(1, 64).map(str) | st.none(),
        "HeaderDigest": st.sampled_from(["None", "CRC32C,None", "None,CRC32C", None]),
        "DataDigest": st.sampled_from(["None", "CRC32C,None", "None,CRC32C", None]),
    },
)


def offer(**fields: Any) -> LoginOffer:
    values: dict[str, Any] = {"initiator_name": INITIATOR, "target_name": TARGET}
    return LoginOffer(**values | fields)


def log_in(target: LoginPeer, login_offer: LoginOffer) -> InitiatorLogin:
    """Run both ends until the login is over for the initiator."""
    login = InitiatorLogin(login_offer, Sequence(cmd_sn=login_offer.cmd_sn))
    request = login.start()
    for _ in range(ROUNDS_MAX):
        target.core.receive_data(frame(request))
        response = target.accept(tsih=0x77) if target.core.pending else target.responses().pop()
        following = login.receive(response)
        if following is None:
            return login
        request = following
    pytest.fail("the login goes in circles")


def session(target: LoginPeer) -> SessionParameters:
    assert target.core.session is not None
    return target.core.session


@pytest.mark.parametrize("begins_operational", [False, True])
@pytest.mark.parametrize("segment_bytes_max", [8192, 30])
def test_normal_session(begins_operational: bool, segment_bytes_max: int) -> None:
    target = peer()
    login = log_in(
        target, offer(begins_operational=begins_operational, segment_bytes_max=segment_bytes_max)
    )
    assert login.tsih == session(target).tsih == 0x77


@pytest.mark.parametrize("algorithm", ChapAlgorithm)
@pytest.mark.parametrize("mutual", [False, True])
def test_chap(algorithm: ChapAlgorithm, mutual: bool) -> None:
    proof = MutualChap(name=TARGET_USER, respond=respond_with(TARGET_SECRET)) if mutual else None
    chap = Chap(name=USER, respond=respond_with(SECRET), algorithms=(int(algorithm),), mutual=proof)
    target = peer()
    log_in(target, offer(target_name=SECURED, chap=chap))
    assert session(target).auth_user == USER


def test_discovery_session() -> None:
    target = peer()
    log_in(target, offer(target_name=None))
    assert isinstance(target.core.outcome, Discovery)


@given(ours=OURS, theirs=THEIRS)
def test_both_ends_agree_on_every_key(ours: KeyOffers, theirs: dict[str, str | None]) -> None:
    """Whatever each side can accept; also where the target has to make offers of its own."""
    target = peer(policy(offers=ours))
    seen = log_in(target, offer(keys=theirs)).parameters
    agreed = session(target)
    assert agreed.max_burst_bytes == seen.max_burst_bytes
    assert agreed.initial_r2t == seen.initial_r2t
    assert agreed.immediate_data == seen.immediate_data
    assert agreed.max_outstanding_r2t == seen.max_outstanding_r2t
    assert agreed.header_digest == seen.header_digest
    assert agreed.data_digest == seen.data_digest
    assert agreed.first_burst_bytes <= agreed.max_burst_bytes <= ours.max_burst_bytes
    if not (agreed.initial_r2t and not agreed.immediate_data):
        assert agreed.first_burst_bytes <= ours.first_burst_bytes
