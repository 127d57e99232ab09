from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control.access import LoginPolicies, check_exposure, read_secrets
from fairlead.errors import ConfigError
from fairlead.model.account import ChapAccount
from fairlead.model.config import Config
from fairlead.model.portal import parse_portal
from fairlead.proto.iscsi.key_offers import KeyOffers

if TYPE_CHECKING:
    from pathlib import Path

NAME = "iqn.2020-01.org.example:t"


def config(**fields: Any) -> Config:
    target = {"name": NAME, "luns": [{"volume": "v"}], **fields.pop("target", {})}
    return Config.model_validate(
        {
            "volumes": [{"name": "v", "kind": "null", "size": "1M"}],
            "targets": [target],
            "chap_accounts": [
                {"user": "alice", "secret": "the secret of alice"},
                {"user": "us", "secret": "the secret of ours"},
            ],
            **fields,
        }
    )


def policies(document: Config) -> LoginPolicies:
    made = LoginPolicies(document, read_secrets(document.chap_accounts), KeyOffers())
    for target in document.effective_targets():
        made.add_target(target)
    for portal in document.portals:
        made.bind(portal, portal.port or 4711)
    return made


def test_secrets_come_from_the_document_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"from a file of its own\n")
    accounts = (
        ChapAccount.model_validate({"user": "a", "secret": "from the document"}),
        ChapAccount(user="b", secret_file=str(file)),
    )
    assert read_secrets(accounts) == {"a": b"from the document", "b": b"from a file of its own"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file or directory (make the file readable to the user who runs fairlead)"),
        (b"short\n", "the secret of CHAP account 'a' has 5 bytes; take 12 to 256"),
        (b"x" * 5000, "has 258 bytes; take 12 to 256"),
        (b"\xff" * 20, "is not UTF-8 text (put the secret alone into the file)"),
    ],
)
def test_secret_files_are_checked(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_secrets([ChapAccount(user="a", secret_file=str(file))])
    assert message in str(caught.value)
    assert caught.value.where == "chap_accounts[0].secret_file"


ANYWHERE = parse_portal("0.0.0.0:3260")


@pytest.mark.parametrize("target", [{}, {"portals": ["0.0.0.0:3260"]}])
def test_an_open_target_off_loopback_needs_a_word(target: dict[str, Any]) -> None:
    document = config(portals=["0.0.0.0:3260", "127.0.0.1:3260"], target=target)
    targets = document.effective_targets()
    with pytest.raises(ConfigError) as caught:
        check_exposure(document.portals, targets, allow_anyone=False)
    assert str(caught.value) == (
        "portals[0]: portal 0.0.0.0:3260 can be reached by other machines, and target "
        f"{NAME} lets everybody in (give it initiators or chap, listen on 127.0.0.1, "
        "or say --allow-anyone)"
    )
    check_exposure(document.portals, targets, allow_anyone=True)


@pytest.mark.parametrize(
    "target", [{"chap": ["alice"]}, {"initiators": ["iqn.*"]}, {"portals": ["127.0.0.1:3260"]}]
)
def test_a_target_that_asks_or_stays_home_may_be_listened_for(target: dict[str, Any]) -> None:
    document = config(portals=["0.0.0.0:3260", "127.0.0.1:3260"], target=target)
    check_exposure(document.portals, document.effective_targets(), allow_anyone=False)


def test_a_policy_says_what_the_target_asks() -> None:
    document = config(
        target={
            "chap": ["alice"],
            "mutual_chap": "us",
            "initiators": ["iqn.1993-08.org.debian:*"],
            "alias": "database",
        },
        discovery={"chap": ["alice"]},
    )
    policy = policies(document).policy(document.portals[0], "127.0.0.1")
    target = policy.targets[NAME]
    assert target.chap is not None
    assert target.chap.accounts == {"alice": b"the secret of alice"}
    assert target.chap.mutual is not None
    assert target.chap.mutual.secret == b"the secret of ours"
    assert target.admits("iqn.1993-08.org.debian:x")
    assert not target.admits("iqn.2020-01.org.example:x")
    assert target.alias == "database"
    assert policy.discovery_chap is not None


def test_an_open_target_asks_nothing() -> None:
    document = config()
    policy = policies(document).policy(document.portals[0], "127.0.0.1")
    assert policy.targets[NAME].chap is None
    assert policy.targets[NAME].admits("iqn.2020-01.org.example:anybody")
    assert policy.discovery_chap is None


def test_a_target_shows_only_on_its_portals() -> None:
    document = config(portals=["127.0.0.1:1", "127.0.0.2:2"], target={"portals": ["127.0.0.2:2"]})
    made = policies(document)
    first, second = document.portals
    assert made.policy(first, "127.0.0.1").targets == {}
    policy = made.policy(second, "127.0.0.2")
    assert policy.target_addresses(policy.targets[NAME]) == ["127.0.0.2:2,1"]


def test_addresses_are_those_an_initiator_can_use() -> None:
    document = config(portals=["0.0.0.0:0", "[::]:0", "[::1]:5"])
    made = policies(document)
    ipv4, ipv6, _ = document.portals
    policy = made.policy(ipv4, "192.0.2.1")
    assert policy.target_addresses(policy.targets[NAME]) == ["192.0.2.1:4711,1", "[::1]:5,1"]
    policy = made.policy(ipv6, "2001:db8::1")
    assert policy.target_addresses(policy.targets[NAME]) == ["[2001:db8::1]:4711,1", "[::1]:5,1"]


def test_a_policy_is_made_once_and_again_after_a_change() -> None:
    document = config()
    made = policies(document)
    portal = document.portals[0]
    before = made.policy(portal, "127.0.0.1")
    assert made.policy(portal, "127.0.0.1") is before
    made.add_target(document.effective_targets()[0].model_copy(update={"name": NAME + "2"}))
    assert set(made.policy(portal, "127.0.0.1").targets) == {NAME, NAME + "2"}
