"""What ``fairlead context doctor`` says, in words. Pure: a document in, lines out."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from fairlead.cli.context_table import printable
from fairlead.control.kernel_context import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS: Final = 100
_NAME_COLUMNS: Final = 38
_LABEL_COLUMNS: Final = 13


def doctor_lines(document: dict[str, Any]) -> Iterator[str]:
    """Return the lines for a document of `fairlead.control.kernel_doctor.diagnosis_document`."""
    yield from _kernel(document)
    for device in document["devices"]:
        yield ""
        yield from _device(device)
    if not document["devices"]:
        yield ""
        yield "Name volumes, or --config FILE, to see what their devices can have."


def _kernel(document: dict[str, Any]) -> Iterator[str]:
    user = "root" if document["user"] == 0 else f"user {document['user']}"
    held = " and ".join(document["capabilities"])
    yield f"kernel {document['kernel']}, as {user}" + (f" with {held}" if held else "")
    for field, name in NAMES.items():
        reason = document["refused"][field]
        yield from _row(name, _NAME_COLUMNS, "yes" if reason is None else f"no: {reason}")
    if document["refused"]["io_uring"] and document["io_uring_disabled"]:
        yield from _command("sysctl kernel.io_uring_disabled=0", _NAME_COLUMNS)
    cgroup = document["cgroup"]
    works = f"yes: cgroup v1, in {cgroup['directory']}"
    answer = works if cgroup["reason"] is None else f"no: {cgroup['reason']}"
    yield from _row("groups with weights", _NAME_COLUMNS, answer)
    if cgroup["remedy"] is not None:
        yield from _command(cgroup["remedy"], _NAME_COLUMNS)


def _device(device: dict[str, Any]) -> Iterator[str]:
    yield f"{printable(device['device'])}, for {', '.join(device['volumes'])}: {_verdict(device)}"
    elevators = [f"{disk}: {name or 'none'}" for disk, name in device["elevators"].items()]
    if elevators:
        yield from _row("elevator", _LABEL_COLUMNS, ", ".join(elevators))
    for each in device["to_set"]:
        yield from _to_set(each)
    if device["sees"]:
        yield from _row("told apart by", _LABEL_COLUMNS, device["weights"])
    for label in ("missing", "not covered"):
        for note in device[label.replace(" ", "_")]:
            yield from _row(label, _LABEL_COLUMNS, note["text"])
            if note["remedy"] is not None:
                yield from _command(note["remedy"], _LABEL_COLUMNS)


def _to_set(each: dict[str, Any]) -> Iterator[str]:
    disk, was, wanted = each["disk"], each["was"], each["wanted"]
    if each["may_be_set"]:
        text = f"sets {disk} to {wanted} if the kernel has that, and puts {was} back at its end"
        yield from _row("serve", _LABEL_COLUMNS, text)
        return
    text = f"does not start: this user may not set {disk} to {wanted}"
    yield from _row("serve", _LABEL_COLUMNS, text)
    yield from _command(f"as root: echo {wanted} > {each['setting']}", _LABEL_COLUMNS)


def _verdict(device: dict[str, Any]) -> str:
    # An elevator that does not look makes all of them off, until it is changed.
    asked, mode = device["asked"], device["mode"] if device["sees"] else "off"
    if device["is_supposed"]:
        return f"off; {asked} would be {mode}" if mode != asked else f"off; {asked} would work"
    return f"{asked} works" if mode == asked else f"{asked} becomes {mode}"


def _row(label: str, columns: int, text: str) -> Iterator[str]:
    lines = wrap(text, _COLUMNS - columns - 4, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"  {label if not number else '':{columns}}  {line}"


def _command(remedy: str, columns: int) -> Iterator[str]:
    """Never wrapped: it is there to be pasted."""
    yield f"  {'':{columns}}  -> {remedy}"
