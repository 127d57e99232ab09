from __future__ import annotations

import pytest

from fairlead.control.admission import NOTHING, Admission
from fairlead.errors import ConfigError
from fairlead.model.shares import DeviceConfig
from fairlead.sched.settings import Rate

VDA = DeviceConfig(name="vda", iops=1000, bytes_per_s=100 << 20)


def iops(count: int) -> Rate:
    return Rate(iops=count)


def test_four_fifths_of_a_device_can_be_guaranteed_and_not_one_more() -> None:
    admission = Admission([VDA])
    assert admission.ask("a", "vda", iops(500)) is None
    assert admission.ask("b", "vda", iops(300)) is None
    assert admission.ask("c", "vda", iops(1)) == (
        "guarantees on vda would be 801 IOPS, and 800 can be guaranteed (80 % of 1000): "
        "a 500, b 300, c 1"
    )
    assert (admission.has("b", "vda"), admission.has("c", "vda")) == (True, False)


def test_bytes_are_summed_by_themselves() -> None:
    admission = Admission([VDA])
    assert admission.ask("a", "vda", iops(800)) is None
    assert admission.ask("b", "vda", Rate(bytes_per_s=80 << 20)) is None
    refusal = admission.ask("c", "vda", Rate(bytes_per_s=1 << 20))
    assert refusal is not None
    assert refusal.startswith("guarantees on vda would be 84934656 bytes/s, and 83886080 can be")


def test_a_device_of_unknown_capacity_takes_every_guarantee() -> None:
    admission = Admission([VDA])
    assert admission.ask("a", "vdb", iops(10**9)) is None
    only_iops = Admission([DeviceConfig(name="vda", iops=10)])
    assert only_iops.ask("a", "vda", Rate(bytes_per_s=1 << 40)) is None


def test_who_was_refused_waits_in_turn() -> None:
    admission = Admission([VDA])
    admission.ask("a", "vda", iops(800))
    for key in ("b", "c"):
        assert admission.ask(key, "vda", iops(10)) is not None
    assert admission.waiting("vda") == ["b", "c"]
    admission.give_back("b", "vda")
    assert admission.waiting("vda") == ["c"]
    assert admission.ask("c", "vda", NOTHING) is None
    assert admission.waiting("vda") == []


def test_a_new_guarantee_takes_the_place_of_the_old_one() -> None:
    admission = Admission([VDA])
    admission.ask("a", "vda", iops(800))
    assert admission.ask("a", "vda", iops(700)) is None
    assert admission.ask("b", "vda", iops(100)) is None


def test_what_could_be_is_checked_without_being_done() -> None:
    admission = Admission([VDA])
    admission.ask("a", "vda", iops(500))
    with pytest.raises(ConfigError, match=r"would be 900 IOPS.*: a 500, b 400 \(lower a guarant"):
        admission.check("vda", {"b": iops(400)})
    admission.check("vda", {"a": iops(1), "b": iops(400)})
    assert not admission.has("b", "vda")


def test_of_many_names_the_newest_are_told() -> None:
    admission = Admission([VDA])
    for number in range(8):
        admission.ask(f"c{number}", "vda", iops(100))
    refusal = admission.ask("new", "vda", iops(100))
    assert refusal is not None
    assert refusal.endswith(": c4 100, c5 100, c6 100, c7 100, new 100 and 4 more")


def test_nothing_is_kept_of_who_has_gone() -> None:
    admission = Admission([VDA])
    for key in ("a", "b"):
        admission.ask(key, "vda", iops(500))
    for key in ("a", "b"):
        admission.give_back(key, "vda")
    assert (admission._granted, admission._waiting) == ({}, {})
