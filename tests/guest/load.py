"""What is done with disks in the guest: file systems, fio that verifies, programs that sync."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.guest.image.build import ROOT
from tests.support.settings import GUEST_MIB

if TYPE_CHECKING:
    from tests.guest.machine.guest import Guest, Running

MOUNT: Final = "/mnt/disk"
_PROGRAM: Final = "/tmp/recordlog.py"
_PYTHON: Final = "python3 -I -S -B"
_FIO_S: Final = 240.0

MAKERS: Final = {"ext4": "mkfs.ext4 -q -F", "xfs": "mkfs.xfs -q -f"}
CHECKERS: Final = {"ext4": "e2fsck -fn", "xfs": "xfs_repair -n"}


def make_file_system(guest: Guest, kind: str, device: str) -> None:
    """Make one on a device and mount it at MOUNT."""
    guest.run(f"{MAKERS[kind]} {device}", timeout=120)
    mount(guest, device)


def mount(guest: Guest, device: str, options: str = "defaults") -> None:
    """Mount a device at MOUNT; its journal is replayed where it has to be."""
    guest.run(f"mkdir -p {MOUNT} && mount -o {options} {device} {MOUNT}", timeout=120)


def unmount(guest: Guest) -> None:
    """Unmount MOUNT: everything written is on the device then."""
    guest.run(f"umount {MOUNT}", timeout=120)


def check_file_system(guest: Guest, kind: str, device: str) -> None:
    """Have an unmounted file system checked; nothing is repaired.

    Raises:
        AssertionError: something is wrong with it; the message holds what.
    """
    guest.run(f"{CHECKERS[kind]} {device}", timeout=120)


def fio(guest: Guest, place: str, *, mib: int = GUEST_MIB, options: str = "") -> int:
    """Write at random with a checksum in every block, sync now and then, read all of it back.

    Args:
        guest: where.
        place: a file or a device.
        mib: how much.
        options: more words, or others in the place of ours.

    Returns:
        bytes that were read back and right.

    Raises:
        AssertionError: fio failed or found wrong data.
    """
    done = guest.run(fio_command(place, mib=mib, options=options), timeout=_FIO_S, check=False)
    assert done.status == 0, f"fio: status {done.status}\n{done.output}"
    return verified_bytes(done.output)


def fio_command(place: str, *, mib: int, options: str = "") -> str:
    """Return the command of `fio`."""
    return (
        f"fio --name=guest --filename={place} --size={mib}m --rw=randwrite --bsrange=4k-128k"
        " --bs_unaligned=0 --ioengine=libaio --iodepth=8 --direct=1 --fsync=32"
        " --verify=crc32c --verify_fatal=1 --do_verify=1 --thread --fallocate=none"
        # In the place of a disk that is gone, it would make a file of that name in /dev.
        f" --allow_file_create={int(not place.startswith('/dev/'))}"
        f" --output-format=json {options}"
    )


def verified_bytes(output: str) -> int:
    """Return how much fio has read back, from what it printed.

    Raises:
        AssertionError: it reports an error, or has read nothing.
    """
    report = json.loads(output[output.index("{") : output.rindex("}") + 1])
    (job,) = report["jobs"]
    assert job["error"] == 0, output
    read = int(job["read"]["io_bytes"])
    assert read > 0, "fio has verified nothing"
    return read


def wait_for_requests(guest: Guest, disk: str, count: int) -> None:
    """Wait until that many more reads and writes of a disk have ended."""
    # Spec: Documentation/block/stat.rst, the first and the fifth field.
    guest.wait_for(
        f"set -- $(cat /sys/block/{disk}/stat)\n"
        f": ${{done_then:=$(($1 + $5))}}; [ $(($1 + $5 - done_then)) -ge {count} ]"
    )


@dataclass(frozen=True, slots=True)
class Intact:
    """What a record log holds: how many records are right from the first on, and their data."""

    count: int
    size_bytes: int


class RecordLog:
    """The program that syncs every record before it acknowledges it.

    Args:
        guest: where it runs.
        folder: where its files are.
    """

    def __init__(self, guest: Guest, folder: str = f"{MOUNT}/log") -> None:
        self._guest: Final = guest
        self._folder: Final = folder
        guest.copy(ROOT / "tests/guest/inside/recordlog.py", _PROGRAM)
        guest.run(f"mkdir -p {folder} && sync")

    def write(self) -> Running:
        """Start to append records behind those that are intact, until it is killed."""
        return self._guest.start(f"{_PYTHON} {_PROGRAM} write {self._folder}")

    def check(self) -> Intact:
        """Read the records back.

        Raises:
            AssertionError: they cannot be read.
        """
        output = self._guest.run(f"{_PYTHON} {_PROGRAM} check {self._folder}").output
        found = re.search(r"^intact (\d+) (\d+)$", output, re.MULTILINE)
        assert found, output
        return Intact(*map(int, found.groups()))


def acknowledged(output: str) -> int:
    """Return the number of the last record that a `RecordLog` has acknowledged, -1 for none."""
    return max(map(int, re.findall(r"^ack (\d+)$", output, re.MULTILINE)), default=-1)
