"""Numbering: what a target may say after what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fairlead.testing.outcome import TargetViolation
from fairlead.testing.sequence import Sequence


def window(exp_cmd_sn: int, max_cmd_sn: int) -> Any:
    return cast("Any", SimpleNamespace(exp_cmd_sn=exp_cmd_sn, max_cmd_sn=max_cmd_sn))


def test_stat_sn_begins_anywhere_and_goes_round() -> None:
    sequence = Sequence(cmd_sn=1)
    assert sequence.acknowledged_stat_sn == 0
    sequence.receive_status(0xFFFF_FFFF)
    sequence.receive_next_status(0)
    sequence.receive_status(0)
    assert sequence.acknowledged_stat_sn == 1


@pytest.mark.parametrize("stat_sn", [7, 9, 10])
def test_stat_sn_out_of_sequence(stat_sn: int) -> None:
    sequence = Sequence(cmd_sn=1)
    sequence.receive_status(7)
    if stat_sn == 10:
        with pytest.raises(TargetViolation, match="StatSN 10 shown, expected 8"):
            sequence.receive_next_status(stat_sn)
    else:
        with pytest.raises(TargetViolation, match=f"StatSN {stat_sn}, expected 8"):
            sequence.receive_status(stat_sn)


def test_window_opens_and_closes() -> None:
    sequence = Sequence(cmd_sn=0xFFFF_FFFF)
    sequence.receive_window(window(0xFFFF_FFFF, 0))
    assert [sequence.take_cmd_sn(), sequence.take_cmd_sn()] == [0xFFFF_FFFF, 0]
    assert not sequence.window_is_open
    sequence.receive_window(window(1, 1))
    assert sequence.window_is_open


def test_a_closed_window_is_max_one_below_exp() -> None:
    sequence = Sequence(cmd_sn=5)
    sequence.receive_window(window(5, 5))
    sequence.take_cmd_sn()
    sequence.receive_window(window(6, 5))
    assert not sequence.window_is_open


@pytest.mark.parametrize(
    ("exp_cmd_sn", "max_cmd_sn", "rule"),
    [
        (4, 20, "ExpCmdSN 4 after 5"),
        (6, 20, "ExpCmdSN 6, but our next CmdSN is 5"),
        (5, 3, "MaxCmdSN 3 below ExpCmdSN 5 - 1"),
        (5, 9, "MaxCmdSN 9 after 10"),
    ],
)
def test_window_rules(exp_cmd_sn: int, max_cmd_sn: int, rule: str) -> None:
    """Spec: RFC 7143 §4.2.2.1."""
    sequence = Sequence(cmd_sn=5)
    sequence.receive_window(window(5, 10))
    with pytest.raises(TargetViolation, match=rule):
        sequence.receive_window(window(exp_cmd_sn, max_cmd_sn))


def test_a_cmd_sn_that_a_test_sent_counts_only_if_it_was_due() -> None:
    sequence = Sequence(cmd_sn=5)
    sequence.skip_cmd_sn(7)
    assert sequence.next_cmd_sn == 5
    sequence.skip_cmd_sn(5)
    assert sequence.next_cmd_sn == 6
