from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.model.config import DEFAULT_AUTHORITY, Config
from fairlead.model.portal import Portal

VOLUMES = [{"name": "db0", "path": "/srv/db0.img"}, {"name": "logs", "kind": "null", "size": "1G"}]
ALICE = {"user": "alice", "secret": "twelve bytes or more"}
BOB = {"user": "bob", "secret": "another twelve bytes"}


def mistakes(**document: Any) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(document)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


def test_defaults_serve_nothing_on_loopback() -> None:
    config = Config()
    assert config.effective_targets() == ()
    assert config.portals == (Portal("127.0.0.1", 3260),)
    assert config.grouping == "initiator"
    assert config.engine.driver == "auto"
    assert config.engine.queue_depth == 128


def test_volumes_without_targets_get_one_each() -> None:
    targets = Config.model_validate({"volumes": VOLUMES}).effective_targets()
    assert [target.name for target in targets] == [
        f"{DEFAULT_AUTHORITY}:db0",
        f"{DEFAULT_AUTHORITY}:logs",
    ]
    assert [target.luns[0].volume for target in targets] == ["db0", "logs"]
    assert all(target.luns[0].lun == 0 and target.is_open for target in targets)


def test_authority_is_a_setting_and_names_are_normalised() -> None:
    config = Config.model_validate(
        {
            "volumes": [{"name": "DB", "path": "x"}],
            "naming": {"authority": "IQN.2020-01.org.example"},
        }
    )
    assert [target.name for target in config.effective_targets()] == ["iqn.2020-01.org.example:db"]


def test_explicit_targets_take_the_place_of_those_made() -> None:
    config = Config.model_validate(
        {
            "volumes": VOLUMES,
            "portals": ["127.0.0.1:3260", "[::1]:3260"],
            "chap_accounts": [ALICE, BOB],
            "targets": [
                {
                    "name": "iqn.2020-01.org.example:both",
                    "luns": [{"volume": "db0"}, {"lun": 7, "volume": "logs", "read_only": True}],
                    "portals": ["[::1]:3260"],
                    "chap": ["alice"],
                    "mutual_chap": "bob",
                    "initiators": ["IQN.1993-08.org.debian:*"],
                }
            ],
        }
    )
    [target] = config.effective_targets()
    assert [lun.lun for lun in target.luns] == [0, 7]
    assert target.initiators == ("iqn.1993-08.org.debian:*",)
    assert not target.is_open


LUN = {"volume": "db0"}


@pytest.mark.parametrize(
    ("document", "where", "message"),
    [
        (
            {"volumes": [VOLUMES[0], {"name": "DB0", "path": "y"}]},
            ("volumes", 1, "name"),
            "volume 'db0' is there twice (first as volumes[0]); rename one",
        ),
        (
            {"chap_accounts": [ALICE, ALICE]},
            ("chap_accounts", 1, "user"),
            "CHAP account 'alice' is there twice (first as chap_accounts[0]); rename one",
        ),
        (
            {"volumes": VOLUMES, "targets": [{"luns": [LUN]}, {"luns": [LUN]}]},
            ("targets", 1, "name"),
            f"target '{DEFAULT_AUTHORITY}:db0' is there twice (first as targets[0]); rename one",
        ),
        (
            {"portals": ["127.0.0.1", "127.0.0.1:3260"]},
            ("portals", 1),
            "portal 127.0.0.1:3260 is there twice; remove one",
        ),
        (
            {"volumes": VOLUMES, "targets": [{"luns": [{"volume": "db1"}]}]},
            ("targets", 0, "luns", 0, "volume"),
            "no volume 'db1'; there are: db0, logs",
        ),
        (
            {"targets": [{"luns": [LUN]}]},
            ("targets", 0, "luns", 0, "volume"),
            "no volume 'db0'; there are none",
        ),
        (
            {"volumes": VOLUMES, "targets": [{"luns": [LUN, LUN]}]},
            ("targets", 0, "luns", 1, "lun"),
            "LUN 0 is there twice; renumber one",
        ),
        (
            {"volumes": VOLUMES, "targets": [{"luns": [LUN], "portals": ["127.0.0.2"]}]},
            ("targets", 0, "portals", 0),
            "no portal '127.0.0.2:3260'; there are: 127.0.0.1:3260",
        ),
        (
            {"volumes": VOLUMES, "targets": [{"luns": [LUN], "chap": ["eve"]}]},
            ("targets", 0, "chap", 0),
            "no CHAP account 'eve'; there are none",
        ),
        (
            {"discovery": {"chap": ["eve"]}, "chap_accounts": [ALICE]},
            ("discovery", "chap", 0),
            "no CHAP account 'eve'; there are: alice",
        ),
        (
            {"discovery": {"chap": ["alice"], "mutual_chap": "eve"}, "chap_accounts": [ALICE]},
            ("discovery", "mutual_chap"),
            "no CHAP account 'eve'; there are: alice",
        ),
        (
            {"discovery": {"mutual_chap": "alice"}, "chap_accounts": [ALICE]},
            ("discovery", "mutual_chap"),
            "mutual CHAP needs CHAP; name the initiators' accounts in chap",
        ),
        (
            {"discovery": {"chap": ["alice"], "mutual_chap": "alice"}, "chap_accounts": [ALICE]},
            ("discovery", "mutual_chap"),
            "account 'alice' is also in chap; take two accounts",
        ),
    ],
)
def test_references_are_checked(
    document: dict[str, Any], where: tuple[str | int, ...], message: str
) -> None:
    assert mistakes(**document) == [(where, message)]


def test_all_mistakes_are_found_at_once() -> None:
    found = mistakes(
        volumes=VOLUMES,
        targets=[{"luns": [{"volume": "a"}]}, {"luns": [{"volume": "b"}], "chap": ["c"]}],
    )
    assert len(found) == 3


def test_ports_that_the_kernel_chooses_are_not_the_same() -> None:
    Config.model_validate({"portals": ["127.0.0.1:0", "127.0.0.1:0"]})


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ({"user": "a"}, "needs one of secret and secret_file, and has neither"),
        ({"user": "a", "secret": "x" * 12, "secret_file": "y"}, "and has both"),
        ({"user": "a", "secret": "short"}, "the secret of CHAP account 'a' has 5 bytes; take 12"),
        ({"user": "a", "secret": "x" * 257}, "has 257 bytes; take 12 to 256"),
    ],
)
def test_secrets_are_checked_and_never_shown(account: dict[str, str], message: str) -> None:
    [(where, text)] = mistakes(chap_accounts=[account])
    assert where == ("chap_accounts", 0)
    assert message in text
    assert "short" not in text


def test_a_secret_does_not_show_in_the_configuration() -> None:
    assert "twelve" not in repr(Config.model_validate({"chap_accounts": [ALICE]}))


SG = {"name": "tape", "kind": "sg", "path": "/dev/sg3"}


def test_a_kernel_context_for_scsi_devices_alone_is_refused() -> None:
    [(where, message)] = mistakes(volumes=[SG], engine={"kernel_context": "ring"})
    assert where == ("engine", "kernel_context")
    assert "fairlead's own scheduler alone shares them; leave it off" in message
    # Others can have it, and then it just does not hold for the device.
    engine = {"kernel_context": "ring"}
    for volumes in ([SG, VOLUMES[0]], []):
        config = Config.model_validate({"volumes": volumes, "engine": engine})
        assert config.engine.kernel_context == "ring"
