"""From the kernel context that is asked for to the one that can be had, a sentence for each step.

Pure: findings in, a resolution out. Nothing here fails; what cannot be had falls to what can, and
the resolution says why and which command would change it. See docs/kernel-contexts.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fairlead.control.block_stack import Disk, Place
    from fairlead.control.kernel_findings import KernelFindings
    from fairlead.dataplane.api import VolumeKind
    from fairlead.dataplane.kernel import KernelContext

EXPERIMENTAL: Final = "experimental-"
ELEVATORS: Final[Mapping[KernelContext, str]] = {
    "off": "none",
    # bfq goes by the io_context's priority and does not look at the request's.
    "priority": "mq-deadline",
    "ring": "bfq",
    "experimental-move-cgroup": "bfq",
    "experimental-set-ioprio": "bfq",
}
"""Which elevator suits each kernel context."""

_BY_GROUP: Final = "weights of groups"
_BY_LEVEL: Final = "8 levels of priority"
_BY_CLASS: Final = "2 classes of priority"
_BY_NOTHING: Final = "nothing"
# What tells contexts apart, by kernel context and elevator; by nothing where there is no row. No
# ring is used where the elevator is not bfq.
_WEIGHTS: Final[Mapping[tuple[KernelContext, str | None], str]] = {
    ("priority", "mq-deadline"): _BY_CLASS,
    ("ring", "bfq"): _BY_LEVEL,
    ("experimental-move-cgroup", "bfq"): _BY_GROUP,
    ("experimental-set-ioprio", "bfq"): _BY_LEVEL,
    ("experimental-set-ioprio", "mq-deadline"): _BY_CLASS,
}
# What each needs of the probe, and what that is called.
_NEEDS: Final[Mapping[KernelContext, tuple[str, ...]]] = {
    "priority": ("ioprio",),
    "ring": ("io_uring", "keeper", "ring"),
    "experimental-move-cgroup": ("io_uring",),
    "experimental-set-ioprio": ("io_uring", "keeper"),
}
PASSED_BY: Final[Mapping[str, str]] = {"sg": "the sg driver", "iscsi": "libiscsi"}
"""Kinds of volumes whose commands meet no elevator, and what takes them past."""

NAMES: Final[Mapping[str, str]] = {
    "io_uring": "io_uring",
    "keeper": "threads with a priority of their own",
    "ring": "rings with keepers",
    "polled": "polled rings",
    "ioprio": "priorities of requests",
}
"""What the fields of `KernelProbe` are called to people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One sentence, and what would change it: a command or a setting, where there is one."""

    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for one volume.

    Attributes:
        device: its backing device.
        asked: the kernel context that the configuration says.
        kind: of the volume.
        read_only: nothing is written through it.
        place: where it is; None for kinds that ask nothing of the kernel.
        driver: how the data plane submits: ``io_uring`` or ``threads``.
        wants_cgroups: contexts are to have groups.
        is_polled: rings are to be polled.
    """

    device: str
    asked: KernelContext
    kind: VolumeKind
    read_only: bool
    place: Place | None
    driver: str
    wants_cgroups: bool = True
    is_polled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a device's contexts are to the kernel.

    Attributes:
        device: its name.
        asked: what the configuration says.
        mode: what can be had.
        sees: an elevator tells contexts apart now; while none does, it is as with ``off``.
        disks: where requests meet elevators.
        weights: what the kernel tells contexts apart by.
        missing: why it is not all that is asked for.
        not_covered: what the kernel does for nobody even so.
    """

    device: str
    asked: KernelContext
    mode: KernelContext
    sees: bool
    disks: tuple[Disk, ...]
    weights: str
    missing: tuple[Note, ...]
    not_covered: tuple[Note, ...]


Step: TypeAlias = "tuple[KernelContext, Note] | None"
Rule: TypeAlias = "Callable[[KernelContext, Wish, KernelFindings], Step]"


def resolve(
    wish: Wish, findings: KernelFindings, *, decided: KernelContext | None = None
) -> Resolution:
    """Return what a volume's contexts can be to the kernel.

    Args:
        wish: what is asked for.
        findings: what the kernel allows.
        decided: what its device has already, because another volume of it came first.
    """
    mode, missing = _follow(wish, findings)
    if decided is not None and mode != decided:
        if mode == wish.asked:
            missing.append(_differs(wish.device, mode, decided))
        mode = decided
    if mode != "off":
        missing += _shortfalls(mode, wish, findings)
    place = wish.place
    return Resolution(
        device=wish.device,
        asked=wish.asked,
        mode=mode,
        sees=place is not None
        and any(_told_apart(mode, disk, wish.driver) != _BY_NOTHING for disk in place.disks),
        disks=() if place is None else place.disks,
        weights=_weights(mode, wish, findings),
        missing=tuple(dict.fromkeys(missing)),
        not_covered=tuple(_not_covered(wish)) if mode != "off" else (),
    )


def elevator_for(wish: Wish, findings: KernelFindings) -> str | None:
    """Return the elevator that suits what is asked; None where it cannot be had anyhow."""
    mode, _ = _follow(wish, findings)
    return None if mode == "off" and wish.asked != "off" else ELEVATORS[mode]


def together(resolutions: Sequence[Resolution]) -> Resolution:
    """Return what holds for a device of several volumes, each sentence once."""
    disks = {disk.name: disk for found in resolutions for disk in found.disks}
    # What asks nothing of the kernel is told from nobody.
    weights = dict.fromkeys(found.weights for found in resolutions if found.disks)
    return replace(
        resolutions[0],
        sees=any(found.sees for found in resolutions),
        disks=tuple(disks.values()),
        weights=", ".join(weights) or _BY_NOTHING,
        missing=tuple(dict.fromkeys(note for found in resolutions for note in found.missing)),
        not_covered=tuple(
            dict.fromkeys(note for found in resolutions for note in found.not_covered)
        ),
    )


def goes_past(kind: str) -> str:
    """Say why no kernel context does anything for a volume of this kind."""
    return (
        f"{kind} volumes go past elevators and the block layer's accounts, by {PASSED_BY[kind]}: "
        "fairlead's own scheduler alone shares them"
    )


def _follow(wish: Wish, findings: KernelFindings) -> tuple[KernelContext, list[Note]]:
    mode: KernelContext = wish.asked
    notes = []
    for rule in _RULES:
        step = None if mode == "off" else rule(mode, wish, findings)
        if step is not None:
            mode, note = step
            notes.append(note)
    return mode, notes


def _asks_the_kernel(_mode: KernelContext, wish: Wish, _findings: KernelFindings) -> Step:
    if wish.place is not None:
        return None
    if wish.kind in PASSED_BY:
        return "off", Note(text=goes_past(wish.kind))
    return "off", Note(text=f"{wish.kind} volumes ask nothing of the kernel")


def _is_on_a_disk(_mode: KernelContext, wish: Wish, _findings: KernelFindings) -> Step:
    place = wish.place
    if place is None or (place.disks and not place.is_threaded):
        return None
    if place.is_threaded:
        text = f"{place.file_system} does its I/O in threads of its own, for nobody"
    else:
        text = f"{wish.device} has no disk below"
    return "off", Note(text=text, remedy="serve a block device, or a file on one")


def _has_the_driver(mode: KernelContext, wish: Wish, findings: KernelFindings) -> Step:
    # Its threads are many and have a priority each, which is all that "priority" needs.
    if wish.driver != "threads" or mode == "priority":
        return None
    refused = findings.probe.io_uring
    return "off", Note(
        text=f"{mode} needs the driver io_uring, and threads is in use"
        + (f": {refused}" if refused else ""),
        remedy=findings.io_uring_remedy if refused else _TAKE_IO_URING,
    )


def _has_what_it_needs(mode: KernelContext, wish: Wish, findings: KernelFindings) -> Step:
    if wish.driver == "threads":
        return None
    for name in _NEEDS.get(mode, ()):
        reason = getattr(findings.probe, name)
        if reason is not None:
            remedy = findings.io_uring_remedy if name == "io_uring" else None
            return "off", Note(text=f"no {NAMES[name]}: {reason}", remedy=remedy)
    return None


def _has_a_group(mode: KernelContext, wish: Wish, findings: KernelFindings) -> Step:
    if mode != "experimental-move-cgroup":
        return None
    if not wish.wants_cgroups:
        return "off", Note(text=f"{mode} needs groups", remedy="kernel_cgroups = true")
    cgroup = findings.cgroup
    if cgroup.reason is None:
        return None
    return "off", Note(text=cgroup.reason, remedy=cgroup.remedy)


_RULES: Final[tuple[Rule, ...]] = (
    _asks_the_kernel,
    _is_on_a_disk,
    _has_the_driver,
    _has_what_it_needs,
    _has_a_group,
)


def _shortfalls(mode: KernelContext, wish: Wish, findings: KernelFindings) -> Iterator[Note]:
    """What does not work of a mode that works."""
    for disk in () if wish.place is None else wish.place.disks:
        if mode == "ring":
            if disk.elevator != "bfq":
                yield _suits_not(disk, "bfq", _RINGLESS)
            elif disk.guesses:
                yield Note(
                    text=f"bfq on {disk.name} favours whom it takes for interactive, whatever the "
                    "weights (low_latency is on)",
                    remedy=f"echo 0 > /sys/block/{disk.name}/queue/iosched/low_latency",
                )
        elif _told_apart(mode, disk, wish.driver) == _BY_NOTHING:
            yield _suits_not(disk, ELEVATORS[mode], _BLIND.get(disk.elevator, _BLIND[None]))
    if mode != "ring":
        return
    if not wish.wants_cgroups:
        text = f"kernel_cgroups is false, so weights are {_BY_LEVEL}"
        yield Note(text=text, remedy="kernel_cgroups = true")
    elif findings.cgroup.reason is not None:
        text = f"{findings.cgroup.reason}; weights are {_BY_LEVEL}"
        yield Note(text=text, remedy=findings.cgroup.remedy)
    if wish.is_polled and findings.probe.polled is not None:
        yield Note(text=f"no {NAMES['polled']}, so keepers are rung: {findings.probe.polled}")


_TAKE_IO_URING: Final = 'driver = "io_uring", or fairlead serve --driver io_uring'
_RINGLESS: Final = "knows no io_contexts: no rings until it has bfq"
_BLIND: Final[Mapping[str | None, str]] = {
    "bfq": "goes by the priority of an io_context and not by that of a request",
    "mq-deadline": "goes by classes of priority and not by groups",
    None: "heeds neither groups nor priorities",
}


def _suits_not(disk: Disk, wanted: str, why: str) -> Note:
    """That a disk's elevator does not do, and the command that gives it the one that does."""
    if disk.elevator is None:
        return Note(text=f"{disk.name} can have no elevator, so nobody looks whose requests are")
    command = f"echo {wanted} > {disk.setting}"
    if wanted not in disk.elevators:
        command = f"modprobe {wanted} && {command}"
    return Note(text=f"{disk.name} has elevator {disk.elevator}, which {why}", remedy=command)


