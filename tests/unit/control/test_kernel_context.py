from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from fairlead.control.blkio_group import BlkioGroup
from fairlead.control.block_stack import Disk, Place
from fairlead.control.kernel_context import (
    ELEVATORS,
    Note,
    Resolution,
    Wish,
    elevator_for,
    resolve,
    together,
)
from fairlead.control.kernel_findings import KernelFindings
from fairlead.dataplane.kernel import KernelContext, KernelProbe
from fairlead.model.shares import KernelContextWord

ALL = ("none", "mq-deadline", "kyber", "bfq")
REASON = "Operation not permitted (os error 1)"
EVERYTHING = KernelFindings(
    release="6.1",
    user=0,
    capabilities=(),
    io_uring_disabled=0,
    cgroup=BlkioGroup(directory="/blkio", version=1),
    probe=KernelProbe(),
)


def disk(elevator: str | None, name: str = "sda", **fields: Any) -> Disk:
    plain: dict[str, Any] = {"elevators": ALL if elevator else (), "is_loop": False}
    return Disk(name=name, elevator=elevator, scheduler=Path("/nowhere"), **{**plain, **fields})


def wish(*disks: Disk, **fields: Any) -> Wish:
    plain: dict[str, Any] = {
        "device": "sda",
        "asked": "ring",
        "kind": "direct",
        "read_only": False,
        "place": Place(disks=disks),
        "driver": "io_uring",
    }
    return Wish(**{**plain, **fields})


def without(**reasons: str) -> KernelFindings:
    return replace(EVERYTHING, probe=KernelProbe(**reasons))


def no_groups(**fields: Any) -> KernelFindings:
    cgroup = BlkioGroup(directory=None, version=2, reason="no groups here", **fields)
    return replace(EVERYTHING, cgroup=cgroup)


def texts(notes: tuple[Note, ...]) -> list[str]:
    return [note.text for note in notes]


def test_both_layers_have_the_same_words() -> None:
    assert get_args(KernelContext) == get_args(KernelContextWord) == tuple(ELEVATORS)


@pytest.mark.parametrize(
    ("asked", "elevator", "weights"),
    [
        ("priority", "mq-deadline", "2 classes of priority"),
        ("ring", "bfq", "weights of groups"),
        ("experimental-move-cgroup", "bfq", "weights of groups"),
        ("experimental-set-ioprio", "bfq", "8 levels of priority"),
        ("experimental-set-ioprio", "mq-deadline", "2 classes of priority"),
    ],
)
def test_where_everything_is_there_nothing_is_missing(
    asked: KernelContext, elevator: str, weights: str
) -> None:
    found = resolve(wish(disk(elevator), asked=asked), EVERYTHING)
    assert (found.asked, found.mode, found.weights) == (asked, asked, weights)
    assert (found.missing, found.not_covered) == ((), ())
    assert [d.name for d in found.disks] == ["sda"]


def test_off_asks_for_nothing() -> None:
    found = resolve(wish(disk("bfq"), asked="off", kind="file"), without(io_uring=REASON))
    assert (found.mode, found.weights, found.missing, found.not_covered) == (
        *("off", "nothing"),
        (),
        (),
    )


@pytest.mark.parametrize("kind", ["null", "memory", "sim"])
def test_kinds_without_kernel_io_are_off(kind: str) -> None:
    found = resolve(wish(kind=kind, place=None), EVERYTHING)
    assert (found.mode, found.disks) == ("off", ())
    assert found.missing == (Note(text=f"{kind} volumes ask nothing of the kernel"),)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (
            Place(disks=(disk("bfq"),), file_system="fuse.x"),
            "fuse.x does its I/O in threads of its own, for nobody",
        ),
        (Place(disks=(), file_system="tmpfs"), "sda has no disk below"),
    ],
)
def test_places_where_nobody_sees_who_asks_are_off(place: Place, text: str) -> None:
    for asked in ("ring", "priority"):
        found = resolve(wish(asked=asked, place=place), EVERYTHING)
        assert (found.mode, texts(found.missing)) == ("off", [text])


@pytest.mark.parametrize(
    ("findings", "text", "remedy"),
    [
        (
            EVERYTHING,
            "ring needs the driver io_uring, and threads is in use",
            'driver = "io_uring", or fairlead serve --driver io_uring',
        ),
        (
            without(io_uring=REASON),
            f"ring needs the driver io_uring, and threads is in use: {REASON}",
            None,
        ),
        (
            replace(without(io_uring=REASON), io_uring_disabled=2),
            f"ring needs the driver io_uring, and threads is in use: {REASON}",
            "sysctl kernel.io_uring_disabled=0",
        ),
    ],
)
def test_threads_have_no_rings(findings: KernelFindings, text: str, remedy: str | None) -> None:
    found = resolve(wish(disk("bfq"), driver="threads"), findings)
    assert (found.mode, found.missing) == ("off", (Note(text=text, remedy=remedy),))


