"""Whether guarantees and limits were kept, bin by bin."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from fairlead.devices.interface import SECOND

if TYPE_CHECKING:
    from fairlead.sim.client import ClientConfig
    from fairlead.sim.due import GroupDue
    from fairlead.sim.tally import ClientTally, GroupTally, Tally


def guarantee_met(
    config: ClientConfig, group: GroupTally, due: GroupDue, tally: Tally
) -> float | None:
    """Return the part of the bins in which a guarantee was given, of those in which it was due.

    It is due in bins from whose beginning to whose end the client is at work. Of what was given
    one request may be missing: it is on its way across the bin's border. None: no guarantee, or
    no bin in which it was due.
    """
    if config.guarantee is None or due.mean.demanded < due.mean.guaranteed:
        return None
    bin_s = tally.bin_ns / SECOND
    requests = (config.guarantee.iops or 0) * bin_s - 1
    length_bytes = (config.guarantee.bytes_per_s or 0) * bin_s - due.mean.length_bytes
    met = [
        counted is not None
        and counted.requests >= requests
        and counted.length_bytes >= length_bytes
        for number in range(tally.end_ns // tally.bin_ns)
        if due.is_active[number]
        for counted in (client.bins.get(number) for client in group.clients)
    ]
    return sum(met) / len(met) if met else None


def limit_reached(config: ClientConfig, group: GroupTally, tally: Tally) -> float | None:
    """Return what the busiest second got, as a part of the limit: at most 1 if it was kept.

    Seconds begin with each bin; a run shorter than a second is one window. None: no limit.
    """
    if config.limit is None:
        return None
    width = min(tally.bins, max(1, SECOND // tally.bin_ns))
    window_s = width * tally.bin_ns / SECOND
    reached = 0.0
    for client in group.clients:
        for per_s, kind in ((config.limit.iops, 0), (config.limit.bytes_per_s, 1)):
            if per_s is not None:
                most = _most_within(client, kind, width, tally.bins)
                reached = max(reached, most / (per_s * window_s))
    return reached


def _most_within(client: ClientTally, kind: int, width: int, bins: int) -> int:
    """Return the most requests (kind 0) or bytes (1) of any so many bins in a row."""
    counts = [0] * bins
    for number, counted in client.bins.items():
        counts[number] = (counted.requests, counted.length_bytes)[kind]
    sums = [0, *accumulate(counts)]
    return max(sums[end] - sums[end - width] for end in range(width, bins + 1))
