"""open-iscsi in the guest, by the commands that its users type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.guest.machine.guest import Completed, Guest

NAME: Final = "iqn.2026-01.example.guest:linux"

# Seconds; a lost connection is noticed soon, and I/O waits for its return as long as a test takes.
PATIENT: Final = {
    "node.session.timeo.replacement_timeout": "120",
    "node.conn[0].timeo.noop_out_interval": "2",
    "node.conn[0].timeo.noop_out_timeout": "2",
}
WITH_DIGESTS: Final = {
    "node.conn[0].iscsi.HeaderDigest": "CRC32C",
    "node.conn[0].iscsi.DataDigest": "CRC32C",
}

_FIND_DISK: Final = r"""
for session in /sys/class/iscsi_session/session*; do
    number=${session##*session}
    [ "$(cat $session/targetname)" = "@TARGET@" ] || continue
    connection=/sys/class/iscsi_connection/connection$number:0
    [ "$(cat $connection/persistent_port)" = "@PORT@" ] || continue
    for disk in $session/device/target*/*:*/block/*; do
        [ -b "/dev/${disk##*/}" ] && echo "found $number ${disk##*/}" && exit 0
    done
done
exit 1
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """A logical unit as the guest's kernel has it.

    Attributes:
        name: of the kernel, as "sda".
        session: number of the iSCSI session that it belongs to.
        target: name of the target.
        portal: ADDRESS:PORT that was logged in to.
    """

    name: str
    session: int
    target: str
    portal: str

    @property
    def path(self) -> str:
        """Of its device node."""
        return f"/dev/{self.name}"


class Initiator:
    """iscsid and iscsiadm of one guest.

    Args:
        guest: the guest; it is on.
        name: the initiator's name.
    """

    def __init__(self, guest: Guest, name: str = NAME) -> None:
        self._guest: Final = guest
        guest.write("/etc/iscsi/initiatorname.iscsi", f"InitiatorName={name}\n")
        # Where iscsiadm cannot reach it, it tries to start it by means that are not here.
        guest.run("pidof iscsid || iscsid")

    def discover(self, portal: str) -> set[tuple[str, str]]:
        """Return (portal, target) for all that SendTargets names, each now a node record."""
        done = self._guest.run(f"iscsiadm -m discovery -t sendtargets -p {portal}")
        return set(re.findall(r"^(\S+:\d+),\d+ (\S+)$", done.output, re.MULTILINE))

    def add_node(self, target: str, portal: str, settings: Mapping[str, str] | None = None) -> None:
        """Make a node record, as discovery would, with settings of its own."""
        node = f"iscsiadm -m node -T {target} -p {portal}"
        # Without the portal group's tag, 2.1.8 does not find the record again.
        commands = [f"{node},1 -o new"]
        commands += [
            f"{node} -o update -n '{name}' -v '{value}'"
            for name, value in {**PATIENT, **(settings or {})}.items()
        ]
        self._guest.run(" && ".join(commands))

    def try_login(self, target: str, portal: str) -> Completed:
        """Log in by the node record; the answer says whether that went well."""
        return self._guest.run(f"iscsiadm -m node -T {target} -p {portal} --login", check=False)

    def login(self, target: str, portal: str, settings: Mapping[str, str] | None = None) -> Disk:
        """Log in and wait for the disk, LUN 0.

        Raises:
            AssertionError: refused, or no disk comes.
        """
        self.add_node(target, portal, settings)
        done = self.try_login(target, portal)
        assert done.status == 0, f"login to {target}: {done.output}"
        return self.disk(target, portal)

    def disk(self, target: str, portal: str) -> Disk:
        """Wait for the disk of a session that has been logged in."""
        port = portal.rpartition(":")[2]
        script = _FIND_DISK.replace("@TARGET@", target).replace("@PORT@", port)
        output = self._guest.wait_for(f"( {script} )")
        found = re.search(r"^found (\d+) (\S+)$", output, re.MULTILINE)
        assert found
        return Disk(found[2], int(found[1]), target, portal)

    def session_text(self, disk: Disk) -> str:
        """Return all that iscsiadm knows of a session, what was negotiated among it."""
        return self._guest.run(f"iscsiadm -m session -r {disk.session} -P 2").output

    def logout(self, disk: Disk) -> None:
        """End the session, and forget its node record."""
        node = f"iscsiadm -m node -T {disk.target} -p {disk.portal}"
        self._guest.run(f"{node} --logout && {node} -o delete")

    def forget_all(self) -> None:
        """End every session and forget every record, whatever state they are in."""
        self._guest.run("iscsiadm -m node --logoutall=all; iscsiadm -m node -o delete", check=False)
