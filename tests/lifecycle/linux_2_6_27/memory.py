"""The kernel's memory: addresses that are given again, and RCU's delay before that."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from .faults import UseAfterFree

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST = 0x1000
_STEP = 0x100
T = TypeVar("T", bound="KernelObject")


class KernelObject:
    """A structure of the kernel. To read or write a field of one that is freed is a fault.

    Names with an underscore are the model's, and can always be read.
    """

    _freed = False
    _address = 0

    @override
    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and object.__getattribute__(self, "_freed"):
            raise UseAfterFree(f"read of {type(self).__name__}.{name}")
        return object.__getattribute__(self, name)

    @override
    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and self._freed:
            raise UseAfterFree(f"write to {type(self).__name__}.{name}")
        object.__setattr__(self, name, value)


class Memory:
    """Gives and takes back structures; the address freed last is given again first."""

    def __init__(self) -> None:
        self._live: list[KernelObject] = []
        self._free_addresses: dict[type, list[int]] = defaultdict(list)
        self._made = 0
        self._callbacks: list[Callable[[], None]] = []
        self._readers: dict[int, int] = defaultdict(int)

    def allocate(self, made: T) -> T:
        """kmem_cache_alloc: gives a structure its address."""
        addresses = self._free_addresses[type(made)]
        if addresses:
            made._address = addresses.pop()
        else:
            made._address = _FIRST + _STEP * self._made
            self._made += 1
        self._live.append(made)
        return made

    def free(self, gone: KernelObject) -> None:
        """kmem_cache_free."""
        if gone._freed:
            raise UseAfterFree(f"double free of {type(gone).__name__}")
        gone._freed = True
        self._live.remove(gone)
        self._free_addresses[type(gone)].append(gone._address)

    def live(self, kind: type[T]) -> list[T]:
        """Everything of a kind that is not freed."""
        return [each for each in self._live if isinstance(each, kind)]

    def rcu_read_lock(self, cpu: int) -> None:
        """Until the unlock nothing is freed that call_rcu() was given."""
        self._readers[cpu] += 1

    def rcu_read_unlock(self, cpu: int) -> None:
        """See `rcu_read_lock`."""
        self._readers[cpu] -= 1

    def call_rcu(self, callback: Callable[[], None]) -> None:
        """Runs something after the next grace period."""
        self._callbacks.append(callback)

    def grace_period(self) -> None:
        """Passes, unless somebody reads; then nothing happens yet."""
        if any(self._readers.values()):
            return
        while self._callbacks:
            self._callbacks.pop(0)()
