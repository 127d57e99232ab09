from __future__ import annotations

from dataclasses import replace
from typing import get_args

from fairlead.dataplane.kernel import KernelContextInfo, KernelContextState
from fairlead.dataplane.kernel_record import KernelRecord, kernel_context_info

RING = KernelRecord(steered=9, rings=1, keeper=77, is_kept=True)


def test_a_context_is_to_the_kernel_what_it_has_now() -> None:
    lost = replace(RING, is_kept=False)
    records = {
        KernelRecord(): "plain",
        KernelRecord(reason="no threads are left"): "plain",
        RING: "ring",
        replace(RING, rings=2): "ring",
        replace(RING, rings=0): "parked",
        # Nobody but the submitter enters its ring any more.
        lost: "plain",
        replace(lost, rings=0): "plain",
        replace(RING, is_ending=True): "ending",
        replace(lost, rings=0, is_ending=True): "ending",
    }
    found = {record: kernel_context_info(record, submitted=9).state for record in records}
    assert found == records
    assert set(found.values()) == set(get_args(KernelContextState))


def test_requests_without_a_ring_are_all_others() -> None:
    assert kernel_context_info(RING, submitted=12) == KernelContextInfo(
        state="ring", ring_requests=9, plain_requests=3, keeper=77, reason=None
    )
    # One of the two numbers was read a moment before the other.
    assert kernel_context_info(RING, submitted=8).plain_requests == 0


def test_a_keeper_that_is_gone_is_not_shown_and_said_to_be() -> None:
    lost = kernel_context_info(replace(RING, is_kept=False, rings=0), submitted=9)
    assert (lost.keeper, lost.reason) == (None, "its keeper is gone")
    told = replace(RING, is_kept=False, reason="it has no cgroup: no")
    assert kernel_context_info(told, submitted=9).reason == "it has no cgroup: no"
    # That is how every context ends.
    over = kernel_context_info(replace(RING, is_kept=False, is_ending=True), submitted=9)
    assert (over.keeper, over.reason) == (None, None)


def test_a_context_that_never_had_a_keeper_has_lost_none() -> None:
    assert kernel_context_info(KernelRecord(), submitted=3) == KernelContextInfo(
        state="plain", ring_requests=0, plain_requests=3, keeper=None, reason=None
    )
