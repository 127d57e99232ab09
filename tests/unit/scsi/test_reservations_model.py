"""Random commands of a few nexuses, against a model that keeps books another way.

The model knows no holders and no sets of entitled nexuses: it keeps a list of (nexus, key) and one
tuple for the reservation, and derives the rest from the standard's sentences each time it is asked.
"""

from __future__ import annotations

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from fairlead.errors import CheckCondition
from fairlead.scsi.cdb import Access
from fairlead.scsi.reservation_parameters import ItNexus
from fairlead.scsi.reservations import Outcome, Reservations
from fairlead.scsi.sense import Asc

NEXUSES: Final = [ItNexus(f"iqn.2020-01.org.example:{name}", bytes(6), "t") for name in "abcd"]
TYPES: Final = (1, 3, 5, 6, 7, 8)
GOOD, CONFLICT, REFUSED = 0x00, 0x18, -1

nexuses = st.sampled_from(NEXUSES)
# Few, so that nexuses share them.
keys = st.sampled_from((0, 1, 2, 3))
types = st.sampled_from(TYPES)


class Model:
    """The books."""

    def __init__(self) -> None:
        self.registered: list[tuple[ItNexus, int]] = []
        self.reservation: tuple[ItNexus, int] | None = None
        self.unit: ItNexus | None = None
        self.generation = 0

    def key_of(self, nexus: ItNexus) -> int:
        return dict(self.registered).get(nexus, 0)

    def is_for_all(self) -> bool:
        return self.reservation is not None and self.reservation[1] in {7, 8}

    def holders(self) -> list[ItNexus]:
        if self.reservation is None:
            return []
        if self.is_for_all():
            return [nexus for nexus, _ in self.registered]
        return [self.reservation[0]]

    def forget(self, nexus: ItNexus) -> None:
        """A registration goes; a reservation goes with its last holder."""
        self.registered = [pair for pair in self.registered if pair[0] != nexus]
        if self.is_for_all():
            if not self.registered:
                self.reservation = None
        elif self.reservation is not None and self.reservation[0] == nexus:
            self.reservation = None

    def may(self, nexus: ItNexus, needs: Access) -> bool:
        """Spec: SPC-4 r37, the sentences on each type in §5.13.1 and the type codes."""
        if self.unit is not None:
            return nexus == self.unit or needs is Access.NOTHING
        if self.reservation is None or needs <= Access.STATUS:
            return True
        kind = self.reservation[1]
        if needs is Access.READ and kind in {1, 5, 7}:
            return True
        if kind in {1, 3}:
            return nexus == self.reservation[0]
        return self.key_of(nexus) != 0

    def lost_by_preemption(self, nexus: ItNexus, named: int, kind: int) -> list[ItNexus] | int:
        """Who loses a registration by it, or how it is refused."""
        having = [other for other, key in self.registered if key == named]
        holder_is_named = self.reservation is not None and (
            named == 0 if self.is_for_all() else self.reservation[0] in having
        )
        if holder_is_named:
            if self.is_for_all():
                having = [other for other, _ in self.registered]
            lost = [other for other in having if other != nexus]
            for other in lost:
                self.forget(other)
            self.reservation = (nexus, kind)
            return lost
        if named == 0:
            return REFUSED
        if not having:
            return CONFLICT
        for other in having:
            self.forget(other)
        return having