def test_threads_have_priorities_which_bfq_heeds_too() -> None:
    for elevator, weights in (("bfq", "8 levels of priority"), ("mq-deadline", "2 classes of")):
        asked = wish(disk(elevator), asked="priority", driver="threads")
        found = resolve(asked, without(io_uring=REASON, ioprio=REASON))
        assert (found.mode, found.missing) == ("priority", ())
        assert found.weights.startswith(weights)


@pytest.mark.parametrize(
    ("asked", "field", "text"),
    [
        ("ring", "io_uring", "no io_uring: "),
        ("ring", "keeper", "no threads with a priority of their own: "),
        ("ring", "ring", "no rings with keepers: "),
        ("priority", "ioprio", "no priorities of requests: "),
        ("experimental-set-ioprio", "keeper", "no threads with a priority of their own: "),
    ],
)
def test_what_the_kernel_refuses_is_not_had(asked: KernelContext, field: str, text: str) -> None:
    found = resolve(wish(disk("bfq"), asked=asked), without(**{field: REASON}))
    assert (found.mode, texts(found.missing)) == ("off", [text + REASON])


@pytest.mark.parametrize(
    ("field", "remedy"), [("io_uring", "sysctl kernel.io_uring_disabled=0"), ("ring", None)]
)
def test_a_setting_is_the_remedy_for_io_uring_alone(field: str, remedy: str | None) -> None:
    forbidden = replace(without(**{field: REASON}), io_uring_disabled=1)
    [note] = resolve(wish(disk("bfq")), forbidden).missing
    assert note.remedy == remedy


def test_polled_rings_that_are_refused_are_rung() -> None:
    refused = without(polled=REASON)
    assert resolve(wish(disk("bfq")), refused).missing == ()
    found = resolve(wish(disk("bfq"), is_polled=True), refused)
    assert found.mode == "ring"
    assert texts(found.missing) == [f"no polled rings, so keepers are rung: {REASON}"]


@pytest.mark.parametrize(
    ("asked", "driver", "seeing"),
    [
        ("off", "io_uring", ()),
        ("priority", "io_uring", ("mq-deadline",)),
        ("priority", "threads", ("mq-deadline", "bfq")),
        ("ring", "io_uring", ("bfq",)),
        ("experimental-move-cgroup", "io_uring", ("bfq",)),
        ("experimental-set-ioprio", "io_uring", ("mq-deadline", "bfq")),
    ],
)
def test_an_elevator_sees_contexts_if_it_tells_them_apart(
    asked: KernelContext, driver: str, seeing: tuple[str, ...]
) -> None:
    for elevator in (*ALL, None):
        found = resolve(wish(disk(elevator), asked=asked, driver=driver), EVERYTHING)
        assert found.mode == asked
        assert found.sees == (elevator in seeing), elevator
        assert found.sees == (found.weights != "nothing")


def test_one_disk_of_several_that_sees_is_enough() -> None:
    assert resolve(wish(disk("none"), disk("bfq", "sdb")), EVERYTHING).sees
    assert not resolve(wish(disk("none"), disk("kyber", "sdb")), EVERYTHING).sees


@pytest.mark.parametrize("elevator", ["mq-deadline", "none", "kyber"])
def test_rings_wait_for_bfq(elevator: str) -> None:
    found = resolve(wish(disk(elevator)), EVERYTHING)
    assert (found.mode, found.sees, found.weights) == ("ring", False, "nothing")
    assert found.missing == (
        Note(
            text=f"sda has elevator {elevator}, which knows no io_contexts: no rings until it "
            "has bfq",
            remedy="echo bfq > /sys/block/sda/queue/scheduler",
        ),
    )


def test_bfq_that_guesses_who_is_interactive_is_told() -> None:
    found = resolve(wish(disk("bfq", guesses=True)), EVERYTHING)
    assert (found.mode, found.sees) == ("ring", True)
    [note] = found.missing
    assert "favours whom it takes for interactive" in note.text
    assert note.remedy == "echo 0 > /sys/block/sda/queue/iosched/low_latency"
    assert resolve(wish(disk("bfq", guesses=True), asked="off"), EVERYTHING).missing == ()


def test_bfq_that_is_not_there_is_loaded_first() -> None:
    found = resolve(wish(disk("none", elevators=("none", "mq-deadline"))), EVERYTHING)
    [note] = found.missing
    assert note.remedy == "modprobe bfq && echo bfq > /sys/block/sda/queue/scheduler"


def test_of_several_disks_without_bfq_the_first_is_named() -> None:
    found = resolve(wish(disk("none"), disk("mq-deadline", "sdb")), EVERYTHING)
    assert (found.mode, found.sees) == ("ring", False)
    assert found.missing[0].text.startswith("sda has elevator none, which knows no io_contexts")


def test_a_disk_that_can_have_no_elevator_has_no_remedy() -> None:
    found = resolve(wish(disk(None, "zram0")), EVERYTHING)
    assert not found.sees
    assert found.missing == (
        Note(text="zram0 can have no elevator, so nobody looks whose requests are"),
    )


