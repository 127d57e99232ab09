"""The initiator's side of login, sans-I/O. Spec: RFC 7143 §6.3, §11.12, §11.13."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fairlead.proto.iscsi.pdu import LoginRequest, LoginResponse
from fairlead.testing.chap import Chap, decode_binary
from fairlead.testing.negotiated import (
    DECLARED,
    DISCOVERY_OFFER,
    NORMAL_OFFER,
    Parameters,
    answer_offer,
    check_answer,
    decode_keys,
    encode_keys,
)
from fairlead.testing.outcome import LoginRefused, TargetViolation

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from fairlead.testing.sequence import Sequence

LOGIN_DATA_SEGMENT_BYTES_MAX: Final = 8192
"""Longest data segment in login, in both directions. Spec: RFC 7143 §13.12 (default)."""

_ROUNDS_MAX: Final = 32
"""Login Requests of one login. Ours takes 2 to 5; a target that needs more goes in circles."""


class Stage(enum.IntEnum):
    """Login stages, with their wire values. Spec: RFC 7143 §11.12.3."""

    SECURITY = 0
    OPERATIONAL = 1
    FULL_FEATURE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOffer:
    """Who logs in, where, and what it offers.

    Attributes:
        initiator_name: InitiatorName.
        target_name: TargetName; None opens a discovery session.
        keys: operational keys that replace or extend the usual offer; a value of None takes a key
            out of it.
        chap: how to prove the name; None offers AuthMethod=None.
        isid: 6 bytes; the same ISID under the same name means session reinstatement.
        tsih: 0 for a new session.
        cid: connection ID.
        cmd_sn: the first CmdSN.
        begins_operational: leave out the security stage.
        segment_bytes_max: longer text is cut and continued with the C bit.
    """

    initiator_name: str
    target_name: str | None = None
    keys: Mapping[str, str | None] = field(default_factory=dict)
    chap: Chap | None = None
    isid: bytes = bytes.fromhex("80 00 00 00 00 01")
    tsih: int = 0
    cid: int = 0
    cmd_sn: int = 1
    begins_operational: bool = False
    segment_bytes_max: int = LOGIN_DATA_SEGMENT_BYTES_MAX

    def identity(self) -> dict[str, str]:
        """The keys of the first Login Request. Spec: RFC 7143 §6.3."""
        if self.target_name is None:
            return {"InitiatorName": self.initiator_name, "SessionType": "Discovery"}
        return {
            "InitiatorName": self.initiator_name,
            "SessionType": "Normal",
            "TargetName": self.target_name,
        }

    def operational(self) -> dict[str, str]:
        """The keys of the operational stage."""
        usual = DISCOVERY_OFFER if self.target_name is None else NORMAL_OFFER
        offer = {**usual, **self.keys}
        return {name: value for name, value in offer.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Say:
    """One side's turn: a text, and whether the stage is over for it."""

    stage: Stage
    next_stage: Stage
    transit: bool
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Heard:
    transit: bool
    keys: dict[str, str]