class ReservationsMachine(RuleBasedStateMachine):
    """Both do the same, and must agree on everything that can be seen."""

    @initialize()
    def begin(self) -> None:
        self.real = Reservations()
        self.model = Model()

    @rule(nexus=nexuses)
    def reserve_unit(self, nexus: ItNexus) -> None:
        is_free = not self.model.registered and self.model.unit in {None, nexus}
        assert self.real.reserve_unit(nexus).status == (GOOD if is_free else CONFLICT)
        if is_free:
            self.model.unit = nexus

    @rule(nexus=nexuses)
    def release_unit(self, nexus: ItNexus) -> None:
        expected = CONFLICT if self.model.registered else GOOD
        assert self.real.release_unit(nexus).status == expected
        if self.model.unit == nexus:
            self.model.unit = None

    @rule(nexus=nexuses)
    def lose(self, nexus: ItNexus) -> None:
        assert self.real.nexus_lost(nexus) is (self.model.unit == nexus)
        if self.model.unit == nexus:
            self.model.unit = None

    @rule()
    def reset(self) -> None:
        assert self.real.reset() is (self.model.unit is not None)
        self.model.unit = None

    @rule(nexus=nexuses, key=keys, new=keys, ignores=st.booleans())
    def register(self, nexus: ItNexus, key: int, new: int, *, ignores: bool) -> None:
        if self.model.unit is not None:
            return  # Refused before it comes here.
        if ignores:
            outcome = self.real.register_anyway(nexus, new, relative_target_port=1)
        else:
            outcome = self.real.register(nexus, key, new, relative_target_port=1)
        old = self.model.key_of(nexus)
        if not ignores and key != old:
            assert outcome.status == CONFLICT
            return
        assert outcome.status == GOOD
        told: set[ItNexus] = set()
        if new == 0:
            if nexus in self.model.holders() and self.model.reservation is not None:
                kind = self.model.reservation[1]
                told = {other for other, _ in self.model.registered if kind in {5, 6}} - {nexus}
            self.model.forget(nexus)
        else:
            self.model.registered = [
                (other, new if other == nexus else others)
                for other, others in self.model.registered
            ]
            if old == 0:
                self.model.registered.append((nexus, new))
        self.model.generation += old != 0 or new != 0
        self.check_told(outcome, {Asc.RESERVATIONS_RELEASED: told})

    @rule(nexus=nexuses, kind=types)
    def reserve(self, nexus: ItNexus, kind: int) -> None:
        if not self.model.key_of(nexus):
            return
        expected = GOOD
        if self.model.reservation is None:
            self.model.reservation = (nexus, kind)
        elif nexus not in self.model.holders() or kind != self.model.reservation[1]:
            expected = CONFLICT
        outcome = self.real.reserve(nexus, kind)
        assert outcome.status == expected
        self.check_told(outcome, {})

    @rule(nexus=nexuses, kind=types)
    def release(self, nexus: ItNexus, kind: int) -> None:
        if not self.model.key_of(nexus):
            return
        try:
            outcome = self.real.release(nexus, kind)
        except CheckCondition:
            assert self.model.reservation is not None
            assert nexus in self.model.holders()
            assert kind != self.model.reservation[1]
            return
        told: set[ItNexus] = set()
        if self.model.reservation is not None and nexus in self.model.holders():
            assert kind == self.model.reservation[1]
            if kind not in {1, 3}:
                told = {other for other, _ in self.model.registered} - {nexus}
            self.model.reservation = None
        assert outcome.status == GOOD
        self.check_told(outcome, {Asc.RESERVATIONS_RELEASED: told})

    @rule(nexus=nexuses)
    def clear(self, nexus: ItNexus) -> None:
        if not self.model.key_of(nexus):
            return
        told = {other for other, _ in self.model.registered} - {nexus}
        self.model.registered, self.model.reservation = [], None
        self.model.generation += 1
        self.check_told(self.real.clear(nexus), {Asc.RESERVATIONS_PREEMPTED: told})

    @rule(nexus=nexuses, named=keys, kind=types)
    def preempt(self, nexus: ItNexus, named: int, kind: int) -> None:
        if not self.model.key_of(nexus):
            return
        before = self.model.reservation
        lost = self.model.lost_by_preemption(nexus, named, kind)
        try:
            outcome = self.real.preempt(nexus, named, kind)
        except CheckCondition:
            assert lost == REFUSED
            return
        if isinstance(lost, int):
            assert outcome.status == lost
            return
        self.model.generation += 1
        after = self.model.reservation
        left = {other for other, _ in self.model.registered} - {nexus}
        is_changed = before is not None and after is not None and before[1] != after[1]
        self.check_told(
            outcome,
            {
                Asc.REGISTRATIONS_PREEMPTED: set(lost) - {nexus},
                Asc.RESERVATIONS_RELEASED: left if is_changed else set(),
            },
        )
        assert outcome.aborted == set(lost)

    def check_told(self, outcome: Outcome, expected: dict[Asc, set[ItNexus]]) -> None:
        found = {attention.asc: set(attention.nexuses) for attention in outcome.attentions}
        assert found == {asc: told for asc, told in expected.items() if told}

    @invariant()
    def both_agree(self) -> None:
        assert self.real.generation == self.model.generation
        assert self.real.reserved_by == self.model.unit
        found = [(nexus, one.key) for nexus, one in self.real.registrations.items()]
        assert found == self.model.registered
        held = self.real.persistent
        assert (held is None) is (self.model.reservation is None)
        for nexus in NEXUSES:
            assert self.real.holds(nexus) is (nexus in self.model.holders())
            for needs in Access:
                rule = self.real.rule
                allowed = needs <= rule.permits or nexus in rule.nexuses
                assert allowed is self.model.may(nexus, needs), (nexus, needs)

    @override
    def teardown(self) -> None:
        assert not (self.real.registrations and self.real.reserved_by)


ReservationsMachine.TestCase.settings = settings(stateful_step_count=40)
TestReservations = ReservationsMachine.TestCase
