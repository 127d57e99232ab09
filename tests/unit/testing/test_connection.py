"""Addresses and the sorting of events."""

from __future__ import annotations

import pytest

from fairlead.proto.iscsi.pdu import AsyncMessage, ScsiResponse
from fairlead.testing.connection import KeyValue, Mailbox, expect_result, make_offer, parse_portal
from fairlead.testing.outcome import Result, TaskAborted
from fairlead.testing.task import TaskRequest
from tests.support.scripted_target import INITIATOR, TARGET, logged_in


@pytest.mark.parametrize(
    ("portal", "address"),
    [
        (("host", 1), ("host", 1)),
        ("192.0.2.1:3261", ("192.0.2.1", 3261)),
        ("192.0.2.1", ("192.0.2.1", 3260)),
        ("[2001:db8::1]:3261", ("2001:db8::1", 3261)),
        ("[2001:db8::1]", ("2001:db8::1", 3260)),
    ],
    ids=str,
)
def test_portal(portal: str | tuple[str, int], address: tuple[str, int]) -> None:
    assert parse_portal(portal) == address


def test_offer() -> None:
    keys: dict[str, KeyValue] = {"MaxBurstLength": 512, "InitialR2T": "No", "DataDigest": None}
    offer = make_offer(TARGET, INITIATOR, {"cid": 5}, keys)
    assert (offer.initiator_name, offer.target_name, offer.cid) == (INITIATOR, TARGET, 5)
    assert offer.keys == {"MaxBurstLength": "512", "InitialR2T": "No", "DataDigest": None}


def test_mailbox() -> None:
    initiator, target = logged_in()
    mailbox = Mailbox(initiator)
    tag = initiator.execute(TaskRequest(lun_field=bytes(8), cdb=bytes(6)))
    target.heard()
    assert mailbox.collect() == []
    target.says(AsyncMessage, event=1)
    target.says(ScsiResponse, initiator_task_tag=tag)
    assert mailbox.collect() == [tag]
    assert mailbox.outcomes == {tag: Result(status=0)}
    assert [type(pdu) for pdu in mailbox.notices] == [AsyncMessage]


def test_expect_result() -> None:
    assert expect_result(Result(status=0)) == Result(status=0)
    with pytest.raises(TaskAborted, match="why"):
        expect_result(TaskAborted("why"))
