from __future__ import annotations

import pytest

from fairlead.errors import ConfigError
from fairlead.model.document import DocumentError
from fairlead.sim.scenario import read_scenario

HEAD = 'device = "ssd-20k"\nseconds = 2\n'
CLIENT = '[[clients]]\nname = "a"\n'


def test_a_scenario_needs_a_device_a_time_and_a_client() -> None:
    scenario = read_scenario(HEAD + CLIENT)
    assert scenario.policies == ("fair",)
    assert scenario.end_ns == 2_000_000_000
    assert scenario.device_parameters.servers == 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLIENT, "device: missing (add device = ...)"),
        (HEAD, "clients: missing"),
        (
            'device = "ssd-2k"\nseconds = 1\n' + CLIENT,
            "device = \"ssd-2k\": no device 'ssd-2k' (did",
        ),
        (HEAD + "second = 1\n" + CLIENT, "second: no such field (did you mean seconds? there"),
        (HEAD + CLIENT + "dept = 1\n", "clients[0].dept: no such field (did you mean depth?"),
        (HEAD + CLIENT + CLIENT, "client 'a' is there twice (first as clients[0]) (rename one)"),
        (HEAD + CLIENT + "start_s = 2\n", "starts when all is over (start it before 2 s)"),
        (HEAD + 'policies = ["fair", "fair"]\n' + CLIENT, "policy 'fair' is there twice"),
        (HEAD + 'policies = ["best"]\n' + CLIENT, 'policies[0] = "best": not one of the choices'),
        (HEAD + "policies = []\n" + CLIENT, "policies: empty"),
        (HEAD + "split_bytes = 100\n" + CLIENT, "split_bytes = 100: no piece is so long"),
        (HEAD + "window_us = 399\n" + CLIENT, "window_us = 399: a window of 399 us has no room"),
        (HEAD + CLIENT + "weight = 0\n", "clients[0].weight = 0: out of range (take at least 1)"),
        (HEAD + CLIENT + "count = 100000\n" + '[[clients]]\nname = "b"\n', "100001 clients are"),
        (
            HEAD + CLIENT + "guarantee = { iops = 20100 }\n",
            "clients[0].guarantee: with this, guarantees come to 100.5% of the device (lower them",
        ),
        (
            HEAD + CLIENT + 'guarantee = { bytes_per_s = "60M" }\ncount = 2\n',
            "guarantees come to 153.6% of the device",
        ),
        (HEAD + "[[clients]\n", "not TOML"),
    ],
)
def test_mistakes_are_explained(text: str, told: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_scenario(text)
    assert told in "\n".join(map(str, caught.value.mistakes))


def test_mistakes_have_their_lines() -> None:
    with pytest.raises(DocumentError) as caught:
        read_scenario(HEAD + CLIENT + "\nstart_s = 7\n")
    assert [mistake.line for mistake in caught.value.mistakes] == [6]


def test_guarantees_at_different_times_may_be_of_the_same_device() -> None:
    guarantee = "guarantee = { iops = 15000 }\n"
    second = f'[[clients]]\nname = "b"\nstart_s = 1\n{guarantee}'
    read_scenario(HEAD + CLIENT + guarantee + "stop_s = 1\n" + second)
    with pytest.raises(DocumentError, match="guarantees come to 150"):
        read_scenario(HEAD + CLIENT + guarantee + second)


def test_some_clients_can_be_left_out() -> None:
    scenario = read_scenario(HEAD + CLIENT + '[[clients]]\nname = "b"\n')
    assert [client.name for client in scenario.only(["b"]).clients] == ["b"]
    with pytest.raises(ConfigError, match=r"no client 'c' \(there are: a, b\)"):
        scenario.only(["c"])


def test_changes_are_checked() -> None:
    scenario = read_scenario(HEAD + CLIENT)
    assert scenario.changed(seed=5).seed == 5
    with pytest.raises(DocumentError, match="seconds = -1"):
        scenario.changed(seconds=-1)
