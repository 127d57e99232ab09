from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from fairlead.control.events import EventHub, EventPump, EventsLost
from fairlead.dataplane.api import DeviceResumed, EngineOptions

if TYPE_CHECKING:
    import pytest

    from fairlead.control.events import TargetEvent
    from fairlead.dataplane.api import Event
    from tests.unit.control.conftest import Planes


def event(number: int) -> DeviceResumed:
    return DeviceResumed(device=str(number))


async def test_every_listener_hears_everything_in_order() -> None:
    hub = EventHub()
    first, second = hub.listen(), hub.listen()
    for number in range(3):
        hub.publish(event(number))
    hub.close()
    assert [heard async for heard in first] == [heard async for heard in second]
    late = hub.listen()
    assert [heard async for heard in late] == []


async def test_a_listener_waits_for_what_comes() -> None:
    hub = EventHub()
    stream = hub.listen()
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert not waiting.done()
    hub.publish(event(1))
    assert await waiting == event(1)


async def test_a_slow_listener_is_told_what_it_lost() -> None:
    hub = EventHub(queue_events_max=2)
    stream = hub.listen()
    for number in range(5):
        hub.publish(event(number))
    hub.close()
    heard: list[TargetEvent] = [item async for item in stream]
    assert heard == [EventsLost(count=3), event(3), event(4)]


async def test_a_dropped_listener_costs_nothing() -> None:
    hub = EventHub()
    stream = hub.listen()
    del stream
    gc.collect()
    assert not hub._streams


async def test_the_pump_calls_back_on_the_loop(planes: Planes) -> None:
    plane = planes(EngineOptions(commands=()))
    heard: list[Event] = []
    arrived = asyncio.Event()

    def handle(item: Event) -> None:
        heard.append(item)
        arrived.set()

    pump = EventPump(plane, handle)
    pump.start()
    plane.emit(event(1))
    async with asyncio.timeout(5):
        await arrived.wait()
    pump.stop()
    plane.emit(event(2))
    pump.drain()
    assert heard == [event(1), event(2)]


async def test_a_bug_in_one_event_does_not_lose_the_others(
    planes: Planes, caplog: pytest.LogCaptureFixture
) -> None:
    plane = planes(EngineOptions(commands=()))
    heard: list[Event] = []

    def handle(item: Event) -> None:
        if item == event(1):
            raise ZeroDivisionError
        heard.append(item)

    pump = EventPump(plane, handle)
    for number in range(3):
        plane.emit(event(number))
    pump.drain()
    assert heard == [event(0), event(2)]
    [record] = caplog.records
    assert record.getMessage() == "event.failed kind=DeviceResumed"
