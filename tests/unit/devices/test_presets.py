from __future__ import annotations

import pytest

from fairlead.devices.presets import PRESETS, parse_device


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_device(name: str) -> None:
    parameters = parse_device(name)
    assert parameters is not None
    assert parameters == PRESETS[name].parameters
    assert parameters.build().next_completion_ns() is None


def test_names_say_how_fast_they_are() -> None:
    for name, iops in (("ssd-100k", 100_000), ("ssd-20k", 20_000)):
        parameters = parse_device(name)
        cost_ns = parameters.cost_model().read.random_ns + parameters.cost_model().read.page_ns
        assert parameters.servers * 10**9 / cost_ns == iops


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ssd-10k", r"no device 'ssd-10k'; did you mean ssd-100k\? there are: ssd-100k, "),
        ("", r"no device ''; there are: "),
        ("ssd-20k,chanels=4", r"ssd-20k has no 'chanels'; did you mean channels\?"),
        ("ssd-20k,mb_per_s=4", r"ssd-20k has no 'mb_per_s'; "),
        ("ssd-20k,channels", "'channels' changes nothing of ssd-20k; write KEY=VALUE"),
        ("ssd-20k,channels=", "'channels=' changes nothing"),
        ("ssd-20k,", "'' changes nothing"),
        ("ssd-20k,channels=4,channels=5", "channels is there twice"),
        ("ssd-20k,channels=0", r'channels = "0": out of range; take at least 1'),
        ("ssd-20k,channels=many", r'channels = "many": of the wrong type; write a whole number'),
        ("ssd-20k,base_us=400", "base_us 400 leaves nothing for the data; take less than 400"),
        ("hdd-90,rotation=none", r'rotation = "none": not one of the choices'),
        ("hdd-90,size=1GB", "'1GB' is not a size"),
    ],
)
def test_mistakes_are_explained(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_device(text)


def test_spaces_do_not_matter() -> None:
    assert parse_device(" ssd-20k , channels = 4 ") == parse_device("ssd-20k,channels=4")
