"""The structures: what 2.6.27 keeps of a task's I/O, with the fields that its life depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .memory import KernelObject

if TYPE_CHECKING:
    from .locks import SpinLock


@dataclass(eq=False, repr=False)
class IoContext(KernelObject):
    """struct io_context (include/linux/iocontext.h).

    Attributes:
        lock: writers of the tree, the list and the cache.
        refcount: how long its memory lives.
        nr_tasks: how many tasks may still issue I/O in it.
        radix_root: address of a queue's cfq_data to the cfq_io_context there.
        cic_list: the same, to be walked.
        ioc_data: the one that was found last.
        ioprio: 0 is none.
        _owners: no field of the kernel's. Who holds it and has not given it back; requests and
            slices, which can be counted, left out.
    """

    lock: SpinLock
    refcount: int = 1
    nr_tasks: int = 1
    radix_root: dict[int, CfqIoContext] = field(default_factory=dict)
    cic_list: list[CfqIoContext] = field(default_factory=list)
    ioc_data: CfqIoContext | None = None
    ioprio: int = 0
    _owners: set[str] = field(default_factory=set)


@dataclass(eq=False, repr=False)
class CfqIoContext(KernelObject):
    """struct cfq_io_context: one for each io_context and queue.

    Attributes:
        ioc: whose it is.
        key: the queue's cfq_data; None once it is dead.
        dead_key: 0 while it lives; then the address that `key` had.
        queue_list: the cfq_data on whose list it is, or None.
        cfqq: its queue of synchronous requests. The asynchronous ones belong to the device.
        destroyed: ICQ_DESTROYED of later kernels.
        _made_without_tasks: no field of the kernel's. It was made when nobody could exit any more.
    """

    ioc: IoContext
    key: CfqData | None = None
    dead_key: int = 0
    queue_list: CfqData | None = None
    cfqq: CfqQueue | None = None
    destroyed: bool = False
    _made_without_tasks: bool = False


@dataclass(eq=False, repr=False)
class CfqQueue(KernelObject):
    """struct cfq_queue: requests of one cfq_io_context; the cic and each request hold it."""

    cfqd: CfqData
    ref: int = 0
    queued: list[Request] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class CfqData(KernelObject):
    """struct cfq_data: CFQ on one device.

    Attributes:
        queue: the device.
        cic_list: every cic that is alive here, under queue_lock.
        busy: queues with requests, in turn.
        active_queue: whose slice it is.
        active_cic: of the slice; its io_context is referred to until the slice expires.
        idling: the slice waits for the next request of the same context.
    """

    queue: RequestQueue
    cic_list: list[CfqIoContext] = field(default_factory=list)
    busy: list[CfqQueue] = field(default_factory=list)
    active_queue: CfqQueue | None = None
    active_cic: CfqIoContext | None = None
    idling: bool = False


@dataclass(eq=False, repr=False)
class RequestQueue(KernelObject):
    """struct request_queue: a device. `elevator` is None while it has another scheduler."""

    name: str
    queue_lock: SpinLock
    elevator: CfqData | None = None
    requests: list[Request] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class Request(KernelObject):
    """struct request. `cic` is None where there is no CFQ."""

    queue: RequestQueue
    cic: CfqIoContext | None
    cfqq: CfqQueue | None
    dispatched: bool = False


@dataclass(eq=False, repr=False)
class Task(KernelObject):
    """struct task_struct: a thread. Its memory outlives every test.

    Attributes:
        name: who it is.
        alloc_lock: what task_lock() takes.
        io_context: in whose I/O it submits.
        exiting: PF_EXITING.
        cgroup: of the blkio controller.
    """

    name: str
    alloc_lock: SpinLock
    io_context: IoContext | None = None
    exiting: bool = False
    cgroup: str = "/"
