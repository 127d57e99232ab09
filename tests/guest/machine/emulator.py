"""One run of the emulated machine, from power on to power off."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.guest.machine.link import Link
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.guest.image.build import Image

SERVED_PORT: Final = 3260
"""Of the guest, when it is the target."""
_STOP_S: Final = 10.0
# Nothing of this helps in an emulated machine, and all of it takes time at the start.
_KERNEL_WORDS: Final = (
    *("console=ttyS0", "quiet", "panic=-1", "mitigations=off", "tsc=reliable", "no_timer_check"),
    *("rcupdate.rcu_expedited=1", "audit=0", "selinux=0", "apparmor=0", "net.ifnames=0"),
)


class Emulator:
    """qemu, running; its console goes to a file.

    Args:
        image: what it starts from; nothing is written there.
        memory_mib: memory of the machine.
        console: the file for what the kernel and the agent write.
        payload: a tar file that the guest unpacks to /payload.
        forwarded_port: a port of this machine's loopback interface for the guest's SERVED_PORT.
    """

    def __init__(
        self,
        image: Image,
        *,
        memory_mib: int,
        console: Path,
        payload: Path | None = None,
        forwarded_port: int | None = None,
    ) -> None:
        # Not in a test's folder: the path of a socket has at most 107 bytes.
        self._folder: Final = Path(tempfile.mkdtemp(prefix="fairlead-guest-"))
        channel = self._folder / "channel"
        network = "user,id=net"
        if forwarded_port is not None:
            network += f",hostfwd=tcp:127.0.0.1:{forwarded_port}-:{SERVED_PORT}"
        disks = [(image.root_disk, "snapshot=on")]
        disks += [(payload, "readonly=on")] if payload else []
        drives = [
            word
            for index, (path, option) in enumerate(disks)
            for word in (
                *("-drive", f"if=none,id=disk{index},format=raw,{option},file={path}"),
                *("-device", f"virtio-blk-pci,drive=disk{index}"),
            )
        ]
        self._process: Final = subprocess.Popen(
            [
                # A test run that is killed leaves no machine behind.
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,-la57", "-smp", "1"),
                *("-M", "q35", "-m", str(memory_mib), "-nodefaults", "-no-user-config"),
                *("-nographic", "-no-reboot", "-serial", f"file:{console}"),
                *("-kernel", str(image.kernel), "-initrd", str(image.first_files)),
                *("-append", " ".join(_KERNEL_WORDS), *drives),
                *("-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="),
                *("-object", "rng-random,id=rng,filename=/dev/urandom"),
                *("-device", "virtio-rng-pci,rng=rng", "-device", "virtio-serial-pci"),
                *("-chardev", f"socket,id=channel,path={channel},server=on,wait=off"),
                *("-device", "virtserialport,chardev=channel,name=fairlead.guest"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        connection = socket.socket(socket.AF_UNIX)
        try:
            wait_until(lambda: self._has_connected(connection, channel), "qemu has started")
        except BaseException:
            self._process.kill()
            connection.close()
            raise
        self.link: Final = Link(connection)

    def power_off(self) -> None:
        """End it at once, as by a power cut: nothing in the guest gets to do anything."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_STOP_S)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self.link.close()
        shutil.rmtree(self._folder)

    def wait_for_end(self, limit_s: float) -> None:
        """Wait until the guest has turned itself off.

        Raises:
            subprocess.TimeoutExpired: it has not in time.
        """
        self._process.wait(limit_s)

    def _has_connected(self, connection: socket.socket, channel: Path) -> bool:
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode(errors="replace")
            raise AssertionError(f"qemu ended with status {self._process.returncode}:\n{said}")
        try:
            connection.connect(str(channel))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True
