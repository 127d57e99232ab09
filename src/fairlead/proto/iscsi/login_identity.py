"""Who logs in to what: the declarations of the first Login Request, checked without state.

Spec: RFC 7143 §6.3.1, §11.12, §13.4, §13.5, §13.21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.errors import InvalidNameError, LoginError
from fairlead.names import normalise
from fairlead.proto.iscsi.login_status import LoginStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.proto.iscsi.chap import ChapPolicy
    from fairlead.proto.iscsi.login_policy import LoginPolicy, TargetPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The two ends of the session to be.

    Attributes:
        initiator_name: normalised.
        initiator_alias: for people, or None.
        target_name: normalised; None in a discovery session.
        target: its policy; None in a discovery session.
        chap: what the initiator must prove, or None.
    """

    initiator_name: str
    initiator_alias: str | None
    target_name: str | None
    target: TargetPolicy | None
    chap: ChapPolicy | None

    @property
    def is_discovery(self) -> bool:
        """The session is a discovery session."""
        return self.target is None


def identify(keys: Mapping[str, str], policy: LoginPolicy) -> Identity:
    """Check the declarations of the first Login Request.

    Raises:
        LoginError: missing parameter, unsupported session type, unknown or removed target, no
            access, or a name that is none.
    """
    initiator_name = _initiator_name(keys)
    alias = keys.get("InitiatorAlias")
    session_type = keys.get("SessionType", "Normal")
    if session_type == "Discovery" and policy.discovery:
        return Identity(
            initiator_name=initiator_name,
            initiator_alias=alias,
            target_name=None,
            target=None,
            chap=policy.discovery_chap,
        )
    if session_type != "Normal":
        raise LoginError(
            LoginStatus.SESSION_TYPE_NOT_SUPPORTED, f"SessionType={session_type[:80]!a}"
        )
    target_name, target = _target(keys, policy)
    if not target.admits(initiator_name):
        raise LoginError(
            LoginStatus.AUTHORIZATION_FAILURE,
            f"{target_name} has no access for {initiator_name}",
        )
    return Identity(
        initiator_name=initiator_name,
        initiator_alias=alias,
        target_name=target_name,
        target=target,
        chap=target.chap,
    )


def _initiator_name(keys: Mapping[str, str]) -> str:
    text = keys.get("InitiatorName")
    if text is None:
        raise LoginError(LoginStatus.MISSING_PARAMETER, "no InitiatorName in the first request")
    try:
        return normalise(text)
    except InvalidNameError as error:
        raise LoginError(LoginStatus.INITIATOR_ERROR, f"InitiatorName: {error}") from None


def _target(keys: Mapping[str, str], policy: LoginPolicy) -> tuple[str, TargetPolicy]:
    text = keys.get("TargetName")
    if text is None:
        raise LoginError(LoginStatus.MISSING_PARAMETER, "no TargetName for a normal session")
    try:
        name = normalise(text)
    except InvalidNameError as error:
        raise LoginError(LoginStatus.NOT_FOUND, f"TargetName: {error}") from None
    target = policy.targets.get(name)
    if target is not None and policy.serves(target):
        return name, target
    if target is None and name in policy.removed_targets:
        raise LoginError(LoginStatus.TARGET_REMOVED, f"{name} was removed")
    raise LoginError(LoginStatus.NOT_FOUND, f"no target {name} in portal group {policy.portal.tag}")
