from __future__ import annotations

import itertools

import pytest

from fairlead.errors import LoginError
from fairlead.proto.iscsi.keys import Phase
from fairlead.proto.iscsi.login_stage import TRANSITIONS, Stage, check_first, check_next
from fairlead.proto.iscsi.login_status import LoginStatus
from tests.support.login_peer import request


@pytest.mark.parametrize(("csg", "nsg"), list(itertools.product(range(4), range(4))))
def test_transitions_are_those_of_the_table(csg: int, nsg: int) -> None:
    """Spec: RFC 7143 §11.12.3."""
    allowed = (csg, nsg) in {(0, 1), (0, 3), (1, 3)}
    assert allowed == ((csg, nsg) in TRANSITIONS)
    if allowed:
        assert check_first(request(csg=csg, nsg=nsg)) == csg
    else:
        with pytest.raises(LoginError) as caught:
            check_first(request(csg=csg, nsg=nsg))
        assert caught.value.status is LoginStatus.INITIATOR_ERROR


@pytest.mark.parametrize("nsg", range(4))
def test_next_stage_means_nothing_without_transit(nsg: int) -> None:
    assert check_first(request(transit=False, csg=1, nsg=nsg)) is Stage.OPERATIONAL


@pytest.mark.parametrize(
    ("version_min", "version_max", "accepted"),
    [(0, 0, True), (0, 5, True), (1, 1, False), (1, 0, False)],
)
def test_version(version_min: int, version_max: int, accepted: bool) -> None:
    login_request = request(version_min=version_min, version_max=version_max)
    if accepted:
        check_first(login_request)
    else:
        with pytest.raises(LoginError) as caught:
            check_first(login_request)
        assert caught.value.status is LoginStatus.UNSUPPORTED_VERSION


def test_task_tag_may_change() -> None:
    check_next(
        request(initiator_task_tag=2),
        before=request(initiator_task_tag=1),
        stage=Stage.OPERATIONAL,
    )


def test_stages_are_phases_of_the_key_table() -> None:
    assert {stage.phase for stage in Stage} == set(Phase)
