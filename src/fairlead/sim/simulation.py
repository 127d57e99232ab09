"""One run: clients, a scheduler and a device, from event to event in virtual time.

A client's request is queued with the scheduler, picked by it, served by the device and answered.
Requests longer than a piece go piece by piece: the next is queued when the one before is done. They
are cut always, not only while others wait, because the scheduler charges nothing beyond its most
expensive request: a whole one would count for less than it is, in its context's share and in the
window.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from fairlead.devices.interface import MS, US
from fairlead.sched.cost import Operation, Streams
from fairlead.sched.reference import Request
from fairlead.sim.client import LENGTH_MAX_BYTES, ClientConfig
from fairlead.sim.load import Load, Schedule
from fairlead.sim.scheduler import cuts_requests, make_scheduler
from fairlead.sim.tally import ClientTally, GroupTally, Tally
from fairlead.sim.window import derive_window, piece_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.sched.settings import Settings
    from fairlead.sim.scenario import Scenario

# What an initiator does on TASK SET FULL is its own affair; it waits a little.
_REFUSED_RETRY_NS: Final = MS
# A request that has begun is not refused any more: its next piece waits for a place.
_PIECE_RETRY_NS: Final = 100 * US


class _Client:
    """One client at work."""

    __slots__ = (
        "acting",
        "contexts",
        "group",
        "is_open_loop",
        "is_set",
        "load",
        "schedule",
        "sessions_used",
        "settings",
        "tally",
        "turn_around_ns",
    )

    def __init__(
        self,
        config: ClientConfig,
        *,
        load: Load,
        end_ns: int,
        contexts: list[int],
        group: GroupTally,
        tally: ClientTally,
    ) -> None:
        self.load = load
        self.schedule = Schedule(config, end_ns)
        self.contexts = contexts
        self.group = group
        self.tally = tally
        self.settings: Settings = config.settings()
        self.turn_around_ns = config.turn_around_us * US
        self.is_open_loop = config.requests_per_s is not None
        self.is_set = False
        self.sessions_used = 0
        # Commands that will still do something; its contexts are closed after the last one.
        self.acting = 0


@dataclass(slots=True, eq=False)
class _Command:
    """A request on its way, or the place in a client's depth from which the next one comes."""

    client: _Client
    context: int
    is_source: bool = False
    """It only brings forth the requests of an open loop."""
    operation: Operation = Operation.READ
    offset_bytes: int = 0
    left_bytes: int = 0
    issued_ns: int = 0


