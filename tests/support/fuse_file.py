"""A file system with the one file ``disk``: FUSE requests in, answers out, over a volatile image.

Requests that touch data go through the fault plan first: they are answered, held until told,
failed, or are where the machine "crashes". A held request occupies no thread. After a crash every
descriptor opened before is dead (EIO), as its process would be; whoever opens the file anew sees
what survived.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from tests.support import fuse_wire as wire
from tests.support.fault_plan import DataOp, Failure, FaultPlan, Verdict
from tests.support.fuse_system import FILE_NODE, OneFileSystem
from tests.support.fuse_wire import FuseOpcode, FuseRequest
from tests.support.volatile_image import InFlightWrite, VolatileImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fuse_system import Reply

TRACE_LENGTH: Final = 1 << 16
_GENERATION_SHIFT: Final = 32


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A data request that arrived while its kind was held; it owns its bytes."""

    op: DataOp
    request: FuseRequest
    sync_point: int


class OneFile(OneFileSystem):
    """Answers FUSE requests; thread safe.

    Args:
        image: what the file holds.
        reply: called with the lock held for data requests, so that answers keep the image's order.
        has_page_cache: let the kernel cache pages (written through); otherwise every system call on
            the file is a request.
    """

    def __init__(self, image: VolatileImage, reply: Reply, *, has_page_cache: bool = False) -> None:
        self.image: Final = image
        self.plan = FaultPlan()
        self.counts: Counter[str] = Counter()
        self.trace: deque[tuple[str, int, int]] = deque(maxlen=TRACE_LENGTH)
        self._has_page_cache: Final = has_page_cache
        self._lock: Final = threading.RLock()
        self._held: list[HeldRequest] = []
        self._generation = 1
        self._opens = 0
        super().__init__(
            reply,
            {
                FuseOpcode.READ: self._data(DataOp.READ),
                FuseOpcode.WRITE: self._data(DataOp.WRITE),
                FuseOpcode.FSYNC: self._data(DataOp.SYNC),
                FuseOpcode.FALLOCATE: self._data(DataOp.ZERO),
            },
        )
        self._executors: Final[dict[DataOp, Callable[[FuseRequest, int], bytes]]] = {
            DataOp.READ: self._read,
            DataOp.WRITE: self._write,
            DataOp.SYNC: self._sync,
            DataOp.ZERO: self._zero,
        }

    # What the control socket asks.

    def crash(self, seed: int) -> dict[str, Any]:
        """Lose what is volatile, by ``seed``; what is held is torn and answered EIO."""
        with self._lock:
            return self._crash(seed, extra=[])

    def crash_after(self, requests: int, seed: int) -> None:
        """Crash at the given number of further requests that change or sync data."""
        with self._lock:
            self.plan.crash_after_requests = requests
            self.plan.crash_seed = seed

    def hold(self, ops: frozenset[DataOp]) -> None:
        """Hold the requests of these kinds from now on; every other kind is answered."""
        with self._lock:
            self.plan.held_ops = ops

    def resume(self, *, shuffle_seed: int | None = None) -> int:
        """Answer what was held, in its order or shuffled, and hold no more; return how many."""
        with self._lock:
            self.plan.held_ops = frozenset()
            held, self._held = self._held, []
            if shuffle_seed is not None:
                random.Random(shuffle_seed).shuffle(held)
            for entry in held:
                self._decide(entry.op, entry.request, entry.sync_point)
            return len(held)

    def fail(self, failure: Failure) -> None:
        """Arm a failure behind those already armed."""
        with self._lock:
            self.plan.failures.append(failure)

    def stats(self) -> dict[str, Any]:
        """Return the counters, what is held now and how much a crash would put at risk."""
        with self._lock:
            return {
                **self.counts,
                "held_now": len(self._held),
                "volatile_granules": self.image.volatile_granules,
                "generation": self._generation,
                "size_bytes": self.image.size_bytes,
            }

    def take_trace(self) -> list[tuple[str, int, int]]:
        """Return and clear the (op, offset, length) of the latest requests that were executed."""
        with self._lock:
            taken = list(self.trace)
            self.trace.clear()
            return taken

    # Data requests.

    def _data(self, op: DataOp) -> Callable[[FuseRequest], None]:
        def handle(request: FuseRequest) -> None:
            with self._lock:
                self._decide(op, request, self.image.sync_point())

        return handle

    def _decide(self, op: DataOp, request: FuseRequest, sync_point: int) -> None:
        handle, offset, length = _target(op, request)
        if handle >> _GENERATION_SHIFT != self._generation:
            self._fail(request, errno.EIO)
            return
        verdict, error = self.plan.decide(op, offset, length)
        if verdict is Verdict.HOLD:
            self.counts["held"] += 1
            owned = FuseRequest(
                request.opcode,
                request.unique,
                request.node,
                request.pid,
                memoryview(bytes(request.body)),
            )
            self._held.append(HeldRequest(op, owned, sync_point))
        elif verdict is Verdict.FAIL:
            self.counts[f"failed_{op}"] += 1
            if op is DataOp.SYNC:
                self.image.fail_sync(sync_point)
            self._fail(request, error)
        elif verdict is Verdict.CRASH:
            self._crash(self.plan.crash_seed, extra=_in_flight(op, request))
            self._fail(request, error)
        else:
            self.counts[op] += 1
            self.trace.append((str(op), offset, length))
            try:
                payload = self._executors[op](request, sync_point)
            except OSError as error_:
                self._fail(request, error_.errno or errno.EIO)
            else:
                self._answer(request, payload)

    def _read(self, request: FuseRequest, _sync_point: int) -> bytes:
        transfer = wire.decode_transfer(request.body)
        self.counts["bytes_read"] += transfer.length_bytes
        return self.image.read(transfer.offset_bytes, transfer.length_bytes)

    def _write(self, request: FuseRequest, _sync_point: int) -> bytes:
        transfer = wire.decode_transfer(request.body)
        data = request.body[wire.TRANSFER_IN.size :][: transfer.length_bytes]
        durable = bool(transfer.flags & os.O_DSYNC)
        self.counts["bytes_written"] += transfer.length_bytes
        self.counts["durable_writes"] += durable
        self.image.write(transfer.offset_bytes, data, durable=durable)
        return wire.WRITE_OUT.pack(len(data), 0)

    def _sync(self, request: FuseRequest, sync_point: int) -> bytes:
        _handle, flags, _pad = wire.FSYNC_IN.unpack_from(request.body)
        self.counts["fdatasync" if flags & wire.FSYNC_FDATASYNC else "fsync"] += 1
        self.image.sync(sync_point)
        return b""

    def _zero(self, request: FuseRequest, _sync_point: int) -> bytes:
        _handle, offset, length, mode, _pad = wire.FALLOCATE_IN.unpack_from(request.body)
        keeps_size = bool(mode & FALLOC_FL_KEEP_SIZE)
        if not keeps_size and offset + length > self.image.size_bytes:
            self.image.resize(offset + length)
        if mode & FALLOC_FL_PUNCH_HOLE:
            self.counts["punch_hole"] += 1
        if mode & FALLOC_FL_ZERO_RANGE:
            self.counts["zero_range"] += 1
        if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            self.image.zero(offset, length)
        return b""

    def _crash(self, seed: int, *, extra: list[InFlightWrite]) -> dict[str, Any]:
        held, self._held = self._held, []
        in_flight = [w for entry in held for w in _in_flight(entry.op, entry.request)] + extra
        report = self.image.crash(seed, in_flight=in_flight)
        self._generation += 1
        self.plan = FaultPlan()
        self.counts["crashes"] += 1
        for entry in held:
            self._fail(entry.request, errno.EIO)
        if self._has_page_cache:
            self._reply(wire.encode_inval_inode(FILE_NODE), b"")
        return {
            "volatile": report.volatile,
            "dropped": report.dropped,
            "torn_in_flight": report.torn_in_flight,
        }

    # Everything else.

    @override
    def _size_bytes(self) -> int:
        return self.image.size_bytes

    @override
    def _setattr(self, request: FuseRequest) -> None:
        valid, _pad, _handle, size_bytes = wire.SETATTR_IN.unpack_from(request.body)
        with self._lock:
            if valid & wire.FATTR_SIZE:
                self.image.resize(size_bytes)
            self._getattr(request)

    @override
    def _open(self, request: FuseRequest) -> None:
        with self._lock:
            self._opens += 1
            handle = self._generation << _GENERATION_SHIFT | self._opens
        mode = wire.FOPEN_DIRECT_IO | wire.FOPEN_PARALLEL_DIRECT_WRITES
        if self._has_page_cache:
            mode = wire.FOPEN_KEEP_CACHE
        self._answer(request, wire.OPEN_OUT.pack(handle, mode, 0))


