"""The rules of reservations, against the tables of SPC-4 §5.13 written out by hand."""

from __future__ import annotations

from typing import Final

import pytest

from fairlead.errors import CheckCondition
from fairlead.scsi.cdb import Access
from fairlead.scsi.reservation_parameters import ItNexus, ReservationType
from fairlead.scsi.reservations import (
    CONFLICT,
    REGISTRATIONS_MAX,
    Attention,
    Outcome,
    Reservations,
    Rule,
)
from fairlead.scsi.sense import Asc

A, B, C, D = (ItNexus(f"iqn.2020-01.org.example:{name}", bytes(6), "t") for name in "abcd")
ALL: Final = {"a": A, "b": B, "c": C, "d": D}
KEY: Final = {A: 0xA, B: 0xB, C: 0xC, D: 0xD}

WE, EA, WERO, EARO, WEAR, EAAR = ReservationType
every_type = pytest.mark.parametrize("kind", ReservationType)


def registered(*nexuses: ItNexus) -> Reservations:
    reservations = Reservations()
    for nexus in nexuses:
        outcome = reservations.register(nexus, 0, KEY[nexus], relative_target_port=1)
        assert outcome.status == 0
    return reservations


def held(kind: ReservationType, *others: ItNexus) -> Reservations:
    """A holds it, or is one of the holders."""
    reservations = registered(A, *others)
    assert reservations.reserve(A, kind).event == "reserved"
    return reservations


def may(rule: Rule, nexus: ItNexus, needs: Access) -> bool:
    """What the data plane does with the rule."""
    return needs <= rule.permits or nexus in rule.nexuses


def told(outcome: Outcome) -> dict[Asc, set[ItNexus]]:
    return {attention.asc: set(attention.nexuses) for attention in outcome.attentions}


def refused(asc: Asc) -> pytest.RaisesExc[CheckCondition]:
    return pytest.raises(CheckCondition, match=asc.name)


# ---- who may do what -----------------------------------------------------------------------------

# Type: what a registrant that is not the holder may do, what another may. W writes, R reads, S asks
# for the state. Spec: SPC-4 r37 table of commands allowed in the presence of various reservations.
PERMITTED: Final = {
    WE: ("RS", "RS"),
    EA: ("S", "S"),
    WERO: ("WRS", "RS"),
    EARO: ("WRS", "S"),
    WEAR: ("WRS", "RS"),
    EAAR: ("WRS", "S"),
}
NEEDS: Final = {"W": Access.EVERYTHING, "R": Access.READ, "S": Access.STATUS}


@every_type
@pytest.mark.parametrize("letter", NEEDS)
def test_what_a_persistent_reservation_permits(kind: ReservationType, letter: str) -> None:
    rule = held(kind, B).rule
    registrant, other = PERMITTED[kind]
    assert may(rule, A, NEEDS[letter])
    assert may(rule, B, NEEDS[letter]) is (letter in registrant)
    assert may(rule, C, NEEDS[letter]) is (letter in other)
    assert may(rule, C, Access.NOTHING)
    assert not rule.ends_with_session


@pytest.mark.parametrize("needs", Access)
def test_what_reserve_permits(needs: Access) -> None:
    reservations = Reservations()
    assert reservations.reserve_unit(A).status == 0
    assert may(reservations.rule, A, needs)
    assert may(reservations.rule, B, needs) is (needs is Access.NOTHING)
    assert reservations.rule.ends_with_session


def test_without_a_reservation_everybody_may_do_everything() -> None:
    assert Reservations().rule == registered(A).rule == Rule()
    assert may(Rule(), A, Access.EVERYTHING)


# ---- RESERVE and RELEASE -------------------------------------------------------------------------


def test_reserve_is_for_one_and_released_by_that_one_alone() -> None:
    reservations = Reservations()
    assert reservations.release_unit(A) == Outcome()
    reservations.reserve_unit(A)
    assert reservations.reserve_unit(A).status == 0
    assert reservations.reserve_unit(B) == CONFLICT
    assert reservations.release_unit(B) == Outcome()
    assert reservations.reserved_by == A
    assert reservations.release_unit(A).event == "released"
    assert reservations.reserve_unit(B).status == 0


def test_reserve_ends_with_its_session_and_with_a_reset() -> None:
    reservations = Reservations()
    reservations.reserve_unit(A)
    assert not reservations.nexus_lost(B)
    assert reservations.nexus_lost(A)
    assert not reservations.nexus_lost(A)
    reservations.reserve_unit(B)
    assert reservations.reset()
    assert not reservations.reset()
    assert reservations.rule == Rule()


@every_type
def test_persistent_reservations_outlive_sessions_and_resets(kind: ReservationType) -> None:
    reservations = held(kind, B)
    before = reservations.rule
    assert not reservations.nexus_lost(A)
    assert not reservations.reset()
    assert reservations.rule == before
    assert len(reservations.registrations) == 2


def test_reserve_and_release_conflict_with_registrations() -> None:
    reservations = registered(A)
    for nexus in (A, B):
        assert reservations.reserve_unit(nexus) == CONFLICT
        assert reservations.release_unit(nexus) == CONFLICT


