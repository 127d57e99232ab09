"""How much a simulated device may have at a time, and into which pieces requests are cut.

The window has to be wide enough that no server of the device runs dry between a completion and the
next request, and not wider, because what is in it is waited for by everybody. A quarter more than
there are servers does that. A simulated device keeps one server busy with a request, however long
it is, so a large one takes no more of the window than a small one.

Large requests get only as many places as there are servers, while small ones come: then none of
them waits in the device, where a small one would have to wait behind it. A piece costs at most four
small reads, so that the next server is free soon, and its fixed part stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.devices.interface import US
from fairlead.errors import ConfigError
from fairlead.sched.cost import PAGE_BYTES, CostModel, Operation
from fairlead.sched.reference import Device

if TYPE_CHECKING:
    from fairlead.devices.interface import DeviceParameters

_PIECE_SMALL_READS: Final = 4
_DATA_OPERATIONS: Final = (Operation.READ, Operation.WRITE)


def derive_window(
    parameters: DeviceParameters, *, split_bytes: int | None = None, window_us: int | None = None
) -> Device:
    """Return what the scheduler is told about a device.

    Args:
        parameters: the device.
        split_bytes: pieces are at most so long; by default they cost at most four small reads.
        window_us: work at the device, where no request counts for more than a small read; by
            default a quarter more small reads than there are servers, at least one more.

    Raises:
        ConfigError: the window is too small for a single request.
    """
    costs = parameters.cost_model()
    small_ns = small_read_ns(costs)
    cost_max_ns = _PIECE_SMALL_READS * small_ns
    if split_bytes is not None:
        cost_max_ns = max(costs.estimate(o, split_bytes, False) for o in _DATA_OPERATIONS)
    # A piece is at least one page, and a flush is no piece.
    cost_max_ns = max(cost_max_ns, *(costs.estimate(o, PAGE_BYTES, False) for o in Operation))
    window_ns = small_ns * places(parameters.servers) if window_us is None else window_us * US
    if window_ns < small_ns:
        raise ConfigError(
            f"a window of {window_us} us has no room for a request",
            where="window_us",
            remedy=f"at least {-(-small_ns // US)}",
        )
    return Device(
        window_ns=window_ns,
        cost_max_ns=cost_max_ns,
        small_ns=small_ns,
        reserve_ns=max(0, window_ns - small_ns * parameters.servers),
        place_ns=small_ns,
    )


def places(servers: int) -> int:
    """Return how many requests keep so many servers busy."""
    return max(servers + 1, servers * 5 // 4)


def piece_lengths(
    costs: CostModel, device: Device, split_bytes: int | None = None
) -> dict[Operation, int]:
    """Return how long a piece may be, in bytes, at least a page, for each operation with data."""
    if split_bytes is not None:
        return dict.fromkeys(_DATA_OPERATIONS, split_bytes)
    return {
        operation: max(PAGE_BYTES, costs.length_within(operation, device.cost_max_ns))
        for operation in _DATA_OPERATIONS
    }


def small_read_ns(costs: CostModel) -> int:
    """Return what a random read of 4 KiB costs."""
    return costs.estimate(Operation.READ, PAGE_BYTES, False)