def _target(op: DataOp, request: FuseRequest) -> tuple[int, int, int]:
    """Return the file handle, offset and length a data request is about."""
    if op is DataOp.SYNC:
        return int(wire.FSYNC_IN.unpack_from(request.body)[0]), 0, 0
    if op is DataOp.ZERO:
        handle, offset, length, _mode, _pad = wire.FALLOCATE_IN.unpack_from(request.body)
        return handle, offset, length
    transfer = wire.decode_transfer(request.body)
    return transfer.handle, transfer.offset_bytes, transfer.length_bytes


def _in_flight(op: DataOp, request: FuseRequest) -> list[InFlightWrite]:
    if op is DataOp.WRITE:
        transfer = wire.decode_transfer(request.body)
        data = bytes(request.body[wire.TRANSFER_IN.size :][: transfer.length_bytes])
        return [InFlightWrite(transfer.offset_bytes, data)]
    if op is DataOp.ZERO:
        _handle, offset, length, mode, _pad = wire.FALLOCATE_IN.unpack_from(request.body)
        if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            return [InFlightWrite(offset, bytes(length))]
    return []


FALLOC_FL_KEEP_SIZE: Final = 0x01
FALLOC_FL_PUNCH_HOLE: Final = 0x02
FALLOC_FL_ZERO_RANGE: Final = 0x10