class InitiatorLogin:
    """One login. ``start`` gives the first request, ``receive`` every further one.

    Attributes:
        parameters: what was negotiated, once ``done``.
        target_keys: every key the target sent.
        tsih: the session's handle, once ``done``.
        cid: the connection's ID.
    """

    def __init__(self, offer: LoginOffer, sequence: Sequence) -> None:
        self.parameters = Parameters()
        self.target_keys: dict[str, str] = {}
        self.tsih = offer.tsih
        self.cid = offer.cid
        self.done = False
        self._offer = offer
        self._sequence = sequence
        self._dialogue = self._talk()
        self._said: _Say | None = None
        self._unsent = b""
        self._heard = bytearray()
        self._rounds = 0

    def start(self) -> LoginRequest:
        """Return the first Login Request."""
        return self._say(next(self._dialogue))

    def receive(self, response: LoginResponse) -> LoginRequest | None:
        """Take a Login Response; return the next request, or None when the login is ``done``.

        Raises:
            LoginRefused: its status is not success.
            TargetViolation: a rule is broken.
        """
        said = self._said
        assert said is not None, "start() comes first"
        if response.status:
            raise LoginRefused(response.status)
        self._check(said, response)
        self._heard += response.data
        if response.continue_ or self._unsent:
            return self._request(said)
        keys = decode_keys(bytes(self._heard))
        self._heard.clear()
        self.target_keys |= keys
        try:
            return self._say(self._dialogue.send(_Heard(response.transit, keys)))
        except StopIteration:
            self._finish(response)
            return None

    def _talk(self) -> Generator[_Say, _Heard, None]:
        """The whole login, as one conversation."""
        identity = self._offer.identity()
        if not self._offer.begins_operational:
            yield from self._security(identity)
            identity = {}
        yield from self._operational(identity)

    def _security(self, identity: dict[str, str]) -> Generator[_Say, _Heard, None]:
        chap = self._offer.chap
        stages = (Stage.SECURITY, Stage.OPERATIONAL)
        method = "None" if chap is None else "CHAP"
        heard = yield _Say(*stages, chap is None, identity | {"AuthMethod": method})
        if heard.keys.get("AuthMethod") != method:
            raise TargetViolation(
                f"AuthMethod={heard.keys.get('AuthMethod')} in answer to our {method}"
            )
        if chap is not None:
            heard = yield _Say(*stages, False, chap.offer())
            algorithm, keys = chap.answer(heard.keys)
            heard = yield _Say(*stages, True, keys)
            if chap.mutual is not None:
                _check_mutual(chap, algorithm, heard.keys)
        while not heard.transit:
            heard = yield _Say(*stages, True, {})

    def _operational(self, identity: dict[str, str]) -> Generator[_Say, _Heard, None]:
        stages = (Stage.OPERATIONAL, Stage.FULL_FEATURE)
        ours = self._offer.operational()
        theirs: dict[str, str] = {}
        keys = identity | ours
        while True:
            heard = yield _Say(*stages, True, keys)
            theirs |= heard.keys
            for name, answer in heard.keys.items():
                if name in ours and name not in DECLARED:
                    check_answer(name, ours[name], answer)
            keys = self._answers(heard.keys, ours)
            ours |= keys
            if heard.transit:
                break
        if keys:
            raise TargetViolation(f"the login ends with unanswered offers: {sorted(keys)}")
        self.parameters = Parameters.from_keys(ours, theirs)

    def _answers(self, theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
        """Answer the keys that the target offered first."""
        answers = {
            name: answer_offer(name, value) for name, value in theirs.items() if name not in ours
        }
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _say(self, said: _Say) -> LoginRequest:
        self._said = said
        self._unsent = encode_keys(said.keys)
        return self._request(said)

    def _request(self, said: _Say) -> LoginRequest:
        """Send the next piece of the text; the last one may ask for the next stage."""
        self._rounds += 1
        if self._rounds > _ROUNDS_MAX:
            raise TargetViolation(f"login not over after {_ROUNDS_MAX} requests")
        size = self._offer.segment_bytes_max
        piece, self._unsent = self._unsent[:size], self._unsent[size:]
        transit = said.transit and not self._unsent
        return LoginRequest(
            transit=transit,
            continue_=bool(self._unsent),
            csg=said.stage,
            nsg=said.next_stage if transit else 0,
            isid=self._offer.isid,
            tsih=self._offer.tsih,
            initiator_task_tag=0,
            cid=self._offer.cid,
            cmd_sn=self._sequence.next_cmd_sn,
            exp_stat_sn=self._sequence.acknowledged_stat_sn,
            data=piece,
        )

    def _check(self, said: _Say, response: LoginResponse) -> None:
        """Check all that needs no look at the text."""
        self._sequence.receive_status(response.stat_sn)
        self._sequence.receive_window(response)
        may_transit = said.transit and not self._unsent
        rules = {
            "ISID is not ours": response.isid == self._offer.isid,
            "task tag is not ours": response.initiator_task_tag == 0,
            "CSG is not ours": response.csg == said.stage,
            "T bit, but we did not set it": may_transit or not response.transit,
            "NSG is not ours": not response.transit or response.nsg == said.next_stage,
            "T and C bit": not (response.transit and response.continue_),
            "text with the C bit, after an unfinished text of ours": not (
                self._unsent and response.data
            ),
            "version is not 0": response.version_active == 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise TargetViolation(f"Login Response: {rule}: {response}")

    def _finish(self, response: LoginResponse) -> None:
        if response.tsih == 0 and self._offer.target_name is not None:
            raise TargetViolation("the final Login Response has TSIH 0")
        if self._offer.target_name is not None and "TargetPortalGroupTag" not in self.target_keys:
            raise TargetViolation("the target has not declared TargetPortalGroupTag")
        self.tsih = response.tsih
        self.done = True


def _check_mutual(chap: Chap, algorithm: int, keys: Mapping[str, str]) -> None:
    assert chap.mutual is not None
    try:
        response = decode_binary(keys["CHAP_R"])
        name = keys["CHAP_N"]
    except (KeyError, ValueError) as error:
        raise TargetViolation(f"malformed CHAP response {sorted(keys)}") from error
    chap.mutual.check(algorithm, name, response)
