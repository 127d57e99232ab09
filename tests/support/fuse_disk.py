"""A FUSE disk for tests: forgets what no sync covers, stalls and fails on command.

``python -m tests.support.fuse_disk MOUNTPOINT --size BYTES --control SOCKET`` mounts a file system
with the one file ``disk``, prints ``ready`` and serves until it is unmounted, told to quit, or gets
SIGTERM. The control socket takes one JSON object a line, ``{"command": ..., ...}``, and answers
each with one; `FuseDisk` in disk_client.py speaks it. Mounted by mount(2) as root, by fusermount3
else.

The process speaks the kernel's protocol itself: a library in between would hide which open file and
which flags (O_DSYNC of a single call) a write came with, and would bind each held request to a
thread.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support import fuse_wire as wire
from tests.support.fault_plan import DataOp, Failure
from tests.support.fuse_file import OneFile
from tests.support.fuse_system import MAX_WRITE_BYTES
from tests.support.volatile_image import VolatileImage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MNT_DETACH: Final = 2
_MS_NOSUID_NODEV: Final = 2 | 4
_THREADS: Final = 2


def mount(mountpoint: Path) -> int:
    """Mount a FUSE file system on a folder and return the descriptor that speaks for it.

    Raises:
        OSError: the kernel or fusermount3 refused.
    """
    if os.geteuid() != 0:
        return _mount_by_fusermount(mountpoint)
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (b"fairlead-test", os.fsencode(mountpoint), b"fuse.fairlead-test")
    if libc.mount(*arguments, ctypes.c_ulong(_MS_NOSUID_NODEV), options.encode()) != 0:
        error = ctypes.get_errno()
        os.close(descriptor)
        raise OSError(error, f"mount of FUSE: {os.strerror(error)}", str(mountpoint))
    return descriptor


def unmount(mountpoint: Path) -> None:
    """Detach the file system from its folder; nothing happens where none is mounted."""
    if os.geteuid() == 0:
        ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(mountpoint), _MNT_DETACH)
    else:
        subprocess.run(
            ["fusermount3", "-u", "-z", str(mountpoint)], check=False, stderr=subprocess.DEVNULL
        )


def _mount_by_fusermount(mountpoint: Path) -> int:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
        command = ["fusermount3", "-o", "nosuid,nodev,fsname=fairlead-test", "--", str(mountpoint)]
        done = subprocess.run(
            command, env=environment, pass_fds=[theirs.fileno()], check=False, capture_output=True
        )
        if done.returncode != 0:
            raise OSError(errno.EPERM, done.stderr.decode(errors="replace").strip())
        _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, 1)
        return descriptors[0]


class FuseLoop:
    """Reads requests from the kernel on a few threads until the file system is unmounted."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: Final = descriptor
        self._threads: list[threading.Thread] = []

    def start(self, serve: Callable[[wire.FuseRequest], None]) -> None:
        """Start the reading threads; ``serve`` gets each request with bytes it may not keep."""
        for _ in range(_THREADS):
            thread = threading.Thread(target=self._run, args=(serve,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def reply(self, header: bytes, payload: bytes | memoryview) -> None:
        """Send an answer; one to a request that the kernel gave up is dropped."""
        with contextlib.suppress(OSError):
            os.writev(self._descriptor, (header, payload) if payload else (header,))

    def wait(self) -> None:
        """Wait until the kernel has unmounted the file system."""
        for thread in self._threads:
            thread.join()

    def _run(self, serve: Callable[[wire.FuseRequest], None]) -> None:
        buffer = bytearray(MAX_WRITE_BYTES + wire.REQUEST_HEADER_BYTES)
        view = memoryview(buffer)
        while True:
            try:
                length = os.readv(self._descriptor, (buffer,))
            except OSError as error:
                if error.errno in _RETRIED:
                    continue
                return
            serve(wire.decode_request(view[:length]))


class ControlSocket:
    """Takes the tests' commands, one JSON object a line."""

    def __init__(self, path: Path, file: OneFile, quit_: Callable[[], None]) -> None:
        self._listener: Final = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._file: Final = file
        self._quit: Final = quit_
        self._commands: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
            "forget": lambda a: file.crash(a["seed"]),
            "crash_after": lambda a: file.crash_after(a["requests"], a["seed"]),
            "stall": lambda a: file.hold(frozenset(DataOp(op) for op in a["ops"])),
            "resume": lambda a: file.resume(shuffle_seed=a.get("shuffle_seed")),
            "fail": lambda a: file.fail(Failure(**{**a, "op": DataOp(a["op"])})),
            "stats": lambda _: file.stats(),
            "trace": lambda _: file.take_trace(),
            "quit": lambda _: quit_(),
        }

    def serve(self) -> None:
        """Accept for ever; each connection has a thread, as tests open only a few."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                arguments = json.loads(line)
                command = arguments.pop("command")
                try:
                    answer = {"result": self._commands[command](arguments)}
                except (KeyError, TypeError, ValueError) as error:
                    answer = {"error": f"{command}: {error!r}"}
                stream.write(json.dumps(answer).encode() + b"\n")
                stream.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount, print ``ready`` and serve until unmounted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--size", type=int, required=True, metavar="BYTES")
    parser.add_argument("--control", type=Path, required=True, metavar="SOCKET")
    parser.add_argument("--granule", type=int, default=4096, metavar="BYTES")
    parser.add_argument("--page-cache", action="store_true")
    options = parser.parse_args(arguments)

    loop = FuseLoop(mount(options.mountpoint))
    image = VolatileImage(options.size, granule_bytes=options.granule)
    file = OneFile(image, loop.reply, has_page_cache=options.page_cache)

    def quit_() -> None:
        file.resume()
        unmount(options.mountpoint)

    signal.signal(signal.SIGTERM, lambda *_: quit_())
    control = ControlSocket(options.control, file, quit_)
    threading.Thread(target=control.serve, daemon=True).start()
    loop.start(file.serve)
    print("ready", flush=True)
    loop.wait()
    return 0


# The request was withdrawn before it was read; a signal came; nothing was there after all.
_RETRIED: Final = frozenset({errno.ENOENT, errno.EINTR, errno.EAGAIN})

if __name__ == "__main__":
    sys.exit(main())
