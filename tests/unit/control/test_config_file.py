from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.control.config_file import check_config, load_config
from fairlead.errors import ConfigError
from fairlead.model.document import DocumentError

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "fairlead.toml"
TEXT = """\
grouping = "nexis"
portals = ["0.0.0.0:3260"]
chap_accounts = [{ user = "a", secret_file = "/nowhere" }]

[[volumes]]
name = "v"
path = "/srv/v.img"
"""


def test_a_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text("grouping = 'none'")
    assert load_config(file).grouping == check_config(file).grouping == "none"


def test_what_only_this_machine_can_tell_is_placed_too(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text(TEXT)
    with pytest.raises(DocumentError) as caught:
        check_config(file)
    assert [(mistake.line, mistake.where) for mistake in caught.value.mistakes] == [
        (1, "grouping"),
        (2, "portals[0]"),
        (3, "chap_accounts[0].secret_file"),
    ]
    with pytest.raises(DocumentError) as caught:
        check_config(file, allow_anyone=True)
    assert len(caught.value.mistakes) == 2


def test_policies_are_looked_at_with_their_options(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text(
        "[[policies]]\nkind = 'latency-goal'\ncontexts = '*'\ngoal_ms = -1\n"
        "[[policies]]\nkind = 'latency-gaol'\n"
    )
    with pytest.raises(DocumentError) as caught:
        check_config(file)
    assert [f"{mistake.line}: {mistake}" for mistake in caught.value.mistakes] == [
        "4: policies[0].goal_ms = -1: out of range (take more than 0)",
        '6: policies[1].kind = "latency-gaol": no such policy (there are: latency-goal)',
    ]


def test_simulated_devices_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text('[[volumes]]\nname = "v"\nkind = "sim"\nmodel = "ssd-21k"\nsize = "1G"\n')
    with pytest.raises(DocumentError) as caught:
        check_config(file)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.where) == (4, "volumes[0].model")
    assert "did you mean ssd-20k?" in str(mistake)


def test_names_of_dangerous_commands_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text('[[volumes]]\nname = "v"\nkind = "sg"\npath = "/dev/sg3"\nallow = ["FORMAT"]\n')
    with pytest.raises(DocumentError) as caught:
        check_config(file)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.where) == (5, "volumes[0].allow")
    assert "there are: ACCESS CONTROL OUT, ATA PASS-THROUGH, CHANGE DEFINITION" in str(mistake)


@pytest.mark.parametrize("name", ["gateway.toml", "pass-through.toml"])
def test_our_examples_of_pass_through_are_right(name: str) -> None:
    config = check_config(EXAMPLE.with_name(name))
    assert all(volume.is_pass_through for volume in config.volumes)
    assert config.shares


def test_our_own_example_is_right() -> None:
    config = check_config(EXAMPLE)
    assert config.shares
    assert config.groups
    assert config.policies


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: no such file .* \(check the path"):
        load_config(tmp_path / "missing.toml")
    file = tmp_path / "latin.toml"
    file.write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(save it as UTF-8\)"):
        load_config(file)
