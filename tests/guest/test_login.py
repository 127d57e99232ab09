"""Linux's initiator finds targets and logs in, as the target demands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.guest.initiator import WITH_DIGESTS
from tests.guest.served import SECRET, TARGET_SECRET, TARGET_USER, USER
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.guest.figures import Figures
    from tests.guest.initiator import Disk, Initiator
    from tests.guest.machine.guest import Guest
    from tests.guest.served import Served

CHAP = {
    "node.session.auth.authmethod": "CHAP",
    "node.session.auth.username": USER,
    "node.session.auth.password": SECRET,
}
CHAP_BACK = {
    "node.session.auth.username_in": TARGET_USER,
    "node.session.auth.password_in": TARGET_SECRET,
}
# What iscsiadm says for status class 2, detail 1. Spec: RFC 7143 §11.13.5.
NOT_AUTHORISED = "24 - iSCSI login failed due to authorization failure"


def test_discovery_names_every_target_at_the_portal(initiator: Initiator, served: Served) -> None:
    found = initiator.discover(served.portal)
    targets = {served.target(name) for name in ("thin", "solid", "deep", "guarded", "mutual")}
    assert found == {(portal, target) for portal in _portals(found) for target in targets}
    assert served.portal in _portals(found)


def test_a_discovered_node_logs_in(guest: Guest, initiator: Initiator, served: Served) -> None:
    """As a user does it: discovery makes the records, and they are enough."""
    initiator.discover(served.portal)
    done = initiator.try_login(served.target("thin"), served.portal)
    assert done.status == 0, done.output
    disk = initiator.disk(served.target("thin"), served.portal)
    assert "running" in guest.run(f"cat /sys/block/{disk.name}/device/state").output
    assert [s["initiator_name"] for s in served.process.sessions()] == [
        "iqn.2026-01.example.guest:linux"
    ]
    initiator.logout(disk)
    served.wait_until_idle()


def test_iscsistart_logs_in_without_a_daemon(
    guest: Guest, initiator: Initiator, served: Served
) -> None:
    """As an initramfs does, with the root file system on iSCSI."""
    address, _, port = served.portal.rpartition(":")
    guest.run("pkill iscsid; while pidof iscsid; do busybox usleep 10000; done")
    words = f"-i iqn.2026-01.example.guest:early -t {served.target('solid')} -g 1"
    done = guest.run(f"iscsistart {words} -a {address} -p {port}")
    assert served.target("solid") in done.output, done.output
    disk = initiator.disk(served.target("solid"), served.portal)
    assert guest.run(f"head -c 1048576 {disk.path} | wc -c").output.strip() == "1048576"
    # The daemon takes the session over by a login of its own, and can end it then.
    (early,) = served.process.sessions()
    guest.run("iscsid")
    wait_until(
        lambda: [s["session"] for s in served.process.sessions()] not in ([], [early["session"]]),
        "the daemon has logged in",
    )
    guest.wait_for(f"grep -q LOGGED_IN /sys/class/iscsi_session/session{disk.session}/state")
    guest.run(f"iscsiadm -m session -r {disk.session} --logout")
    served.wait_until_idle()


@pytest.mark.parametrize(
    ("volume", "settings"),
    [("guarded", CHAP), ("mutual", CHAP | CHAP_BACK)],
    ids=["one way", "mutual"],
)
def test_chap(initiator: Initiator, served: Served, volume: str, settings: dict[str, str]) -> None:
    disk = initiator.login(served.target(volume), served.portal, settings)
    assert re.search(rf"username: {USER}", initiator.session_text(disk))
    initiator.logout(disk)


@pytest.mark.parametrize(
    ("volume", "settings", "message"),
    [
        ("guarded", {}, NOT_AUTHORISED),
        ("guarded", CHAP | {"node.session.auth.password": "another secret 1"}, NOT_AUTHORISED),
        ("guarded", CHAP | {"node.session.auth.username": "nobody"}, NOT_AUTHORISED),
        # Here the initiator refuses.
        (
            "mutual",
            CHAP | CHAP_BACK | {"node.session.auth.password_in": "another secret 1"},
            "19 - encountered non-retryable iSCSI login failure",
        ),
    ],
    ids=["none", "wrong secret", "wrong user", "target proves nothing"],
)
def test_login_is_refused_with_a_clear_message(  # noqa: PLR0917 -- fixtures and parameters
    initiator: Initiator,
    served: Served,
    figures: Figures,
    volume: str,
    settings: dict[str, str],
    message: str,
) -> None:
    initiator.add_node(served.target(volume), served.portal, settings)
    done = initiator.try_login(served.target(volume), served.portal)
    print(done.output)
    assert done.status != 0
    assert message in done.output, done.output
    assert SECRET not in served.process.log_text()
    assert not served.process.sessions()
    figures.fault()


@pytest.fixture
def digested(initiator: Initiator, served: Served) -> Disk:
    return initiator.login(served.target("thin"), served.portal, WITH_DIGESTS)


def test_digests_are_agreed_and_data_is_right(
    guest: Guest, initiator: Initiator, served: Served, figures: Figures, digested: Disk
) -> None:
    text = initiator.session_text(digested)
    assert re.search(r"HeaderDigest: CRC32C", text), text
    assert re.search(r"DataDigest: CRC32C", text), text
    size = 4 << 20
    guest.run(
        f"head -c {size} /dev/urandom >/tmp/data &&"
        f" dd if=/tmp/data of={digested.path} bs=256k oflag=direct &&"
        f" dd if={digested.path} of=/tmp/back bs=256k count={size >> 18} iflag=direct &&"
        f" cmp /tmp/data /tmp/back"
    )
    figures.verified(size)
    initiator.logout(digested)


def _portals(found: set[tuple[str, str]]) -> set[str]:
    return {portal for portal, _ in found}
