"""What the management API says, as JSON types. Fields are named as in the data plane's accounts."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

from fairlead.control.kernel_devices import resolution_document
from fairlead.model.shares import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fairlead.control.device_facts import DeviceFacts
    from fairlead.control.kernel_context import Resolution
    from fairlead.control.measurement import MeasuredContext, Snapshot
    from fairlead.control.reservations import ReservationInfo
    from fairlead.control.shares import Due, Origin
    from fairlead.dataplane.api import DeviceInfo, SessionInfo, VolumeInfo
    from fairlead.sched.settings import Settings

# Enough to see who a device is shared with; all of them are in the list of contexts.
_NEIGHBOURS_MAX: Final = 32
_DEFAULT: Final = {"from": "default"}


def settings_document(settings: Settings) -> dict[str, Any]:
    """Return settings in the shape in which a change is written."""
    return {
        **_fields_of(settings),
        "priority": settings.priority.name.lower(),
        "limit": _fields_of(settings.limit),
        "guarantee": _fields_of(settings.guarantee),
    }


def context_document(context: MeasuredContext) -> dict[str, Any]:
    """Return a context: its accounts, ``settings``, and ``activity`` of the last interval."""
    document = _fields_of(context)
    del document["configured"]  # Where each field comes from says more.
    for name in ("queue_time_us", "service_time_us", "response_time_us", "activity"):
        document[name] = _fields_of(document[name])
    if context.kernel is not None:
        document["kernel"] = _fields_of(context.kernel)
    return {**document, "settings": settings_document(context.settings)}


def contexts_document(
    snapshot: Snapshot,
    contexts: Iterable[MeasuredContext],
    devices: Iterable[DeviceInfo],
    kernel: Iterable[Resolution] = (),
) -> dict[str, Any]:
    """Return these contexts of a snapshot, and these devices.

    ``kernel_context`` of a device: see `resolution_document`; None where it is ``off`` by wish.
    """
    by_device = {found.device: resolution_document(found) for found in kernel}
    return {
        "interval_s": snapshot.interval_s,
        "devices": [
            {**asdict(device), "kernel_context": by_device.get(device.name)} for device in devices
        ],
        "contexts": [context_document(context) for context in contexts],
    }


def explained_document(snapshot: Snapshot, context: MeasuredContext, due: Due) -> dict[str, Any]:
    """Return a context with why it is due what it is.

    Returns:
        As `context_document`, and ``origins`` (of each field), ``guarantee_refused`` (why, or
        None), ``neighbours`` (contexts on the same device, those that got most first).
    """
    neighbours = [
        other
        for other in snapshot.contexts
        if other.device == context.device and other.index != context.index
    ]
    neighbours.sort(key=lambda other: -other.activity.share_got)
    return {
        **context_document(context),
        "origins": {
            field: _origin(due.origins[field]) if field in due.origins else _DEFAULT
            for field in FIELDS
        },
        "guarantee_refused": due.refusal,
        "neighbours": [
            {
                "key": other.key,
                "weight": other.settings.weight,
                "priority": other.settings.priority.name.lower(),
                "share_due": other.activity.share_due,
                "share_got": other.activity.share_got,
            }
            for other in neighbours[:_NEIGHBOURS_MAX]
        ],
        "neighbours_count": len(neighbours),
    }


def session_document(session: SessionInfo) -> dict[str, Any]:
    """Return a session; its ISID in hexadecimal digits."""
    return {**asdict(session), "isid": session.isid.hex()}


def volume_document(
    volume: VolumeInfo,
    *,
    facts: DeviceFacts | None = None,
    reservations: ReservationInfo | None = None,
) -> dict[str, Any]:
    """Return an open volume.

    Of a SCSI device that is passed through, ``scsi_device`` is what it says of itself, and
    ``size_bytes`` is None where it has said nothing; of other volumes ``scsi_device`` is None.
    ``reservations`` is None where no target shows it. A key is a string, 0x and 16 hexadecimal
    digits: JSON readers may lack numbers of 64 bits.
    """
    document: dict[str, Any] = {
        **asdict(volume),
        "size_bytes": volume.size_bytes if facts is None else facts.size_bytes,
        "scsi_device": None if facts is None else facts.document(),
        "reservations": None,
    }
    if reservations is not None:
        registrations = [
            {**asdict(one), "isid": one.isid.hex(), "key": f"{one.key:#018x}"}
            for one in reservations.registrations
        ]
        document["reservations"] = {**asdict(reservations), "registrations": registrations}
    return document


def _fields_of(item: Any) -> dict[str, Any]:
    """As `asdict`, one level deep: a target may have thousands of contexts."""
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _origin(origin: Origin) -> dict[str, Any]:
    by: dict[str, dict[str, Any]] = {
        "rule": {"rule": origin.rule, "contexts": origin.by},
        "policy": {"policy": origin.by},
        "change": {"contexts": origin.by},
        "default": {},
    }
    return {"from": origin.kind, **by[origin.kind]}
