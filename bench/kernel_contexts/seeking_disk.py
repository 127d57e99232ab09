"""A FUSE file that takes as long as a simulated disk, in real time.

``python -m bench.kernel_contexts.seeking_disk MOUNTPOINT --model hdd-90,size=64G`` mounts a file
system with the one file ``disk``, prints ``ready`` and serves until it is unmounted or gets
SIGTERM; then it prints how many requests it answered, and how late, as one JSON line. Reads give
zeros, writes are taken and forgotten: what is asked is how long everything takes.

The kernel's elevators are over it as over any disk, with a loop device between. How long a request
takes is told by `fairlead.devices`; here is only the clock. One thread, which sleeps until shortly
before an answer is due and looks at the clock from there on. As root it goes before all others: a
disk needs nobody's CPU to turn.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from fairlead.devices.presets import parse_device
from fairlead.sched.cost import Operation
from tests.support import fuse_wire as wire
from tests.support.fuse_disk import mount, unmount
from tests.support.fuse_system import MAX_WRITE_BYTES, OneFileSystem, Reply
from tests.support.fuse_wire import FuseOpcode, FuseRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fairlead.devices.interface import DeviceParameters

# A sleep ends up to so much too late; the rest is spent looking at the clock.
_SPIN_NS: Final = 120_000
_ZEROS: Final = memoryview(bytes(MAX_WRITE_BYTES))
_NS_PER_S: Final = 1e9
_LATENESS_KEPT: Final = 1 << 20
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_TIMERSLACK: Final = 29
# The request was withdrawn before it was read, or a signal came.
_RETRIED: Final = frozenset({errno.ENOENT, errno.EINTR})


class SeekingFile(OneFileSystem):
    """Answers FUSE requests when a simulated disk would have.

    Args:
        parameters: of the disk.
        reply: sends an answer.
        clock: nanoseconds that never go back.
    """

    def __init__(
        self,
        parameters: DeviceParameters,
        reply: Reply,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(
            reply,
            {
                FuseOpcode.READ: self._read,
                FuseOpcode.WRITE: self._write,
                FuseOpcode.FSYNC: self._sync,
            },
        )
        self._parameters: Final = parameters
        self._device: Final = parameters.build()
        self._clock: Final = clock
        # What each request that waits gets, by its token.
        self._waiting: Final[dict[int, tuple[FuseRequest, bytes | memoryview]]] = {}
        self._late_ns: Final[list[int]] = []
        self._answered = 0

    @property
    def due_ns(self) -> int | None:
        """When the next answer is due; None: the disk is idle."""
        return self._device.next_completion_ns()

    def answer_due(self) -> None:
        """Give every answer whose time has come."""
        while (due_ns := self.due_ns) is not None and due_ns <= self._clock():
            token = self._device.complete()
            if token is None:
                continue
            self._answer(*self._waiting.pop(token))
            self._answered += 1
            if len(self._late_ns) < _LATENESS_KEPT:
                self._late_ns.append(self._clock() - due_ns)

    def stats(self) -> dict[str, Any]:
        """Return how many requests were answered, and how late after their time."""
        late_us = [late_ns / 1e3 for late_ns in sorted(self._late_ns)] or [0.0]
        return {
            "answered": self._answered,
            "busy_s": self._device.busy_ns(self._clock()) / _NS_PER_S,
            "late_p50_us": late_us[len(late_us) // 2],
            "late_p99_us": late_us[len(late_us) * 99 // 100],
            "late_max_us": late_us[-1],
        }

    @override
    def _size_bytes(self) -> int:
        return self._parameters.size

    def _read(self, request: FuseRequest) -> None:
        transfer = wire.decode_transfer(request.body)
        left_bytes = max(0, self._parameters.size - transfer.offset_bytes)
        length_bytes = min(transfer.length_bytes, left_bytes)
        operation = (Operation.READ, transfer.offset_bytes, length_bytes)
        self._submit(request, _ZEROS[:length_bytes], *operation)

    def _write(self, request: FuseRequest) -> None:
        transfer = wire.decode_transfer(request.body)
        operation = (Operation.WRITE, transfer.offset_bytes, transfer.length_bytes)
        self._submit(request, wire.WRITE_OUT.pack(transfer.length_bytes, 0), *operation)

    def _sync(self, request: FuseRequest) -> None:
        self._submit(request, b"", Operation.FLUSH, 0, 0)

    def _submit(
        self,
        request: FuseRequest,
        answer: bytes | memoryview,
        operation: Operation,
        offset_bytes: int,
        length_bytes: int,
    ) -> None:
        # A disk takes no request before it has given the answers of an earlier time.
        self.answer_due()
        self._waiting[request.unique] = (request, answer)
        self._device.submit(request.unique, operation, offset_bytes, length_bytes, self._clock())


def serve(descriptor: int, file: SeekingFile) -> None:
    """Answer the kernel until it has unmounted the file system."""
    os.set_blocking(descriptor, False)
    buffer = bytearray(MAX_WRITE_BYTES + wire.REQUEST_HEADER_BYTES)
    view = memoryview(buffer)
    while True:
        file.answer_due()
        due_ns = file.due_ns
        wait_s: float | None = None
        if due_ns is not None:
            wait_s = max(0, due_ns - time.monotonic_ns() - _SPIN_NS) / _NS_PER_S
        if wait_s != 0:
            select.select([descriptor], [], [], wait_s)
        try:
            length = os.readv(descriptor, (buffer,))
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno in _RETRIED:
                continue
            return
        # The decoded request keeps a view of the buffer, but only its numbers are used later.
        file.serve(wire.decode_request(view[:length]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount, print ``ready`` and serve until unmounted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--model", required=True, metavar="PRESET[,key=value...]")
    options = parser.parse_args(arguments)
    parameters = parse_device(options.model)
    descriptor = mount(options.mountpoint)

    def reply(header: bytes, payload: bytes | memoryview) -> None:
        with contextlib.suppress(OSError):  # The kernel gave the request up.
            os.writev(descriptor, (header, payload) if payload else (header,))

    file = SeekingFile(parameters, reply)
    signal.signal(signal.SIGTERM, lambda *_: unmount(options.mountpoint))
    # Ctrl-C is for who started us: they have to let go of the disk first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _hurry()
    print("ready", flush=True)
    serve(descriptor, file)
    print(json.dumps(file.stats()), flush=True)
    return 0


def _hurry() -> None:
    """Ask for the CPU before all others, and for sleeps that end in time; end with who began us."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    sys.exit(main())