# ---- registering ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "key", "new", "left", "generations"),
    [
        (0, 0, 0, 0, 0),  # nothing to do
        (0, 0, 5, 5, 1),
        (0, 1, 5, None, 0),
        (0, 1, 0, None, 0),
        (7, 7, 5, 5, 1),
        (7, 7, 7, 7, 1),
        (7, 7, 0, 0, 1),
        (7, 0, 5, None, 0),
        (7, 1, 5, None, 0),
        (7, 1, 0, None, 0),
    ],
)
def test_register(old: int, key: int, new: int, left: int | None, generations: int) -> None:
    """``left`` is None for a conflict, after which all is as it was."""
    reservations = Reservations()
    if old:
        reservations.register(A, 0, old, relative_target_port=1)
    before = reservations.generation
    outcome = reservations.register(A, key, new, relative_target_port=1)
    assert outcome.status == (0x18 if left is None else 0x00)
    left = old if left is None else left
    assert [one.key for one in reservations.registrations.values()] == [left] * bool(left)
    assert reservations.generation == before + generations


@pytest.mark.parametrize(
    ("old", "new", "generations"), [(0, 0, 0), (0, 5, 1), (7, 5, 1), (7, 0, 1)]
)
def test_register_and_ignore_existing_key(old: int, new: int, generations: int) -> None:
    reservations = Reservations()
    if old:
        reservations.register(A, 0, old, relative_target_port=1)
    before = reservations.generation
    assert reservations.register_anyway(A, new, relative_target_port=3).status == 0
    found = [(one.key, one.relative_target_port) for one in reservations.registrations.values()]
    assert found == [(new, 3)] * bool(new)
    assert reservations.generation == before + generations


def test_registrations_have_a_limit() -> None:
    reservations = Reservations()
    numbers = range(REGISTRATIONS_MAX)
    nexuses = [
        ItNexus("iqn.2020-01.org.example:n", bytes((number,) * 6), "t") for number in numbers
    ]
    for nexus in nexuses:
        reservations.register(nexus, 0, 1, relative_target_port=1)
    with refused(Asc.INSUFFICIENT_REGISTRATION_RESOURCES):
        reservations.register(A, 0, 1, relative_target_port=1)
    assert reservations.generation == len(reservations.registrations) == REGISTRATIONS_MAX
    # Those that there are may change theirs, and who is not there has nothing to end.
    assert reservations.register_anyway(nexuses[7], 9, relative_target_port=1).status == 0
    assert reservations.register_anyway(A, 0, relative_target_port=1).status == 0
    reservations.register_anyway(nexuses[7], 0, relative_target_port=1)
    assert reservations.register(A, 0, 1, relative_target_port=1).status == 0


def test_generation_wraps() -> None:
    reservations = registered(A)
    reservations.generation = 0xFFFF_FFFF
    reservations.register_anyway(B, 1, relative_target_port=1)
    assert reservations.generation == 0


@every_type
def test_a_holder_that_unregisters_ends_the_reservation(kind: ReservationType) -> None:
    reservations = held(kind, B, C)
    outcome = reservations.register(A, KEY[A], 0, relative_target_port=1)
    is_shared = kind in {WEAR, EAAR}
    assert (reservations.persistent is not None) is is_shared
    only = kind in {WERO, EARO}
    assert told(outcome) == ({Asc.RESERVATIONS_RELEASED: {B, C}} if only else {})
    # Where all hold it, with the last.
    reservations.register(B, KEY[B], 0, relative_target_port=1)
    assert told(reservations.register(C, KEY[C], 0, relative_target_port=1)) == {}
    assert reservations.persistent is None


@every_type
def test_another_that_unregisters_does_not(kind: ReservationType) -> None:
    reservations = held(kind, B, C)
    assert told(reservations.register(B, KEY[B], 0, relative_target_port=1)) == {}
    assert reservations.persistent is not None
    assert B not in reservations.rule.nexuses


# ---- reserving and releasing ---------------------------------------------------------------------


@every_type
@pytest.mark.parametrize("again", ReservationType)
def test_reserving_what_is_reserved(kind: ReservationType, again: ReservationType) -> None:
    reservations = held(kind, B)
    before = reservations.generation
    # All registrants are holders of an all registrants type.
    for nexus, holds in ((A, True), (B, kind in {WEAR, EAAR})):
        outcome = reservations.reserve(nexus, again)
        assert outcome == (Outcome() if holds and again is kind else CONFLICT)
    assert reservations.generation == before


@every_type
def test_release(kind: ReservationType) -> None:
    reservations = held(kind, B, C)
    if kind not in {WEAR, EAAR}:
        assert reservations.release(B, kind) == Outcome()
        assert reservations.persistent is not None
    other = WE if kind is EA else EA
    with refused(Asc.INVALID_RELEASE_OF_PERSISTENT_RESERVATION):
        reservations.release(A, other)
    outcome = reservations.release(A, kind)
    assert told(outcome) == ({} if kind in {WE, EA} else {Asc.RESERVATIONS_RELEASED: {B, C}})
    assert reservations.rule == Rule()
    assert reservations.release(A, kind) == Outcome()
    assert reservations.generation == len(reservations.registrations) == 3