def _differs(device: str, mode: KernelContext, decided: KernelContext) -> Note:
    text = f"{device} is served with {decided} since its first volume came, and could have {mode}"
    return Note(text=text, remedy="stop fairlead and serve again")


def _told_apart(mode: KernelContext, disk: Disk, driver: str) -> str:
    if mode == "priority" and driver == "threads" and disk.elevator == "bfq":
        return _BY_LEVEL  # Each thread has an io_context, and gives it the priority.
    return _WEIGHTS.get((mode, disk.elevator), _BY_NOTHING)


def _weights(mode: KernelContext, wish: Wish, findings: KernelFindings) -> str:
    if mode == "off" or wish.place is None:
        return _BY_NOTHING
    has_groups = mode == "ring" and wish.wants_cgroups and findings.cgroup.reason is None
    found = dict.fromkeys(
        _BY_GROUP if has_groups and disk.elevator == "bfq" else _told_apart(mode, disk, wish.driver)
        for disk in wish.place.disks
    )
    return ", ".join(found) or _BY_NOTHING


def _not_covered(wish: Wish) -> Iterator[Note]:
    place = wish.place
    if place is None:
        return
    if wish.kind == "file" and not wish.read_only:
        yield Note(
            text="buffered writes: the kernel writes them back later, for nobody",
            remedy="kind direct goes past the page cache",
        )
    for disk in place.disks:
        if disk.is_loop:
            text = f"what {disk.name} asks of the disk below: its own threads do that"
            yield Note(text=text)
    for layer in place.writes_by_threads:
        yield Note(text=f"writes through {layer}: its own threads do them")
