"""Stages of the login, and how one follows another. Spec: RFC 7143 §6.3, §11.12.3."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from fairlead.errors import LoginError
from fairlead.proto.iscsi.keys import Phase
from fairlead.proto.iscsi.login_status import LoginStatus

if TYPE_CHECKING:
    from fairlead.proto.iscsi.pdu import LoginRequest


class Stage(enum.IntEnum):
    """Login stages, with their wire values. Spec: RFC 7143 §11.12.3."""

    SECURITY = 0
    OPERATIONAL = 1
    FULL_FEATURE = 3

    @property
    def phase(self) -> Phase:
        """When-column of the key table that this stage stands for."""
        return _PHASES[self]


_PHASES: Final = {
    Stage.SECURITY: Phase.SECURITY,
    Stage.OPERATIONAL: Phase.OPERATIONAL,
    Stage.FULL_FEATURE: Phase.FULL_FEATURE,
}

# (current, next) pairs an initiator may ask for; anything else ends the login.
TRANSITIONS: Final = frozenset(
    {
        (Stage.SECURITY, Stage.OPERATIONAL),
        (Stage.SECURITY, Stage.FULL_FEATURE),
        (Stage.OPERATIONAL, Stage.FULL_FEATURE),
    }
)
FIRST_STAGES: Final = frozenset({Stage.SECURITY, Stage.OPERATIONAL})

VERSION: Final = 0  # The only one there is. Spec: RFC 7143 §11.12.4.


def check_first(request: LoginRequest) -> Stage:
    """Return the stage in which the login begins.

    Raises:
        LoginError: a version we do not speak, or flags that contradict each other.
    """
    if not request.version_min <= VERSION <= request.version_max:
        raise LoginError(
            LoginStatus.UNSUPPORTED_VERSION,
            f"versions {request.version_min}..{request.version_max}, ours is {VERSION}",
        )
    if request.csg not in FIRST_STAGES:
        raise _error(f"CSG {request.csg} is not a stage to begin with")
    stage = Stage(request.csg)
    check_flags(request, stage)
    return stage


def check_next(request: LoginRequest, *, before: LoginRequest, stage: Stage) -> None:
    """Check a Login Request against the one before it.

    Raises:
        LoginError: the request belongs to another login or stage. Spec: RFC 7143 §11.12.
    """
    for field in ("isid", "tsih", "cid", "version_min", "version_max"):
        now, then = getattr(request, field), getattr(before, field)
        if now != then:
            raise _error(f"{field} changed from {then!r} to {now!r} during login")
    if request.csg != stage:
        raise _error(f"CSG {request.csg} in stage {stage.value}")
    check_flags(request, stage)


def check_flags(request: LoginRequest, stage: Stage) -> None:
    """Check T, C, CSG and NSG.

    Raises:
        LoginError: T and C together, or a transition that is none. Spec: RFC 7143 §11.12.1-3.
    """
    if not request.transit:
        return
    if request.continue_:
        raise _error("T and C are both set")
    if (stage, request.nsg) not in TRANSITIONS:
        raise _error(f"transition from stage {stage.value} to {request.nsg}")


def _error(reason: str) -> LoginError:
    return LoginError(LoginStatus.INITIATOR_ERROR, reason)
