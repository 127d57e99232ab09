"""SCSI devices behind volumes: what the data plane is told of them, and how they are asked.

Only plain data crosses, see `fairlead.dataplane.api`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.scsi.pass_through import Rule

TRANSFER_BYTES_MAX: Final = 1 << 20
"""The data plane keeps a command's data in one buffer of this size."""

INITIATOR_NAME: Final = "iqn.2008-12.example.fairlead:gateway"
"""Who we are towards other targets where nobody says otherwise."""

LinkKind: TypeAlias = Literal["sg", "iscsi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThroughSpec:
    """How commands go to a device.

    Attributes:
        rules: what becomes of each command; one without a rule passes and is not harmless.
        timeout_ns: how long a command may take before it is aborted.
        transfer_bytes_max: data of one command, 512..`TRANSFER_BYTES_MAX`.
        commands_max: commands that the device has at a time, all contexts together; at least 1.
        initiator_name: who we are towards another target.
        url: for ``iscsi``: `VolumeSpec.path` with the password, where it has one. Never shown.
    """

    rules: tuple[Rule, ...]
    timeout_ns: int
    transfer_bytes_max: int
    commands_max: int
    initiator_name: str = INITIATOR_NAME
    url: str | None = field(default=None, repr=False)

    def plain(self) -> dict[str, Any]:
        """Return it as the extension takes it, without the URL."""
        return {
            "rules": [asdict(rule) | {"treatment": rule.treatment.value} for rule in self.rules],
            "timeout_ns": self.timeout_ns,
            "transfer_bytes_max": self.transfer_bytes_max,
            "commands_max": self.commands_max,
            "initiator_name": self.initiator_name,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAnswer:
    """How a command has ended.

    Attributes:
        status: SCSI status; 0x00 GOOD, 0x02 CHECK CONDITION.
        sense: what the device said with CHECK CONDITION.
        data: what came.
        failure: why the device said nothing; None where it did.
    """

    status: int
    sense: bytes = b""
    data: bytes = b""
    failure: str | None = None


class Link(Protocol):
    """A way to a SCSI device, for the few questions that are asked before it is served."""

    def execute(self, cdb: bytes, *, data_in_bytes: int, timeout_s: float) -> LinkAnswer:
        """Send a command and wait for its end. Call it in a thread."""
        ...

    def about(self) -> Mapping[str, str]:
        """Return what it goes by, in words: ``{"interface": "sg v3 write/poll/read"}``."""
        ...


class OpenLink(Protocol):
    """Opens a way to a device."""

    def __call__(self, kind: LinkKind, path: str, initiator_name: str) -> Link:
        """Open it; waits for a login where there is one.

        Args:
            kind: of the volume.
            path: the sg node, or the URL with its password.
            initiator_name: who we are there.

        Raises:
            OSError: the device or the way to it is not there; with a number and a message.
        """
        ...


def open_link(kind: LinkKind, path: str, initiator_name: str) -> Link:
    """Open a link of the data plane in Rust; see `OpenLink`."""
    # Here and not above: everything but serving works without the extension.
    from fairlead.dataplane.native import NativeLink  # noqa: PLC0415

    return NativeLink(kind, path, initiator_name)