def test_of_several_disks_those_without_bfq_are_named() -> None:
    found = resolve(wish(disk("bfq"), disk("none", "sdb")), EVERYTHING)
    assert (found.mode, found.weights) == ("ring", "weights of groups, nothing")
    [note] = found.missing
    assert note.text.startswith("sdb has elevator none")


@pytest.mark.parametrize(
    ("asked", "elevator", "why", "wanted"),
    [
        ("priority", "bfq", "goes by the priority of an io_context", "mq-deadline"),
        ("priority", "none", "heeds neither groups nor priorities", "mq-deadline"),
        ("experimental-move-cgroup", "mq-deadline", "goes by classes of priority", "bfq"),
        ("experimental-set-ioprio", "kyber", "heeds neither groups nor priorities", "bfq"),
    ],
)
def test_an_elevator_that_does_not_look_is_named_and_changes_nothing_else(
    asked: KernelContext, elevator: str, why: str, wanted: str
) -> None:
    found = resolve(wish(disk(elevator), asked=asked), EVERYTHING)
    assert (found.mode, found.weights) == (asked, "nothing")
    [note] = found.missing
    assert why in note.text
    assert note.remedy == f"echo {wanted} > /sys/block/sda/queue/scheduler"


def test_without_groups_weights_are_priorities() -> None:
    found = resolve(wish(disk("bfq")), no_groups(remedy="do this"))
    assert (found.mode, found.weights) == ("ring", "8 levels of priority")
    assert found.missing == (
        Note(text="no groups here; weights are 8 levels of priority", remedy="do this"),
    )
    found = resolve(wish(disk("bfq"), wants_cgroups=False), EVERYTHING)
    assert found.weights == "8 levels of priority"
    assert [note.remedy for note in found.missing] == ["kernel_cgroups = true"]


def test_who_moves_between_groups_needs_them() -> None:
    asked = wish(disk("bfq"), asked="experimental-move-cgroup")
    found = resolve(asked, no_groups())
    assert (found.mode, texts(found.missing)) == ("off", ["no groups here"])
    found = resolve(replace(asked, wants_cgroups=False), EVERYTHING)
    assert (found.mode, found.missing[0].remedy) == ("off", "kernel_cgroups = true")


def test_what_is_done_by_others_is_not_covered() -> None:
    place = Place(
        disks=(disk("bfq", "loop0", is_loop=True),), writes_by_threads=("dm-0 (dm-crypt)",)
    )
    found = resolve(wish(place=place, kind="file"), EVERYTHING)
    assert texts(found.not_covered) == [
        "buffered writes: the kernel writes them back later, for nobody",
        "what loop0 asks of the disk below: its own threads do that",
        "writes through dm-0 (dm-crypt): its own threads do them",
    ]
    read_only = resolve(wish(disk("bfq"), kind="file", read_only=True), EVERYTHING)
    assert read_only.not_covered == ()


def test_the_first_volume_decides_for_its_device() -> None:
    late = resolve(wish(disk("bfq")), EVERYTHING, decided="off")
    assert late.mode == "off"
    assert late.missing == (
        Note(
            text="sda is served with off since its first volume came, and could have ring",
            remedy="stop fairlead and serve again",
        ),
    )
    # The other way round it says what is in the way, once.
    other = resolve(wish(disk("none", "loop0")), EVERYTHING, decided="ring")
    assert (other.mode, other.weights) == ("ring", "nothing")
    [note] = other.missing
    assert note.text.startswith("loop0 has elevator none")
    assert resolve(wish(disk("bfq")), EVERYTHING, decided="ring").missing == ()


def test_volumes_of_a_device_are_told_together() -> None:
    found = together(
        [
            resolve(wish(disk("bfq"), kind="file"), no_groups()),
            resolve(wish(disk("bfq"), disk("none", "loop0")), no_groups(), decided="ring"),
        ]
    )
    assert [d.name for d in found.disks] == ["sda", "loop0"]
    assert len(found.missing) == 2
    assert len(found.not_covered) == 1
    assert isinstance(found, Resolution)


def test_a_volume_without_kernel_io_on_a_device_with_rings_changes_nothing() -> None:
    found = together(
        [
            resolve(wish(disk("bfq")), EVERYTHING),
            resolve(wish(kind="null", place=None), EVERYTHING, decided="ring"),
        ]
    )
    assert (found.mode, found.weights) == ("ring", "weights of groups")
    assert texts(found.missing) == ["null volumes ask nothing of the kernel"]
    assert found.not_covered == ()


@pytest.mark.parametrize(
    ("asked", "elevator"),
    [("off", "none"), ("priority", "mq-deadline"), ("ring", "bfq")],
)
def test_each_has_an_elevator_that_suits_it(asked: KernelContext, elevator: str) -> None:
    for now in ALL:
        assert elevator_for(wish(disk(now), asked=asked), EVERYTHING) == elevator


def test_no_elevator_is_wanted_for_what_cannot_be_had() -> None:
    assert elevator_for(wish(disk("none")), without(ring=REASON)) is None
