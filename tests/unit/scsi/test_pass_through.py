"""The rules, and what an ordinary Linux initiator needs of them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fairlead.scsi.cdb import Access
from fairlead.scsi.commands import COMMANDS
from fairlead.scsi.pass_through import (
    DANGEROUS,
    POLICIES,
    VARIABLE_LENGTH,
    Policy,
    Rule,
    Treatment,
    rules,
)

PASS, ANSWER, PAGE, REFUSE = Treatment
RESERVATIONS = (0x16, 0x17, 0x56, 0x57, 0x5E, 0x5F)
# SPC-4, SBC-3, SMC-3: what changes the medium, the device's settings or its state, and what keeps
# others from it.
CHANGES = {
    *(0x04, 0x07, 0x0A, 0x15, 0x16, 0x19, 0x1B, 0x1D, 0x2A, 0x2E, 0x37, 0x3B, 0x3F, 0x40, 0x41),
    *(0x42, 0x48, 0x4C, 0x50, 0x51, 0x53, 0x55, 0x56, 0x5F),
    *(0x85, 0x87, 0x89, 0x8A, 0x8B, 0x8E, 0x93, 0x94, 0x9C, 0x9F),
    *(0xA1, 0xA4, 0xA5, 0xA6, 0xAA, 0xAC, 0xAE, 0xB5),
}


def rule_for(opcode: int, service_action: int | None = None, **options: object) -> Rule:
    found = {(r.opcode, r.service_action): r for r in rules(**options)}  # type: ignore[arg-type]
    default = Rule(opcode, None, PASS, is_harmless=False)
    return found.get((opcode, service_action)) or found.get((opcode, None), default)


def test_rows_are_in_order_and_each_is_there_once() -> None:
    codes = [
        (p.opcode, 0x10000 if p.service_action is None else p.service_action) for p in POLICIES
    ]
    assert all(before < after for before, after in pairwise(codes))
    for policy in POLICIES:
        actions = range(0x10000) if policy.opcode == VARIABLE_LENGTH else range(0x20)
        assert policy.service_action is None or policy.service_action in actions


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_what_is_not_passed_says_why(policy: Policy) -> None:
    is_plain = policy.treatment is PASS and policy.is_harmless
    assert is_plain or policy.why
    assert not (policy.may_be_dangerous and policy.is_harmless)


def test_what_changes_something_is_never_harmless() -> None:
    """Spec: SBC-3, write protection; a row holds for devices of every type."""
    for policy in POLICIES:
        if policy.opcode in CHANGES:
            assert not policy.is_harmless, policy.name
    for command in COMMANDS:
        if command.writes_medium:
            assert not rule_for(command.opcode, command.service_action).is_harmless, command.name


def test_what_only_reads_our_own_volumes_is_harmless() -> None:
    for command in COMMANDS:
        if not command.writes_medium and command.opcode not in CHANGES:
            rule = rule_for(command.opcode, command.service_action)
            assert rule.is_harmless, command.name
            assert rule.treatment is not REFUSE, command.name


def test_reservations_and_luns_are_ours() -> None:
    for opcode in (*RESERVATIONS, 0xA0):
        assert rule_for(opcode).treatment is ANSWER


def test_nothing_reaches_other_devices_whatever_is_allowed() -> None:
    for opcode in (0x18, 0x39, 0x3A, 0x7E, 0x83, 0x84):
        assert rule_for(opcode, allow=DANGEROUS).treatment is REFUSE


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_dangerous_command_is_passed_when_it_is_allowed_by_name(name: str) -> None:
    refused, allowed = rules(), rules(allow=[name.lower()])
    changed = [now for before, now in zip(refused, allowed, strict=True) if before != now]
    assert changed
    for rule in changed:
        assert (rule.treatment, rule.is_harmless) == (PASS, False)
    assert {p.allow_name for p in POLICIES if p.may_be_dangerous} == set(DANGEROUS)


def test_one_name_allows_a_command_in_every_length() -> None:
    assert "ATA PASS-THROUGH" in DANGEROUS
    passed = [r.opcode for r in rules(allow=["ATA PASS-THROUGH"]) if r not in rules()]
    assert passed == [VARIABLE_LENGTH, 0x85, 0xA1]


@pytest.mark.parametrize("opcode", [0x15, 0x55])
def test_mode_select_is_dangerous_for_what_has_blocks(opcode: int) -> None:
    """Spec: SPC-4, mode parameter block descriptors."""
    assert rule_for(opcode).treatment is REFUSE
    for options in ({"has_blocks": False}, {"allow": ["mode select"]}):
        rule = rule_for(opcode, **options)
        assert (rule.treatment, rule.is_harmless, rule.attention) == (PASS, False, 0x2A01)


def test_what_one_client_changes_is_told_to_the_others() -> None:
    told = {rule.opcode: rule.attention for rule in rules() if rule.attention is not None}
    assert told == {0x15: 0x2A01, 0x4C: 0x2A02, 0x55: 0x2A01}


@pytest.mark.parametrize("has_blocks", [True, False])
def test_what_a_reservation_permits(*, has_blocks: bool) -> None:
    """Spec: SPC-4 r37 and SBC-3 r36, commands allowed in the presence of reservations."""
    found = {
        (r.opcode, r.service_action): r.access
        for r in rules(has_blocks=has_blocks)
        if r.access is not None
    }
    always = {code for code, access in found.items() if access == Access.NOTHING}
    assert always == {(0x4D, None), (0x9E, 0x13), *((0xA3, n) for n in (0x05, 0x0A, 0x0B, 14, 15))}
    reads = {code for code, access in found.items() if access == Access.READ}
    of_all = {(0x1C, None), (0x3C, None), (0x8C, None), (0x9B, None), (0xA2, None), (0xA3, 0x10)}
    of_disks = {(0xB7, None), (0x7F, 0x09), (0x7F, 0x0A)}
    assert reads == of_all | of_disks | ({(0x37, None)} if has_blocks else set())
    everything = {code for code, access in found.items() if access == Access.EVERYTHING}
    assert (everything == set()) is has_blocks


def test_what_reads_a_disk_moves_a_tape() -> None:
    for command in COMMANDS:
        if command.access is Access.READ:
            assert rule_for(command.opcode, command.service_action).access is None, command.name
            rule = rule_for(command.opcode, command.service_action, has_blocks=False)
            assert rule.access == Access.EVERYTHING, command.name
    for opcode in (0x1B, 0x37):  # LOAD UNLOAD, INITIALIZE ELEMENT STATUS WITH RANGE
        assert rule_for(opcode, has_blocks=False).access == Access.EVERYTHING


def test_port_groups_go_with_the_devices_own_identity() -> None:
    report, set_ = (0xA3, 0x0A), (0xA4, 0x0A)
    assert rule_for(*report).treatment is PASS
    assert rule_for(*set_).treatment is REFUSE
    assert rule_for(*set_, allow=["SET TARGET PORT GROUPS"]).treatment is PASS
    for code in (report, set_):
        assert rule_for(*code, identity="own", allow=DANGEROUS).treatment is REFUSE


def test_maintenance_out_is_refused_but_for_what_has_a_row() -> None:
    assert rule_for(0xA4, 0x0F).treatment is REFUSE
    assert rule_for(0xA4, 0x00).treatment is PASS
    assert rule_for(0xA3, 0x0F).is_harmless
    assert not rule_for(0xA3, 0x1F).is_harmless
