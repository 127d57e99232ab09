from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.sched.settings import Priority, Rate
from fairlead.sim.client import ClientConfig


def client(**values: Any) -> ClientConfig:
    return ClientConfig.model_validate({"name": "c"} | values)


def test_a_client_is_a_closed_loop_of_small_reads_unless_it_says_otherwise() -> None:
    plain = client()
    assert plain.outstanding_max == 32
    assert plain.size == ((4096, 1),)
    assert plain.settings().weight == 1


def test_sessions_multiply_the_depth() -> None:
    assert client(depth=4, sessions=3).outstanding_max == 12


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("64K", ((65536, 1),)),
        (512, ((512, 1),)),
        ({"4K": 70, "1M": 30}, ((4096, 70), (1 << 20, 30))),
    ],
)
def test_sizes_are_one_or_a_mix(written: object, size: object) -> None:
    assert client(size=written).size == size
    assert client(size=size).size == size


def test_what_is_due_reaches_the_scheduler() -> None:
    settings = client(
        weight=7,
        priority="idle",
        limit={"iops": 100, "bytes_per_s": "2M"},
        guarantee={"iops": 50},
        burst_s=0.5,
        queued_max=9,
    ).settings()
    assert (settings.weight, settings.priority) == (7, Priority.IDLE)
    assert settings.limit == Rate(iops=100, bytes_per_s=2 << 20)
    assert settings.guarantee == Rate(iops=50)
    assert (settings.burst_s, settings.queued_max) == (0.5, 9)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"depth": 4, "requests_per_s": 10}, "two kinds of client; keep"),
        ({"arrivals": "random"}, "arrivals are of an open loop; add requests_per_s"),
        ({"start_s": 2, "stop_s": 1}, "stops at 1 s, before it starts at 2 s"),
        ({"depth": 1024, "sessions": 1024}, "are 1048576 requests; at most 65536"),
        ({"position": 0.5}, "position is where a stream begins"),
        ({"size": "1000"}, "no request is 1000 long; take multiples of 512"),
        ({"size": "32M"}, "no request is 32M long"),
        ({"size": {}}, "no size; write"),
        ({"size": {"4K": 0}}, "0 says not how often"),
        ({"size": {"4K": True}}, "True says not how often"),
        ({"size": {"much": 1}}, "'much' is not a size"),
        ({"size": 1.5}, "tuple"),
        ({"weight": 0}, "greater than or equal to 1"),
        ({"weight": 1001}, "less than or equal to 1000"),
        ({"priority": "high"}, "'urgent', 'normal' or 'idle'"),
        ({"limit": {}}, "says no rate; write iops, bytes_per_s or both"),
        ({"limit": {"bytes_per_s": 512}}, "bytes_per_s 512 is out of range; 1048576 to"),
        ({"guarantee": {"iops": 0}}, "iops 0 is out of range"),
        (
            {"guarantee": {"iops": 20}, "limit": {"iops": 10}},
            "guarantee.iops 20 is above limit.iops 10; lower the guarantee or raise the limit",
        ),
    ],
)
def test_contradictions_are_explained(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        client(**values)
    assert told in str(caught.value)
