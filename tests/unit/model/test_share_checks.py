"""Mistakes between groups, rules and the rest of a document, as ``fairlead check`` tells them."""

from __future__ import annotations

import pytest

from fairlead.model.document import DocumentError, read_document

GROUPS = """\
grouping = "group"
[[groups]]
name = "backup"
initiators = ["*:backup-*"]
"""
COST = """\
[[devices]]
name = 'vda'
cost.read_base_us = 60
cost.read_per_kib_us = 5
cost.write_base_us = 180
cost.write_per_kib_us = 5
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        read_document(text)
    return [f"{mistake.line}: {mistake}" for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "explained"),
    [
        (
            "[[shares]]\ncontexts = '*'\nweight = 0",
            "3: shares[0].weight = 0: out of range (take at least 1)",
        ),
        (
            "[[shares]]\ncontexts = '*'\nweight = 1001",
            "3: shares[0].weight = 1001: out of range (take at most 1000)",
        ),
        (
            "[[shares]]\ncontexts = '*'\nlimit = { bytes_per_s = '10K' }",
            '3: shares[0].limit.bytes_per_s = "10K": out of range (take at least 1048576)',
        ),
        (
            "[[shares]]\ncontexts = '*'\npriority = 'high'",
            "3: shares[0].priority = \"high\": not one of the choices (take 'urgent', 'normal' or "
            "'idle')",
        ),
        (
            "[[shares]]\ncontexts = '*'\nlimit = { iosp = 5 }",
            "3: shares[0].limit.iosp: no such field (did you mean iops? there are: "
            "bytes_per_s, iops)",
        ),
        (
            "[[shares]]\ncontexts = ''\nweight = 2",
            '2: shares[0].contexts = "": empty (write what it stands for)',
        ),
        (
            f"[[shares]]\ncontexts = '{'x' * 513}'\nweight = 2",
            f'2: shares[0].contexts = "{"x" * 79}...: too long (at most 512 characters are '
            "possible)",
        ),
        (
            "[[shares]]\ncontexts = '*'",
            "1: shares[0]: says nothing (there are: weight, priority, limit.iops, "
            "limit.bytes_per_s, burst_s, guarantee.iops, guarantee.bytes_per_s, queued_max)",
        ),
        (
            "[[shares]]\nweight = 2",
            "1: shares[0].contexts: missing (add contexts = ...)",
        ),
        (
            "[[shares]]\ncontexts = 'group:x'\nweight = 2",
            "2: shares[0].contexts = \"group:x\": no group 'x' (there are none)",
        ),
        (
            GROUPS + "[[shares]]\ncontexts = 'group:bakup'\nweight = 2",
            "6: shares[0].contexts = \"group:bakup\": no group 'bakup' (there are: backup)",
        ),
        (
            GROUPS.replace('grouping = "group"', ""),
            "3: groups[0].name = \"backup\": groups have no effect with grouping 'initiator' "
            '(set grouping = "group" at the top of the document)',
        ),
        (
            GROUPS + "chap = ['eve', 'a*']",
            "5: groups[0].chap[0] = \"eve\": no CHAP account 'eve' (there are none)",
        ),
        (
            "[[devices]]\nname = 'vda'",
            "1: devices[0]: device 'vda' has no capacity (give iops, bytes_per_s or cost, "
            "which fairlead calibrate measures, or kernel_context)",
        ),
        (
            COST.replace("read_base_us = 60", "read_base_us = 0"),
            "3: devices[0].cost.read_base_us = 0: out of range (take at least 0.001)",
        ),
        (
            COST.replace("write_per_kib_us = 5", "write_per_kib_us = 10_001"),
            "6: devices[0].cost.write_per_kib_us = 10001: out of range (take at most 10000)",
        ),
        (
            COST.replace("cost.write_base_us = 180\n", ""),
            "3: devices[0].cost.write_base_us: missing (add write_base_us = ...)",
        ),
        (
            COST + "cost.write_us = 1",
            "7: devices[0].cost.write_us: no such field (did you mean write_base_us? there "
            "are: read_base_us, read_per_kib_us, write_base_us, write_per_kib_us)",
        ),
        (
            "[[devices]]\nname = 'vda'\niops = 1\n[[devices]]\nname = 'vda'\niops = 1",
            "5: devices[1].name = \"vda\": device 'vda' is there twice (first as devices[0]) "
            "(rename one)",
        ),
        (
            "[[policies]]\nkind = 'latency-goal'\ninterval_s = 0",
            "3: policies[0].interval_s = 0: out of range (take at least 0.01)",
        ),
        (
            "[engine]\nscheduler = 'cfq'",
            "2: engine.scheduler = \"cfq\": not one of the choices (take 'fair' or 'fifo')",
        ),
    ],
)
def test_each_mistake_has_line_value_and_remedy(text: str, explained: str) -> None:
    assert mistakes(text) == [explained]


def test_a_guarantee_above_the_limit_of_one_rule() -> None:
    [found] = mistakes(
        "[[shares]]\ncontexts = 'a'\nlimit = { iops = 100 }\nguarantee = { iops = 200 }"
    )
    assert found == (
        "4: shares[0].guarantee.iops = 200: context 'a' would get guarantee.iops 200 of shares[0] "
        "and limit.iops 100 of shares[0] (lower the guarantee, raise the limit, or say "
        'limit.iops = "none" in shares[0])'
    )


def test_a_guarantee_above_a_limit_that_another_rule_gives() -> None:
    first = "[[shares]]\ncontexts = '*'\nlimit = { bytes_per_s = '1M' }\n"
    second = "[[shares]]\ncontexts = '*:db-*'\nguarantee = { bytes_per_s = '2M' }\n"
    [found] = mistakes(first + second)
    assert found.startswith("6: shares[1].guarantee.bytes_per_s = 2097152: context 'x:db-x' would")
    # In the other order the limit has come later, and is to blame.
    [found] = mistakes(second + first)
    assert found.startswith("6: shares[1].limit.bytes_per_s = 1048576: context 'x:db-x' would")


def test_rules_that_meet_on_a_group_only_are_seen_to_meet() -> None:
    first = "[[shares]]\ncontexts = '*ackup'\nlimit = { iops = 10 }\n"
    second = "[[shares]]\ncontexts = 'group:*'\nguarantee = { iops = 20 }\n"
    [found] = mistakes(GROUPS + first + second)
    assert "context 'group:backup' would get guarantee.iops 20 of shares[1]" in found


def test_a_limit_that_is_taken_away_again_is_none() -> None:
    document = read_document(
        "[[shares]]\ncontexts = '*'\nlimit = { iops = 10 }\n"
        "[[shares]]\ncontexts = 'a'\nlimit = { iops = 'none' }\nguarantee = { iops = 20 }\n"
    )
    assert len(document.shares) == 2


def test_rules_for_groups_may_wait_for_another_grouping() -> None:
    """``--grouping none`` on a document with groups is how they are compared."""
    text = GROUPS.replace('"group"', '"none"') + "[[shares]]\ncontexts = 'group:x'\nweight = 2"
    assert read_document(text).grouping == "none"
