from __future__ import annotations

import pytest

from fairlead.errors import LoginError
from fairlead.proto.iscsi.login_identity import identify
from fairlead.proto.iscsi.login_policy import TargetPolicy
from fairlead.proto.iscsi.login_status import LoginStatus
from tests.support.login_peer import (
    CHAP,
    DISCOVERY,
    INITIATOR,
    NAMES,
    SECURED,
    TARGET,
    policy,
)


def test_normal_session() -> None:
    identity = identify(NAMES | {"InitiatorAlias": "rack 7"}, policy())
    assert (identity.initiator_name, identity.target_name) == (INITIATOR, TARGET)
    assert identity.initiator_alias == "rack 7"
    assert identity.chap is None
    assert not identity.is_discovery


def test_what_must_be_proven_is_the_targets_choice() -> None:
    assert identify(NAMES | {"TargetName": SECURED}, policy()).chap is CHAP
    assert identify(DISCOVERY, policy()).chap is None
    assert identify(DISCOVERY, policy(discovery_chap=CHAP)).chap is CHAP


def test_discovery_session_has_no_target() -> None:
    identity = identify(DISCOVERY | {"TargetName": TARGET}, policy())
    assert identity.is_discovery
    assert identity.target_name is None


def test_name_is_checked_before_the_session_type() -> None:
    with pytest.raises(LoginError) as caught:
        identify({"SessionType": "Boot"}, policy())
    assert caught.value.status is LoginStatus.MISSING_PARAMETER


def test_removed_name_that_is_served_again() -> None:
    again = policy(removed_targets=frozenset({TARGET}))
    assert identify(NAMES, again).target == TargetPolicy()