class Simulation:
    """A scenario under one policy. It can be run once."""

    def __init__(self, scenario: Scenario, policy: str, engine: str = "reference") -> None:
        """Set everything up at time 0.

        Raises:
            ConfigError: there is no such engine, or its window does not fit.
        """
        parameters = scenario.device_parameters
        window = derive_window(
            parameters, split_bytes=scenario.split_bytes, window_us=scenario.window_us
        )
        self._costs = parameters.cost_model()
        self._device = parameters.build()
        self._scheduler = make_scheduler(policy, engine, window, parameters.servers)
        self._streams = Streams()
        pieces = piece_lengths(self._costs, window, scenario.split_bytes)
        if not cuts_requests(policy):
            pieces = dict.fromkeys(pieces, LENGTH_MAX_BYTES)
        self._piece_bytes = pieces
        self._end_ns = scenario.end_ns
        self._bin_ns = scenario.bin_ms * MS
        self._path_ns = scenario.path_us * US
        # (time, number, command); the number keeps the order of what happens at the same time.
        self._events: list[tuple[int, int, _Command]] = []
        self._events_made = 0
        self._tokens_made = 0
        self._on_path: deque[tuple[int, int]] = deque()  # (time of arrival, token)
        self._at_scheduler: dict[int, tuple[_Command, Request]] = {}
        self._wake_ns: int | None = None
        self._tally = Tally(self._bin_ns, self._end_ns, [])
        self._populate(scenario)

    def run(self, progress: Callable[[int], None] | None = None) -> Tally:
        """Let everything happen until the scenario's end; return what was counted.

        Args:
            progress: called with the virtual time in ns at the beginning of each bin.
        """
        next_bin_ns = 0
        while (now := self._next_ns()) is not None and now < self._end_ns:
            if now >= next_bin_ns:
                if progress is not None:
                    progress(now)
                next_bin_ns = (now // self._bin_ns + 1) * self._bin_ns
            self._step(now)
        self._tally.busy_ns = self._device.busy_ns(self._end_ns)
        return self._tally

    # Setting up.

    def _populate(self, scenario: Scenario) -> None:
        clients = sum(config.count for config in scenario.clients)
        size_bytes = scenario.device_parameters.size
        number = contexts = 0
        for config in scenario.clients:
            group = GroupTally([ClientTally() for _ in range(config.count)])
            self._tally.groups.append(group)
            for member, tally in enumerate(group.clients):
                position = number / clients if config.position is None else config.position
                # By name: a client asks for the same beside whomever it is put.
                random = Random(f"{scenario.seed}/{config.name}/{member}")  # noqa: S311  repeatable
                of_session = scenario.grouping == "session"
                own = list(range(contexts, contexts + (config.sessions if of_session else 1)))
                client = _Client(
                    config,
                    load=Load(config, random, size_bytes, position),
                    end_ns=self._end_ns,
                    contexts=own,
                    group=group,
                    tally=tally,
                )
                number += 1
                contexts += len(own)
                self._enter(client, config)

    def _enter(self, client: _Client, config: ClientConfig) -> None:
        start_ns = client.schedule.open_ns(0)
        if start_ns == 0 or config.is_idle:
            self._set(client, 0)
        if start_ns is None or config.is_idle:
            return
        slots = 1 if client.is_open_loop else config.outstanding_max
        client.acting = slots
        for slot in range(slots):
            context = client.contexts[slot % len(client.contexts)]
            self._at(start_ns, _Command(client, context, is_source=client.is_open_loop))

    def _set(self, client: _Client, now: int) -> None:
        client.is_set = True
        for context in client.contexts:
            self._scheduler.set(context, client.settings, now)

    # From event to event.

    def _at(self, time_ns: int, command: _Command) -> None:
        self._events_made += 1
        heapq.heappush(self._events, (time_ns, self._events_made, command))

    def _next_ns(self) -> int | None:
        times = (
            self._device.next_completion_ns(),
            self._on_path[0][0] if self._on_path else None,
            self._events[0][0] if self._events else None,
            self._wake_ns,
        )
        return min((time for time in times if time is not None), default=None)

    def _step(self, now: int) -> None:
        """Let happen what happens at this time, then give the device what it may have."""
        device, events = self._device, self._events
        while device.next_completion_ns() == now:
            token = device.complete()
            if token is not None:
                self._on_path.append((now + self._path_ns, token))
        while self._on_path and self._on_path[0][0] == now:
            self._piece_done(self._on_path.popleft()[1], now)
        while events and events[0][0] == now:
            self._act(heapq.heappop(events)[2], now)
        while (request := self._scheduler.next(now)) is not None:
            command = self._at_scheduler[request.token][0]
            device.submit(
                request.token, command.operation, command.offset_bytes, request.length_bytes, now
            )
        self._wake_ns = self._scheduler.wake_at()

    def _act(self, command: _Command, now: int) -> None:
        if command.left_bytes:
            self._push_piece(command, now)
        elif command.is_source:
            self._arrive(command, now)
        else:
            self._issue(command, now)

    def _arrive(self, source: _Command, now: int) -> None:
        """Bring forth a request of an open loop, and the time of the next."""
        client = source.client
        client.sessions_used += 1
        context = client.contexts[client.sessions_used % len(client.contexts)]
        client.acting += 1
        self._issue(_Command(client, context), now)
        next_ns = client.schedule.open_ns(client.load.arrival_ns(now))
        if next_ns is None:
            self._retire(client)
        else:
            self._at(next_ns, source)

    def _issue(self, command: _Command, now: int) -> None:
        """Let a client ask for something."""
        client = command.client
        if not client.is_set:
            self._set(client, now)
        command.operation, command.offset_bytes, command.left_bytes = client.load.draw()
        command.issued_ns = now
        if not self._push(command, now):
            client.tally.refused += 1
            command.left_bytes = 0
            self._answered(command, now + _REFUSED_RETRY_NS)

    def _push_piece(self, command: _Command, now: int) -> None:
        if not self._push(command, now):
            self._at(now + _PIECE_RETRY_NS, command)

    def _push(self, command: _Command, now: int) -> bool:
        """Queue the next piece of a request; False: there is no place."""
        context, operation = command.context, command.operation
        length_bytes = min(command.left_bytes, self._piece_bytes[operation])
        is_sequential = self._streams.is_next(context, command.offset_bytes)
        self._tokens_made += 1
        request = Request(
            context=context,
            token=self._tokens_made,
            cost_ns=self._costs.estimate(operation, length_bytes, is_sequential),
            length_bytes=length_bytes,
        )
        if not self._scheduler.push(request, now):
            return False
        self._streams.note(context, command.offset_bytes + length_bytes)
        self._at_scheduler[request.token] = command, request
        return True

    def _piece_done(self, token: int, now: int) -> None:
        command, request = self._at_scheduler.pop(token)
        self._scheduler.complete(request.cost_ns)
        client = command.client
        number = now // self._bin_ns
        counted = client.tally.bin(number)
        counted.cost_ns += request.cost_ns
        counted.length_bytes += request.length_bytes
        command.offset_bytes += request.length_bytes
        command.left_bytes -= request.length_bytes
        if command.left_bytes:
            self._push_piece(command, now)
            return
        counted.requests += 1
        group = client.group
        group.latencies_ns.append(now - command.issued_ns)
        group.done[number] = len(group.latencies_ns)
        self._answered(command, now + client.turn_around_ns)

    def _answered(self, command: _Command, next_ns: int) -> None:
        """Let the client go on after an answer: at this time, if it has a depth to keep."""
        client = command.client
        open_ns = None if client.is_open_loop else client.schedule.open_ns(next_ns)
        if open_ns is None:
            self._retire(client)
        else:
            self._at(open_ns, command)

    def _retire(self, client: _Client) -> None:
        """Count off a command that does nothing any more; with the last one the client leaves."""
        client.acting -= 1
        if client.acting == 0:
            for context in client.contexts:
                self._scheduler.close(context)
                self._streams.forget(context)