@pytest.mark.parametrize("scope_and_type", [0x00, 0x02, 0x04, 0x09, 0x0F, 0x11, 0x23])
def test_scopes_and_types_that_there_are_not(scope_and_type: int) -> None:
    reservations = registered(A, B)
    with refused(Asc.INVALID_FIELD_IN_CDB):
        reservations.reserve(A, scope_and_type)
    with refused(Asc.INVALID_FIELD_IN_CDB):
        reservations.release(A, scope_and_type)
    # It does not matter where only registrations are removed.
    assert reservations.preempt(A, KEY[B], scope_and_type).event == "preempted"
    reservations.reserve(A, WE)
    with refused(Asc.INVALID_FIELD_IN_CDB):
        reservations.preempt(A, KEY[A], scope_and_type)
    assert reservations.persistent is not None
    assert reservations.persistent.type is WE


def test_keys() -> None:
    reservations = registered(A)
    assert reservations.has_key(A, KEY[A])
    assert not reservations.has_key(A, 0)
    assert not reservations.has_key(B, 0)


# ---- clearing and preempting ---------------------------------------------------------------------


@every_type
def test_clear(kind: ReservationType) -> None:
    reservations = held(kind, B, C)
    outcome = reservations.clear(B)
    assert told(outcome) == {Asc.RESERVATIONS_PREEMPTED: {A, C}}
    assert not reservations.registrations
    assert reservations.rule == Rule()
    assert reservations.generation == 4


@every_type
@pytest.mark.parametrize("new", ReservationType)
def test_preempting_the_holder(kind: ReservationType, new: ReservationType) -> None:
    reservations = held(kind, B, C)
    reservations.register_anyway(D, KEY[A], relative_target_port=1)
    before = reservations.generation
    outcome = reservations.preempt(B, 0 if kind in {WEAR, EAAR} else KEY[A], new)
    assert reservations.generation == before + 1
    assert reservations.persistent is not None
    assert reservations.persistent.type is new
    assert reservations.holds(B)
    if kind in {WEAR, EAAR}:
        assert set(reservations.registrations) == {B}
        assert told(outcome) == {Asc.REGISTRATIONS_PREEMPTED: {A, C, D}}
        assert outcome.aborted == {A, C, D}
        return
    assert set(reservations.registrations) == {B, C}
    expected = {Asc.REGISTRATIONS_PREEMPTED: {A, D}}
    if new is not kind:
        expected[Asc.RESERVATIONS_RELEASED] = {C}
    assert told(outcome) == expected
    assert outcome.aborted == {A, D}


@every_type
def test_preempting_another_registrant(kind: ReservationType) -> None:
    reservations = held(kind, B, C)
    outcome = reservations.preempt(B, KEY[C], EA)
    assert told(outcome) == {Asc.REGISTRATIONS_PREEMPTED: {C}}
    assert outcome.aborted == {C}
    assert set(reservations.registrations) == {A, B}
    assert reservations.persistent is not None
    assert reservations.persistent.type is kind
    assert may(reservations.rule, A, Access.EVERYTHING)


@every_type
def test_a_holder_that_preempts_itself_changes_the_type(kind: ReservationType) -> None:
    reservations = held(kind, B)
    if kind in {WEAR, EAAR}:
        return  # Its key is one of several there; see below.
    new = WE if kind is EA else EA
    outcome = reservations.preempt(A, KEY[A], new)
    assert told(outcome) == {Asc.RESERVATIONS_RELEASED: {B}}
    assert not outcome.aborted
    assert set(reservations.registrations) == {A, B}
    assert reservations.persistent is not None
    assert (reservations.persistent.holder, reservations.persistent.type) == (A, new)


def test_one_of_many_holders_that_names_its_own_key_loses_its_registration() -> None:
    reservations = held(WEAR, B)
    outcome = reservations.preempt(A, KEY[A], WEAR)
    assert outcome.attentions == ()
    assert set(reservations.registrations) == {B}
    assert reservations.persistent is not None
    reservations.preempt(B, KEY[B], WEAR)
    assert reservations.persistent is None
    assert reservations.rule == Rule()


@pytest.mark.parametrize("kind", [None, WE, EA, WERO, EARO])
def test_a_key_of_zero_names_nobody_unless_all_hold_it(kind: ReservationType | None) -> None:
    reservations = registered(A, B) if kind is None else held(kind, B)
    with refused(Asc.INVALID_FIELD_IN_PARAMETER_LIST):
        reservations.preempt(B, 0, WE)
    assert len(reservations.registrations) == 2


@every_type
def test_a_key_that_nobody_has_conflicts(kind: ReservationType) -> None:
    reservations = held(kind, B)
    assert reservations.preempt(B, 0x77, kind) == CONFLICT
    assert reservations.generation == 2


def test_attentions_name_somebody() -> None:
    assert registered(A).clear(A).attentions == ()
    assert registered(A, B).clear(A).attentions == (
        Attention(Asc.RESERVATIONS_PREEMPTED, frozenset({B})),
    )
