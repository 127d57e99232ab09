"""A guest with SCSI disks of the kernel's own making, served by fairlead as they are."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fairlead.testing.client import Client, connect
from fairlead.testing.outcome import GOOD
from tests.guest.image.build import ROOT
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.guest.machine.guest import Guest, Running

FAIRLEAD: Final = "PYTHONPATH=/payload python3 -B -m fairlead"
# Importing all of it takes an emulated machine some seconds.
START_S: Final = 120.0
# A command's way through an emulated machine that shares its processor with others.
ANSWER_S: Final = 60.0
DISK_MIB: Final = 64
TIMEOUT_S: Final = 2
PREFIX: Final = "iqn.2008-12.example.fairlead:"
_DRIVER: Final = "/sys/bus/pseudo/drivers/scsi_debug"
_SGIO: Final = "/tmp/sgio.py"
_CONFIG: Final = "/tmp/fairlead.toml"
# Bits of scsi_debug's "opts". Spec: Linux, Documentation of scsi_debug.
OPT_MEDIUM_ERROR, OPT_TIMEOUT, OPT_RECOVERED_ERROR = 2, 4, 8
MEDIUM_ERROR_LBA: Final = 0x1234
"""Where OPT_MEDIUM_ERROR has its ten bad blocks."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of scsi_debug: names of its sg node, of its block device, of its SCSI host."""

    sg: str
    block: str
    host: str


class Storage:
    """The guest, its disks and the target on it.

    Args:
        guest: of flavour "target", on, with fairlead in /payload.
        port: of this machine, forwarded to the target's.
    """

    def __init__(self, guest: Guest, port: int) -> None:
        self.guest: Final = guest
        self._port: Final = port
        self.log = ""
        """What the last target that has ended wrote."""
        guest.copy(ROOT / "tests/guest/inside/sgio.py", _SGIO)
        # Delays would count jiffies of an emulated machine; a test that wants one says so.
        guest.run(
            f"modprobe scsi_debug dev_size_mb={DISK_MIB} lbpu=1 lbpws=1 lbprz=1 delay=0"
            " max_queue=16 removable=0 && udevadm settle || true"
        )

    def disks(self) -> list[Disk]:
        """Return the disks there are, oldest first."""
        listed = self.guest.wait_for("ls -d /sys/class/scsi_generic/sg*/device/block/sd*")
        found = []
        for path in listed.split():
            sg, block = path.split("/")[4], path.rpartition("/")[2]
            address = self.guest.run(f"readlink /sys/class/scsi_generic/{sg}/device").output
            found.append(Disk(sg, block, address.strip().rpartition("/")[2].partition(":")[0]))
        return sorted(found, key=lambda disk: int(disk.host))

    def add_disk(self) -> Disk:
        """Plug one more in, on an adapter of its own. All share one medium."""
        before = {disk.sg for disk in self.disks()}
        self.set("add_host", 1)
        wait_until(lambda: len(self.disks()) > len(before), "a new disk", limit_s=ANSWER_S)
        return next(disk for disk in self.disks() if disk.sg not in before)

    def set(self, attribute: str, value: object) -> None:
        """Set an attribute of the scsi_debug driver, for all its disks.

        Some it takes only while nothing is out.
        """
        self.guest.wait_for(f"echo {value} > {_DRIVER}/{attribute}")

    @contextlib.contextmanager
    def options(self, opts: int, *, every_nth: int = 0) -> Iterator[None]:
        """Have the disks make mistakes while the block is entered."""
        self.set("every_nth", every_nth)
        self.set("opts", opts)
        try:
            yield
        finally:
            self.set("opts", 0)
            self.set("every_nth", 0)

    def locally(self, disk: Disk, commands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Send commands to a disk by the kernel's own SG_IO, and return how they ended."""
        self.guest.write("/tmp/commands.json", json.dumps(list(commands)))
        order = f"python3 -I -S -B {_SGIO} /dev/{disk.sg} < /tmp/commands.json"
        answers: list[dict[str, Any]] = json.loads(self.guest.run(order).output)
        return answers

    # The target.

    @contextlib.contextmanager
    def serving(
        self,
        volumes: Mapping[str, Mapping[str, object]],
        *,
        tables: str = "",
        is_killed: bool = False,
    ) -> Iterator[Running]:
        """Serve volumes, by their names, each as LUN 0 of a target of its own.

        Args:
            volumes: the other fields of each, as of VolumeConfig.
            tables: more of the configuration, in TOML.
            is_killed: it does not end by itself.
        """
        lines = ['portals = ["0.0.0.0:3260"]']
        for name, fields in volumes.items():
            lines += ["[[volumes]]", f'name = "{name}"']
            lines += [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
            lines += ["[[targets]]", f'name = "{PREFIX}{name}"']
            lines.append(f'luns = [{{ lun = 0, volume = "{name}" }}]')
        self.guest.write(_CONFIG, "\n".join([*lines, tables, ""]))
        running = self.guest.start(f"{FAIRLEAD} serve --config {_CONFIG} --allow-anyone")
        running.wait_for(r"^ready", START_S)
        try:
            yield running
        finally:
            # The brackets keep pkill from finding the shell that has these very words.
            self.guest.run("pkill -TERM -f '[f]airlead serve'; true")
            done = running.wait(START_S)
            self.log = done.output
            assert (done.status == 0) != is_killed, done.output

    def log_in(self, volume: str, name: str = "one") -> Client:
        """Log in from this machine, and hear what a new nexus has to hear."""
        portal, initiator = f"127.0.0.1:{self._port}", f"iqn.2026-01.example.machine:{name}"
        client = connect(portal, PREFIX + volume, initiator, timeout_s=ANSWER_S)
        hear_out(client)
        return client

    @staticmethod
    def passed(disk: Disk, **fields: object) -> dict[str, object]:
        """Return the fields of a volume whose commands are passed on to a disk."""
        return {"kind": "sg", "path": f"/dev/{disk.sg}", "timeout": f"{TIMEOUT_S}s", **fields}

    def url(self, volume: str) -> str:
        """As libiscsi's programs want it."""
        return f"iscsi://127.0.0.1:{self._port}/{PREFIX}{volume}/0"

    def contexts(self) -> list[str]:
        """Return the names of the I/O contexts that there are."""
        asked = self.guest.run(f"{FAIRLEAD} contexts --json", timeout=START_S).output
        return re.findall(r'"key": "([^"]*)"', asked)


def hear_out(client: Client) -> None:
    """Take the unit attentions that are pending."""
    wait_until(
        lambda: client.test_unit_ready().status == GOOD, "the unit is ready", limit_s=ANSWER_S
    )
